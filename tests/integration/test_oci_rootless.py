"""trivet-oci as an ordinary user: without anything delegated, and with subordinate ids."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import harness

pytestmark = [pytest.mark.root]  # to become somebody else

USER = "daemon"  # in every /etc/passwd, with the same numbers
ID = 1
PREFIX = ["setpriv", f"--reuid={ID}", f"--regid={ID}", "--clear-groups", "--inh-caps=-all"]


class Rootless:
    """A bundle and a state root of USER's."""

    def __init__(self, base: pathlib.Path, rootfs: pathlib.Path):
        self.base = base
        self.bundle = base / "bundle"
        self.bundle.mkdir()
        subprocess.run(["cp", "-a", rootfs, self.bundle / "rootfs"], check=True)
        (base / "run").mkdir(mode=0o700)
        self.program = base / "trivet-oci"
        shutil.copy(harness.BIN_DIR / "trivet-oci", self.program)
        self.prefix = PREFIX
        subprocess.run(["chown", "-R", f"{ID}:{ID}", base], check=True)
        self("spec", "--rootless", "--bundle", self.bundle)
        self.config = json.loads((self.bundle / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["root"]["readonly"] = False

    def __call__(self, *args, code: int = 0, output=subprocess.PIPE) -> subprocess.CompletedProcess:
        environment = {**os.environ, "HOME": str(self.base), "XDG_RUNTIME_DIR": f"{self.base}/run"}
        done = subprocess.run([*self.prefix, self.program, *map(str, args)], stdin=subprocess.DEVNULL,
                              stdout=output, stderr=output, text=True, timeout=20 * harness.SLOW,
                              check=False, cwd=self.base, env=environment)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess:
        self.write(*command)
        return self("run", "--bundle", self.bundle, "box", code=code)

    def write(self, *command: str) -> None:
        self.config["process"]["args"] = list(command)
        (self.bundle / "config.json").write_text(json.dumps(self.config))


@pytest.fixture
def rootless(busybox_rootfs):
    with tempfile.TemporaryDirectory(prefix="tv-rootless-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        user = Rootless(pathlib.Path(folder), busybox_rootfs)
        yield user
        user("delete", "--force", "box")
        assert not list((user.base / "run").glob("*/box"))


def test_run_as_root_of_a_user_namespace(rootless):
    text = rootless.run("sh", "-c", "id -u; cat /proc/self/uid_map; touch /made; exit 7", code=7).stdout
    assert text.split() == ["0", "0", str(ID), "1"]
    assert (rootless.bundle / "rootfs/made").stat().st_uid == ID


def test_create_start_exec_kill_delete(rootless):
    rootless.write("sleep", "100")
    with (rootless.base / "out").open("w") as out:
        rootless("create", "--bundle", rootless.bundle, "box", output=out)
    rootless("start", "box")
    state = json.loads(rootless("state", "box").stdout)
    assert state["status"] == "running"
    inside = rootless("exec", "box", "sh", "-c", "id -u; cat /proc/1/comm /proc/self/comm")
    assert inside.stdout.split() == ["0", "sleep", "cat"]
    assert rootless("exec", "box", "sh", "-c", "exit 9", code=9).stdout == ""
    rootless("kill", "box", "KILL")
    harness.wait_for(lambda: json.loads(rootless("state", "box").stdout)["status"] == "stopped")
    rootless("delete", "box")
    assert "does not exist" in rootless("state", "box", code=1).stderr


def test_a_limit_that_can_not_be_set_is_an_error(rootless):
    rootless.config["linux"]["resources"] = {"memory": {"limit": 1 << 25}}
    assert "make the cgroup" in rootless.run("true", code=1).stderr


def test_further_groups_can_not_be_had(rootless):
    rootless.config["process"]["user"]["additionalGids"] = [5]
    assert "set the additional groups" in rootless.run("true", code=1).stderr


def map_ids(rootless, first: int, count: int) -> None:
    own = {"containerID": 0, "hostID": ID, "size": 1}
    more = {"containerID": 1, "hostID": first, "size": count}
    rootless.config["linux"].update({"uidMappings": [own, more], "gidMappings": [own, more]})


@pytest.fixture
def subordinate_ids(rootless):
    """USER gets 1000 ids from 200000 on, in a mount namespace where /etc/subuid says so."""
    if harness.program_missing("newuidmap"):
        pytest.skip("newuidmap is not installed (Debian's package uidmap)")
    entry = rootless.base / "subids"
    entry.write_text(f"{USER}:200000:1000\n")
    script = (f"mount --bind {entry} /etc/subuid && mount --bind {entry} /etc/subgid && "
              f"exec {' '.join(PREFIX)} \"$@\"")
    rootless.prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]


@pytest.mark.usefixtures("subordinate_ids")
def test_subordinate_ids_are_mapped(rootless):
    map_ids(rootless, 200000, 1000)
    rootless.config["process"]["user"]["additionalGids"] = [7]
    for capabilities in rootless.config["process"]["capabilities"].values():
        capabilities.append("CAP_CHOWN")
    text = rootless.run("sh", "-c", "touch /tmp/x; chown 5:6 /tmp/x; stat -c %u:%g /tmp/x; id -G").stdout
    assert text == "5:6\n0 7\n"
    assert (rootless.bundle / "rootfs/tmp/x").stat().st_uid == 200004


@pytest.mark.usefixtures("subordinate_ids")
def test_ids_that_are_not_the_users_are_refused(rootless):
    map_ids(rootless, 300000, 10)
    assert "newuidmap" in rootless.run("true", code=1).stderr
