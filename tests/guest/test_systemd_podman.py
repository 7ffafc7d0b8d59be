"""podman with its systemd cgroup manager drives trivet-oci, for root and for an ordinary user."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import sys
import tempfile

import pytest

import harness

CALLERS = pathlib.Path(__file__).resolve().parent.parent / "callers"
sys.path.insert(0, str(CALLERS))

import engines  # noqa: E402
from guest_harness import V2, only_v2, output  # noqa: E402

MEMORY = "memory.max" if V2 else "memory/memory.limit_in_bytes"


@pytest.fixture(scope="module")
def podman(scratch):
    base = pathlib.Path(tempfile.mkdtemp(prefix="p-", dir=scratch))
    client = engines.Podman(base)
    client.words += ["--cgroup-manager", "systemd"]
    yield client
    client.remove_all()
    harness.wait_for(lambda: output("systemctl", "list-units", "--plain", "--no-legend",
                                            "libpod-*.scope") == "", what="all scopes are gone")


def shown(name: str, unit: str) -> str:
    return output("systemctl", "show", "--property", name, "--value", unit)


def test_a_container_is_a_limited_scope(podman):
    assert podman.box("cat", f"/sys/fs/cgroup/{MEMORY}",
                      options=["--memory", "64m"]).stdout.strip() == str(64 << 20)


def test_the_life_of_a_container(podman):
    name = podman.spawn("sleep", "1000", options=["--memory", "64m", "--pids-limit", "40"])
    unit = f"libpod-{name}.scope"
    assert shown("ActiveState", unit) == "active"
    assert shown("Slice", unit) == "machine.slice"
    assert shown("TasksMax", unit) == "40"
    assert podman.out("exec", name, "echo", "inside") == "inside"
    assert "67.11MB" in podman.out("stats", "--no-stream", "--format", "{{.MemUsage}}", name)
    podman.run("update", "--memory", "32m", "--memory-swap", "32m", name)
    property_name = "MemoryMax" if V2 else "MemoryLimit"
    assert shown(property_name, unit) == str(32 << 20)
    output("systemctl", "daemon-reload")
    assert shown(property_name, unit) == str(32 << 20)
    podman.run("pause", name)
    podman.wait_for_status(name, "paused")
    podman.run("unpause", name)
    podman.run("stop", "--time", "0", name)
    harness.wait_for(lambda: shown("ActiveState", unit) == "inactive", what=f"{unit} is gone")
    podman.run("rm", "--force", name)


def test_a_pod_is_a_slice(podman):
    pod = podman.out("pod", "create", "--network", "none")
    name = podman.out("run", "-d", "--pod", pod, "--stop-timeout", "0", "box", "sleep", "1000")
    assert shown("Slice", f"libpod-{name}.scope") == f"machine-libpod_pod_{pod}.slice"
    podman.run("pod", "rm", "--force", "--time", "0", pod)
    assert shown("ActiveState", f"libpod-{name}.scope") == "inactive"


class RootlessPodman(engines.Podman):
    """podman of an ordinary user with a systemd of theirs."""

    def __init__(self, base: pathlib.Path, name: str):
        owner = pwd.getpwnam(name)
        os.chown(base, owner.pw_uid, owner.pw_gid)
        options, env = engines.containers_tools(base)
        config = base / "containers.conf"
        config.write_text("".join(line for line in config.read_text().splitlines(True)
                                  if "default_ulimits" not in line))  # the user's own are lower
        env |= {"XDG_RUNTIME_DIR": f"/run/user/{owner.pw_uid}", "USER": name,
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.become = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}",
                       "--clear-groups", "--inh-caps=-all"]
        words = [*self.become, "/usr/bin/podman", *options, "--cgroup-manager", "systemd"]
        engines.Client.__init__(self, words, env)
        self.base = base
        (base / "root.tar").write_bytes(engines.flat_root())
        self.run("import", "--change", "CMD=[\"sh\"]", "--change", "ENV=PATH=/bin",
                 base / "root.tar", "box")

    def shown(self, name: str, unit: str) -> str:
        return output(*self.become, "systemctl", "--user", "show", "--property", name,
                              "--value", unit, env=self.env)


@only_v2
def test_podman_of_an_ordinary_user(scratch, user):
    os.chmod(scratch, 0o755)
    podman = RootlessPodman(pathlib.Path(tempfile.mkdtemp(prefix="u-", dir=scratch)), user)
    name = podman.spawn("sleep", "1000", options=["--memory", "64m", "--pids-limit", "40"])
    unit = f"libpod-{name}.scope"
    assert podman.shown("ActiveState", unit) == "active"
    assert podman.shown("MemoryMax", unit) == str(64 << 20)
    assert podman.out("exec", name, "cat", "/sys/fs/cgroup/pids.max") == "40"
    assert json.loads(podman.out("container", "inspect", name))[0]["State"]["Running"]
    podman.run("stop", "--time", "0", name)
    podman.run("rm", "--force", name)
    harness.wait_for(lambda: podman.shown("ActiveState", unit) == "inactive",
                     what=f"{unit} is gone")
