"""trivet-oci with the systemd cgroup driver, under a systemd that runs.

tests/guest/guest.py --systemd -- /usr/bin/python3 -m pytest tests/guest/test_systemd.py
"""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

import harness
from guest_harness import CGROUPS, V2, only_v2, output


class Runtime:
    """trivet-oci with the systemd driver, for root or a user; `wrap` puts words in front."""

    def __init__(self, base: pathlib.Path, rootfs: pathlib.Path, user: str | None = None):
        self.base = base
        self.user = user
        self.rootfs = rootfs
        self.program = harness.BIN_DIR / "trivet-oci"
        self.driver = ["--systemd-cgroup"]
        self.wrap: list[str] = []
        self.environment = dict(os.environ)
        self.owner = pwd.getpwnam(user) if user else None
        if self.owner:
            self.environment |= {"XDG_RUNTIME_DIR": f"/run/user/{self.owner.pw_uid}",
                                 "HOME": self.owner.pw_dir, "USER": user}
        self.bundle = base / "bundle"
        self.bundle.mkdir()
        if self.owner:
            os.chmod(base, 0o755)
            subprocess.run(["cp", "-a", rootfs, self.bundle / "rootfs"], check=True)
            subprocess.run(["chown", "-R", user, base], check=True)
        kind = ["--rootless"] if user else []
        self.raw("spec", *kind, "--bundle", self.bundle)
        self.config = json.loads((self.bundle / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["process"]["args"] = ["sleep", "1000"]
        self.config["root"] = {"path": str(self.bundle / "rootfs" if user else rootfs)}
        self.linux = self.config["linux"]
        self.linux["cgroupsPath"] = ":guest:box"
        self.unit = "guest-box.scope"

    def raw(self, *words: object, code: int | None = 0) -> subprocess.CompletedProcess:
        command = [*self.wrap, str(self.program), "--root", str(self.base / "state"),
                   *map(str, words)]
        if self.owner:
            command = ["setpriv", f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}",
                       "--clear-groups", "--inh-caps=-all", *command]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  env=self.environment, timeout=20 * harness.SLOW, check=False, cwd=self.base)
            for stream in (out, err):
                stream.seek(0)
            done.stdout, done.stderr = out.read(), err.read()
        assert code is None or done.returncode == code, (words, done.returncode, done.stdout,
                                                         done.stderr)
        return done

    def create(self, name: str = "box", code: int = 0, config: dict | None = None) -> str:
        (self.bundle / "config.json").write_text(json.dumps(config or self.config))
        return self.raw(*self.driver, "create", "--bundle", self.bundle, name, code=code).stderr

    def start(self, name: str = "box") -> None:
        self.create(name)
        self.raw("start", name)

    def run(self, *command: str, code: int = 0, **process) -> str:
        config = self.config | {"process": self.config["process"] | {"args": list(command)} | process}
        (self.bundle / "config.json").write_text(json.dumps(config))
        return self.raw(*self.driver, "run", "--bundle", self.bundle, "box", code=code).stdout

    def state(self, name: str = "box") -> dict:
        return json.loads(self.raw("state", name).stdout)

    def pid(self) -> int:
        return self.state()["pid"]

    def cgroup(self, controller: str = "memory") -> pathlib.Path:
        """Of the init."""
        for line in pathlib.Path(f"/proc/{self.pid()}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if V2 and number == "0":
                return CGROUPS / path[1:]
            if controller in controllers.split(","):
                return CGROUPS / controller / path[1:]
        raise AssertionError(f"no cgroup for {controller}")

    def read(self, v2_file: str, v1_file: str | None = None) -> str:
        name = v2_file if V2 else v1_file or v2_file
        return (self.cgroup(name.split(".")[0]) / name).read_text().strip()

    def systemctl(self, *words: object, check: bool = True) -> str:
        if not self.owner:
            return output("systemctl", *words, check=check)
        return output("setpriv", f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}",
                      "--clear-groups", "systemctl", "--user", *words, check=check,
                      env=self.environment)

    def shown(self, name: str, unit: str | None = None) -> str:
        return self.systemctl("show", "--property", name, "--value", unit or self.unit)

    def units(self) -> list[str]:
        listed = self.systemctl("list-units", "--all", "--plain", "--no-legend", "guest-*.scope")
        return [line.split()[0] for line in listed.splitlines()]

    def close(self) -> None:
        state = self.base / "state"
        for name in os.listdir(state) if state.exists() else []:
            self.raw("delete", "--force", name)
        assert not state.exists() or os.listdir(state) == []
        assert self.units() == []
        left = [path for path in CGROUPS.rglob("guest-*.scope") if path.is_dir()]
        assert left == []


def make(scratch, rootfs, user=None):
    return Runtime(pathlib.Path(tempfile.mkdtemp(prefix="s-", dir=scratch)), rootfs, user)


@pytest.fixture
def box(scratch, busybox_rootfs):
    os.chmod(scratch, 0o755)
    runtime = make(scratch, busybox_rootfs)
    yield runtime
    runtime.close()


LIMITS = {"memory": {"limit": 64 << 20}, "cpu": {"shares": 512, "quota": 15500, "period": 50000},
          "pids": {"limit": 50}}


def limits_in_files(box) -> list[str]:
    if V2:
        return [box.read(name) for name in ("memory.max", "cpu.max", "cpu.weight", "pids.max")]
    return [box.read("memory.limit_in_bytes"),
            f"{box.read('cpu.cfs_quota_us')} {box.read('cpu.cfs_period_us')}",
            box.read("cpu.shares"), box.read("pids.max")]


def expected_limits(memory: int = 64 << 20, pids: int = 50) -> list[str]:
    return [str(memory), "15500 50000", "59" if V2 else "512", str(pids)]


# ---------------------------------------------------------------- root

def test_a_life(box):
    box.create()
    assert box.state()["status"] == "created"
    assert box.shown("ActiveState") == "active"
    assert box.shown("Description") == "trivet container box"
    assert box.shown("Slice") == "system.slice"
    assert box.shown("Delegate") == "yes"
    assert (box.shown("ControlGroup") == "/system.slice/guest-box.scope")
    assert str(box.pid()) in (box.cgroup() / "cgroup.procs").read_text().split()
    box.raw("start", "box")
    box.raw("pause", "box")
    assert box.state()["status"] == "paused"
    box.raw("resume", "box")
    assert box.raw("exec", "box", "echo", "inside").stdout == "inside\n"
    box.raw("kill", "box", "KILL")
    harness.wait_for(lambda: box.state()["status"] == "stopped")
    box.raw("delete", "box")
    assert box.units() == []


def test_the_exit_code_of_run(box):
    assert box.run("sh", "-c", "echo out; exit 7", code=7) == "out\n"
    assert box.units() == []


def test_limits_are_in_the_files_and_in_systemd_and_survive_a_reload(box):
    box.linux["resources"] = LIMITS
    box.start()
    assert limits_in_files(box) == expected_limits()
    assert box.shown("MemoryMax" if V2 else "MemoryLimit") == str(64 << 20)
    assert box.shown("CPUWeight" if V2 else "CPUShares") == ("59" if V2 else "512")
    assert box.shown("CPUQuotaPerSecUSec") == "310ms"
    assert box.shown("TasksMax") == "50"
    box.systemctl("daemon-reload")
    assert limits_in_files(box) == expected_limits()


def test_update_changes_both(box):
    box.linux["resources"] = LIMITS
    box.start()
    box.raw("update", "--memory", 32 << 20, "--memory-swap", 32 << 20, "--pids-limit", 20, "box")
    assert limits_in_files(box) == expected_limits(32 << 20, 20)
    assert box.shown("MemoryMax" if V2 else "MemoryLimit") == str(32 << 20)
    assert box.shown("TasksMax") == "20"
    box.raw("update", "--cpu-period", 100000, "box")
    assert box.shown("CPUQuotaPeriodUSec") == "100ms"
    assert box.shown("CPUQuotaPerSecUSec") == "160ms"  # the quota is as it was: whole percents
    box.systemctl("daemon-reload")
    assert box.read("pids.max") == "20"
    assert box.read("memory.max", "memory.limit_in_bytes") == str(32 << 20)


def test_a_change_of_a_unit_file_leaves_limits_alone(box):
    """What systemd writes for the scope's slice and its siblings is no reason to undo ours."""
    box.linux["resources"] = LIMITS
    box.start()
    box.systemctl("set-property", "--runtime", "system.slice", "MemoryMax=1G", "CPUWeight=200")
    box.systemctl("set-property", "--runtime", "system.slice", "MemoryMax=infinity")
    assert limits_in_files(box) == expected_limits()


def test_devices_are_forbidden_also_after_a_reload(box):
    box.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    box.config["process"]["capabilities"]["bounding"].append("CAP_MKNOD")
    for name in ("effective", "permitted"):
        box.config["process"]["capabilities"][name].append("CAP_MKNOD")
    box.config["root"]["readonly"] = False
    box.start()
    attempt = ["exec", "box", "sh", "-c", "mknod /dev/kmsg c 1 11; cat /dev/kmsg"]
    for _ in range(2):
        done = box.raw(*attempt, code=1)
        assert "Operation not permitted" in done.stderr
        assert box.raw("exec", "box", "sh", "-c", "echo > /dev/null && echo written").stdout == "written\n"
        box.systemctl("daemon-reload")


@pytest.mark.parametrize("slice_name,folder", [
    ("guest-a-b.slice", "guest.slice/guest-a.slice/guest-a-b.slice"), ("-.slice", "")])
def test_slices(box, slice_name, folder):
    box.linux["cgroupsPath"] = f"{slice_name}:guest:box"
    box.start()
    controller = "" if V2 else "memory"
    assert box.cgroup() == CGROUPS / controller / folder / box.unit
    assert box.shown("Slice") == slice_name


def test_annotations_are_properties(box):
    box.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 7",
                                 "org.systemd.property.CollectMode": "'inactive'",
                                 "org.systemd.property.Documentation": "['man:guest(1)']"}
    box.start()
    assert box.shown("TimeoutStopUSec") == "7s"
    assert box.shown("CollectMode") == "inactive"
    assert box.shown("Documentation").strip('"') == "man:guest(1)"


@pytest.mark.parametrize("change,text", [
    ({"annotations": {"org.systemd.property.Nonsense": "true"}}, "Nonsense"),
    ({"annotations": {"org.systemd.property.CPUWeight": "'text'"}}, "start"),
    ({"process": {"args": ["/no/such/program"]}}, "no such file or directory"),
])
def test_a_create_that_fails_leaves_no_scope(box, change, text):
    config = json.loads(json.dumps(box.config))
    for key, value in change.items():
        config[key] = config.get(key, {}) | value
    assert text in box.create(code=1, config=config)
    assert box.units() == []
    assert not list(CGROUPS.rglob(box.unit))
    box.start()


def test_limits_that_cannot_be_had_leave_no_scope(box):
    box.linux["resources"] = {"cpu": {"cpus": "4000"}}
    assert box.create(code=1)
    assert box.units() == []


def test_a_second_container_does_not_take_a_living_scope(box):
    box.start()
    other = json.loads(json.dumps(box.config))
    assert "already" in box.create("other", code=1, config=other)
    assert box.state()["status"] == "running"
    assert box.shown("ActiveState") == "active"
    other["annotations"] = {"org.systemd.property.Nonsense": "true"}
    box.create("other", code=1, config=other)
    assert box.state()["status"] == "running"


def test_a_killed_create_leaves_no_scope(box):
    """The init waits for the parent, and systemd takes an empty scope away."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID; sleep 1"]}
    box.config["hooks"] = {"createRuntime": [hook]}
    box.create(code=-9)
    harness.wait_for(lambda: box.units() == [], what="the scope is gone")
    box.raw("delete", "--force", "box")


def test_delete_ends_what_is_left(box):
    del box.linux["namespaces"][[n["type"] for n in box.linux["namespaces"]].index("pid")]
    box.config["mounts"] = [m for m in box.config["mounts"] if m["type"] != "proc"]
    box.config["process"]["args"] = ["sh", "-c", "sleep 1000 & exec sleep 1000"]
    box.start()
    harness.wait_for(lambda: len((box.cgroup() / "cgroup.procs").read_text().split()) == 2)
    box.raw("delete", "--force", "box")
    assert box.units() == []


def test_out_of_memory_leaves_no_failed_scope(box):
    box.linux["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    box.run("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", code=137)
    assert box.units() == []
    box.linux["resources"] = {}
    box.run("true")


def test_a_paused_one_is_deleted(box):
    box.start()
    box.raw("pause", "box")
    box.raw("delete", "--force", "box")
    assert box.units() == []


def test_stopped_from_outside(box):
    box.start()
    box.systemctl("kill", "--signal=KILL", box.unit)
    harness.wait_for(lambda: box.state()["status"] == "stopped")
    box.raw("delete", "box")


def test_the_other_form_of_path_is_refused(box):
    box.linux["cgroupsPath"] = "/guest/box"
    assert "slice:prefix:name" in box.create(code=1)
    box.driver = []
    box.linux["cgroupsPath"] = ":guest:box"
    assert "systemd slice" in box.create(code=1)


def test_without_the_bus_over_the_private_socket(box):
    box.environment["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
    box.start()
    assert box.shown("ActiveState") == "active"
    box.raw("delete", "--force", "box")


def test_features_say_so(box):
    features = json.loads(box.raw("features").stdout)
    assert features["linux"]["cgroup"]["systemd"] is True
    assert features["linux"]["cgroup"]["systemdUser"] is True
    assert features["potentiallyUnsafeConfigAnnotations"] == ["org.systemd.property."]


def test_exec_in_a_subgroup(box):
    box.start()
    (box.cgroup() / "inner").mkdir()
    text = box.raw("exec", "--cgroup", "inner", "box", "cat", "/proc/self/cgroup").stdout
    assert "/inner" in text


def map_root(box, first: int) -> None:
    box.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": first, "size": 1000}]
    box.linux.update({"uidMappings": mapping, "gidMappings": mapping})


@only_v2
@pytest.mark.parametrize("driver", ["systemd", "cgroupfs"])
def test_a_cgroup_is_delegated_to_the_users_of_a_container(box, driver):
    if driver == "cgroupfs":
        box.driver = []
        box.linux["cgroupsPath"] = "/guest-delegated"
    map_root(box, 100000)
    for mount in box.config["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"].remove("ro")
    box.linux["resources"] = {"memory": {"limit": 64 << 20}}
    box.config["root"] = {"path": str(own_copy(box)), "readonly": False}
    box.start()
    folder = box.cgroup()
    assert folder.stat().st_uid == 100000
    assert (folder / "cgroup.procs").stat().st_uid == 100000
    assert (folder / "cgroup.subtree_control").stat().st_uid == 100000
    assert (folder / "memory.max").stat().st_uid == 0
    script = ("mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs && "
              "cat /proc/self/cgroup; echo 1 > /sys/fs/cgroup/memory.max")
    done = box.raw("exec", "box", "sh", "-c", script, code=None)
    assert "0::/own" in done.stdout
    assert "ermission denied" in done.stderr


def own_copy(box) -> pathlib.Path:
    root = box.base / "own-root"
    subprocess.run(["cp", "-a", box.rootfs, root], check=True)
    subprocess.run(["chown", "-Rh", "100000:100000", root], check=True)
    for folder in (box.base, root):
        os.chmod(folder, 0o755)
    return root


@only_v2
def test_a_read_only_cgroup_mount_delegates_nothing(box):
    map_root(box, 100000)
    box.config["root"] = {"path": str(own_copy(box))}
    box.start()
    assert box.cgroup().stat().st_uid == 0


# ---------------------------------------------------------------- ordinary users

@pytest.fixture
def rootless(scratch, busybox_rootfs, user):
    os.chmod(scratch, 0o755)
    runtime = make(scratch, busybox_rootfs, user)
    yield runtime
    runtime.close()
    shutil.rmtree(runtime.base)


@only_v2
def test_the_users_systemd(rootless):
    rootless.linux["resources"] = LIMITS
    rootless.start()
    manager = "user.slice/user-1234.slice/user@1234.service"
    assert rootless.cgroup() == CGROUPS / manager / "user.slice" / rootless.unit
    assert limits_in_files(rootless) == expected_limits()
    assert rootless.shown("MemoryMax") == str(64 << 20)
    rootless.systemctl("daemon-reload")
    assert limits_in_files(rootless) == expected_limits()
    rootless.raw("update", "--pids-limit", 20, "box")
    assert rootless.read("pids.max") == "20"
    # From outside of the user's tree: systemd moves it.
    assert rootless.raw("exec", "box", "sh", "-c", "echo inside").stdout == "inside\n"
    rootless.raw("pause", "box")
    assert rootless.state()["status"] == "paused"
    rootless.raw("resume", "box")
    rootless.raw("kill", "box", "KILL")
    harness.wait_for(lambda: rootless.state()["status"] == "stopped")
    rootless.raw("delete", "box")
    assert rootless.units() == []


@only_v2
def test_a_program_entered_by_a_user_is_limited_too(rootless):
    rootless.linux["resources"] = {"pids": {"limit": 30}}
    rootless.start()
    before = (rootless.cgroup() / "cgroup.procs").read_text().split()
    rootless.raw("exec", "--detach", "box", "sleep", "1000")
    harness.wait_for(
        lambda: len((rootless.cgroup() / "cgroup.procs").read_text().split()) == len(before) + 1)


@only_v2
def test_without_the_users_bus(rootless):
    rootless.environment["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
    rootless.start()
    assert rootless.shown("ActiveState") == "active"


@only_v2
def test_no_systemd_of_the_user_is_an_error_that_says_so(rootless):
    good = dict(rootless.environment)
    rootless.environment |= {"XDG_RUNTIME_DIR": str(rootless.base)}
    text = rootless.create(code=1)
    assert "the user's systemd can't be reached" in text
    assert "XDG_RUNTIME_DIR" in text
    rootless.environment = good


@only_v2
def test_a_user_creation_that_fails_leaves_no_scope(rootless):
    rootless.config["process"]["args"] = ["/no/such/program"]
    assert "no such file or directory" in rootless.create(code=1)
    assert rootless.units() == []


@only_v2
def test_cgroupfs_in_a_delegated_scope(rootless):
    """The caller is in a leaf of a scope that the user's systemd has delegated."""
    rootless.driver = []
    rootless.linux["cgroupsPath"] = ""
    rootless.linux["resources"] = LIMITS
    into_leaf = ('cd "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)" && mkdir leaf && '
                 'echo $$ > leaf/cgroup.procs && cd - > /dev/null && exec "$@"')
    rootless.wrap = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes",
                     "--unit=delegated.scope", "sh", "-c", into_leaf, "sh"]
    rootless.create()
    rootless.wrap = ["systemd-run", "--user", "--scope", "--quiet"]  # a neighbour
    rootless.raw("start", "box")
    assert rootless.cgroup().parts[-2:] == ("delegated.scope", "trivet-box")
    assert limits_in_files(rootless) == expected_limits()
    rootless.systemctl("daemon-reload")
    assert limits_in_files(rootless) == expected_limits()
    assert rootless.raw("exec", "box", "echo", "inside").stdout == "inside\n"
    rootless.raw("delete", "--force", "box")


@pytest.fixture
def handed_over(user):
    """A part of the tree that root has given to the user by hand, with the user's shell below."""
    top = CGROUPS / "handed-over"
    top.mkdir()
    owner = pwd.getpwnam(user)
    (top / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    (top / "shell").mkdir()
    for path in (top, top / "cgroup.procs", top / "cgroup.subtree_control", top / "shell",
                 top / "shell/cgroup.procs"):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    yield top
    harness.wait_for(lambda: not (top / "shell/cgroup.procs").read_text())
    assert sorted(path.name for path in top.iterdir() if path.is_dir()) == ["shell"]
    (top / "shell").rmdir()
    top.rmdir()


@only_v2
def test_cgroupfs_in_a_part_that_was_handed_over(rootless, handed_over):
    rootless.driver = []
    rootless.linux["cgroupsPath"] = ""
    rootless.linux["resources"] = LIMITS

    def from_there(*words: object) -> subprocess.CompletedProcess:
        command = " ".join(["echo $$ >", f"{handed_over}/shell/cgroup.procs;", "exec", "setpriv",
                            "--reuid=1234", "--regid=1234", "--clear-groups", "--inh-caps=-all",
                            str(rootless.program), "--root", f"{rootless.base}/state",
                            *map(str, words)])
        with (rootless.base / "out").open("a+") as out:
            return subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, env=rootless.environment, check=True,
                                  timeout=20 * harness.SLOW)

    (rootless.bundle / "config.json").write_text(json.dumps(rootless.config))
    from_there("create", "--bundle", rootless.bundle, "box")
    from_there("start", "box")
    assert rootless.cgroup() == handed_over / "trivet-box"
    assert limits_in_files(rootless) == expected_limits()
    from_there("exec", "box", "echo", "inside")
    assert "inside" in (rootless.base / "out").read_text()
    from_there("delete", "--force", "box")
    assert not (handed_over / "trivet-box").exists()


@only_v2
def test_nothing_delegated_and_no_limit_is_a_warning(rootless):
    rootless.driver = []
    rootless.linux["cgroupsPath"] = ""
    rootless.linux.pop("resources", None)
    rootless.driver = ["--log", str(rootless.base / "log")]
    rootless.create()
    assert "without a cgroup" in (rootless.base / "log").read_text()
    rootless.raw("delete", "--force", "box")
    rootless.driver = []
    rootless.linux["resources"] = {"pids": {"limit": 5}}
    assert "ermission denied" in rootless.create(code=1)
