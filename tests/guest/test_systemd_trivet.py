"""`trivet` of an ordinary user, whose containers are scopes of the user's own systemd."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import tempfile

import pytest

import harness
from guest_harness import CGROUPS, only_v2, output


class Person(harness.Trivet):
    def __init__(self, base: pathlib.Path, name: str):
        super().__init__(base)
        owner = pwd.getpwnam(name)
        self.become = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups",
                       "--inh-caps=-all"]
        for variable in ("TRIVET_DATA_DIR", "TRIVET_STATE_DIR"):
            del self.env[variable]
        self.env |= {"XDG_RUNTIME_DIR": f"/run/user/{owner.pw_uid}", "USER": name}
        self.tree = CGROUPS / f"user.slice/user-{owner.pw_uid}.slice/user@{owner.pw_uid}.service"
        shutil.chown(base / "home", owner.pw_uid, owner.pw_gid)

    def command(self, *arguments: object) -> list[str]:
        return [*self.become, *super().command(*arguments)]


@pytest.fixture
def person(scratch, user):
    os.chmod(scratch, 0o755)
    base = pathlib.Path(tempfile.mkdtemp(prefix="t-", dir=scratch))
    os.chmod(base, 0o755)
    layout = base / "image"
    harness.write_oci_layout(layout, harness.busybox_layers(), harness.BUSYBOX_CONFIG, "busybox")
    person = Person(base, user)
    person.run("image", "import", layout, "busybox")
    yield person
    person.run("rm", "-f", "--all")
    harness.wait_for(lambda: not list(person.tree.rglob("trivet-*.scope")), what="all scopes are gone")


@only_v2
def test_limits_of_an_ordinary_user(person):
    person.run("run", "-d", "--name", "box", "--network", "none", "--memory", "64m", "--pids", "40",
               "busybox", "sleep", "1000")
    scopes = list(person.tree.rglob("trivet-*.scope"))
    assert len(scopes) == 1
    assert (scopes[0] / "memory.max").read_text().strip() == str(64 << 20)
    assert (scopes[0] / "pids.max").read_text().strip() == "40"
    assert person.out("exec", "box", "cat", "/sys/fs/cgroup/pids.max") == "40"
    assert "64.0 MiB" in person.out("stats", "--no-stream", "box")
    person.run("pause", "box")
    assert "Paused" in person.out("ps")
    person.run("unpause", "box")
    person.run("stop", "-t", "0", "box")


@only_v2
def test_out_of_memory_is_told(person):
    person.fails("run", "--name", "hungry", "--network", "none", "--memory", "32m", "busybox", "sh", "-c",
                 "tail /dev/zero", code=137)
    assert person.inspect("hungry")["State"]["OOMKilled"]
