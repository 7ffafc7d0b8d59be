"""`trivet` as an ordinary user: with subordinate ids, and without."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.request

import pytest

import harness
import vm_harness

pytestmark = [pytest.mark.root]  # to become somebody else

USER, ID = "daemon", 1  # in every /etc/passwd, with the same numbers
FIRST = 200000
AS_USER = ["setpriv", f"--reuid={ID}", f"--regid={ID}", "--clear-groups", "--inh-caps=-all"]


class Person(harness.Trivet):
    """trivet as USER, in a mount namespace in which /etc/subuid says what the test wants, and in which
    /dev/net/tun is open to all, as it is on most hosts."""

    def __init__(self, base: pathlib.Path, ids: int):
        super().__init__(base)
        shutil.copytree(harness.BIN_DIR, base / "bin", ignore=shutil.ignore_patterns("test_*", "fuzz_*"))
        self.program = str(base / "bin" / "trivet")
        (base / "subids").write_text(f"{USER}:{FIRST}:{ids}\n" if ids else "")
        os.mknod(base / "tun", 0o20666, os.makedev(10, 200))
        os.chmod(base / "tun", 0o666)
        (base / "run").mkdir(mode=0o700)
        for name in ("home", "run"):
            shutil.chown(base / name, ID, ID)
        for name in ("TRIVET_DATA_DIR", "TRIVET_STATE_DIR", "TRIVET_VM_DIR"):
            del self.env[name]
        self.env |= {"XDG_RUNTIME_DIR": str(base / "run"), "USER": USER}
        if "ASAN_OPTIONS" in self.env:  # LeakSanitizer waits for ever in a process that is not dumpable
            self.env["ASAN_OPTIONS"] += ":detect_leaks=0"
        self.state = base / "run/trivet"
        self.data = base / "home/.local/share/trivet"

    def command(self, *arguments: object) -> list[str]:
        mounts = " && ".join(f"mount --bind {self.base}/{source} {target}" for source, target in
                             (("subids", "/etc/subuid"), ("subids", "/etc/subgid"), ("tun", "/dev/net/tun")))
        return ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *AS_USER,
                *super().command(*arguments)]

    def keeper(self) -> int:
        return int((self.state / "user-namespace").read_text().split()[0])


@pytest.fixture(scope="module")
def image(scratch):
    os.chmod(scratch, 0o755)
    layout = pathlib.Path(tempfile.mkdtemp(prefix="image", dir=scratch))
    harness.write_oci_layout(layout, harness.busybox_layers(), harness.BUSYBOX_CONFIG, "busybox")
    os.chmod(layout, 0o755)
    return layout


def person(scratch, image, ids: int):
    base = pathlib.Path(tempfile.mkdtemp(prefix="u", dir=scratch))
    os.chmod(base, 0o755)
    user = Person(base, ids)
    user.first = user.run("image", "import", image, "busybox", cwd=base)
    return user


def leave(user: Person) -> None:
    keeper = user.keeper()
    if user.out("ps", "-aq"):
        user.run("rm", "-f", "--all")
    # The whole directory goes, as at the end of a login; what held the namespace goes with it.
    shutil.rmtree(user.base, ignore_errors=True)
    harness.wait_for(lambda: not os.path.exists(f"/proc/{keeper}"), what="the keeper's end")


@pytest.fixture
def user(scratch, image):
    if harness.program_missing("newuidmap"):
        pytest.skip("newuidmap is not installed (Debian's package uidmap)")
    somebody = person(scratch, image, 65536)
    yield somebody
    leave(somebody)


@pytest.fixture
def plain_user(scratch, image):
    somebody = person(scratch, image, 0)
    yield somebody
    leave(somebody)


OFFLINE = ("--rm", "--network", "none", "busybox")


def test_root_inside_is_the_user_outside(user):
    text = user.out("run", *OFFLINE, "sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u:%g /home/app")
    assert text.split() == ["0", "0", str(ID), "1", "1", str(FIRST), "65536", "1000:1000"]
    assert user.first.stderr == ""
    layers = [path for path in (user.data / "layers").rglob("home/app")]
    assert [path.stat().st_uid for path in layers] == [FIRST + 999]


def test_a_whole_life(user):
    user.run("run", "-d", "--name", "box", "--network", "none", "busybox", "sh", "-c",
             "echo started; exec sleep 1000")
    assert user.out("exec", "-u", "app", "box", "id", "-u") == "1000"
    assert user.fails("exec", "box", "sh", "-c", "exit 9", code=9)
    user.wait_for_log("box", "started")
    (user.base / "home/in").write_text("content\n")
    user.run("cp", user.base / "home/in", "box:/root/in")
    assert user.out("exec", "box", "cat", "/root/in") == "content"
    assert "sleep" in user.out("top", "box")
    user.run("stop", "-t", "0", "box")
    assert user.out("ps", "-a", "--format", "{{.Status}}").startswith("Exited (137)")
    user.run("start", "box")
    user.run("rm", "-f", "box")
    assert user.out("ps", "-aq") == ""


def test_all_commands_are_in_one_user_namespace(user):
    keeper = user.keeper()
    user.run("run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "1000")
    pid = user.inspect("box")["State"]["Pid"]
    assert os.readlink(f"/proc/{pid}/ns/user") == os.readlink(f"/proc/{keeper}/ns/user")
    assert user.keeper() == keeper


def test_a_keeper_that_was_killed_is_started_anew(user):
    before = user.keeper()
    harness.kill_hard(before)
    harness.wait_for(lambda: not os.path.exists(f"/proc/{before}"))
    assert user.out("run", *OFFLINE, "echo", "fine") == "fine"
    assert user.keeper() != before


def test_a_state_directory_of_somebody_else_is_refused(user):
    strange = user.base / "strange"
    (strange / "trivet").mkdir(parents=True)
    os.chmod(strange, 0o777)
    os.chown(strange, ID + 1, ID + 1)
    os.chown(strange / "trivet", ID + 1, ID + 1)
    os.chmod(strange / "trivet", 0o777)
    result = user.fails("ps", env={"XDG_RUNTIME_DIR": str(strange)})
    assert "is not a directory of this user" in result.stderr and "hint: " in result.stderr


def fetch(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


@pytest.mark.network
def test_the_default_network_and_published_ports(user):
    port = harness.free_port()
    user.run("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:8080", "busybox", "sh", "-c",
             "echo served > /index.html; exec httpd -f -p 8080 -h /")
    assert harness.wait_for(lambda: fetch(port), what="the answer") == "served\n"


def test_the_hosts_network_shows_the_hosts_sys(user):
    assert "net" in user.out("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class")


def test_volumes_and_binds(user):
    (user.base / "home/data").mkdir()
    shutil.chown(user.base / "home/data", ID, ID)
    user.run("run", "--rm", "--network", "none", "-v", f"{user.base}/home/data:/data", "-v", "kept:/kept",
             "busybox", "sh", "-c", "echo x > /data/file; echo y > /kept/file")
    assert (user.base / "home/data/file").stat().st_uid == ID
    assert user.out("run", "--rm", "--network", "none", "-v", "kept:/kept", "busybox", "cat", "/kept/file") == "y"


def test_a_limit_without_a_cgroup_is_an_error(user):
    result = user.fails("run", "--memory", "64m", *OFFLINE, "true", code=125)
    assert "make the cgroup" in result.stderr and "hint: limits need a part of the cgroup tree" in result.stderr
    assert user.out("ps", "-aq") == ""


def test_what_the_user_may_not_he_may_not_inside(user):
    secret = user.base / "secret"
    secret.write_text("of root\n")
    os.chmod(secret, 0o600)
    result = user.fails("run", "--rm", "--network", "none", "-v", f"{secret}:/secret", "busybox", "cat", "/secret")
    assert "Permission denied" in result.stderr


@pytest.mark.network
def test_a_pod(user):
    manifest = user.base / "home/pod.yaml"
    manifest.write_text("""
apiVersion: v1
kind: Pod
metadata: {name: both}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: busybox, command: [httpd, -f, -p, "8081", -h, /etc]}
  - {name: other, image: busybox, command: [sleep, "1000"], volumeMounts: [{name: memory, mountPath: /m}]}
  volumes: [{name: memory, emptyDir: {medium: Memory}}]
""")
    user.run("pod", "run", manifest)
    assert user.out("pod", "exec", "-c", "other", "both", "wget", "-qO-",
                    "http://localhost:8081/group").startswith("root:")
    user.run("pod", "rm", "-f", "both")
    assert user.out("ps", "-aq") == ""


@pytest.mark.wasm
def test_a_module(user):
    module = user.base / "home/x.wat"
    module.write_text('(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
                      ' (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 5))))')
    user.fails("run", "--rm", "--network", "none", module, code=5)


@pytest.mark.microvm
def test_a_machine(user):
    copy = user.base / "kernel"
    copy.mkdir()
    vm_harness.copy_vm_dir(copy)
    subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
    user.run("vm", "setup", "--from", copy)
    text = user.out("run", "--isolation", "microvm", "--experimental", *OFFLINE, "sh", "-c", "id -u; uname -r",
                    timeout=200)
    assert re.fullmatch(r"0\n6\..*", text)


def test_without_subordinate_ids_there_is_one(plain_user):
    user = plain_user
    assert "no subordinate ids" in user.first.stderr and "/etc/subuid" in user.first.stderr
    assert "no subordinate ids" not in user.run("ps").stderr  # once is enough
    text = user.out("run", *OFFLINE, "sh", "-c", "id -u; cat /proc/self/uid_map; stat -c %u /home/app; echo x > /dev/pts/ptmx")
    assert text.split() == ["0", "0", str(ID), "1", "0"]
    result = user.fails("run", "--rm", "--network", "none", "-u", "app", "busybox", "id")
    assert "hint: " in result.stderr
