"""Fields of config.json and options of trivet-oci that few callers use, each with its effect seen."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import threading

import pytest

import harness
from oci_harness import NAME

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def mount(oci, destination, source, type_, *options, **more):
    oci.config["mounts"].append({"destination": destination, "type": type_, "source": str(source),
                                 "options": list(options), **more})


def out(oci, *command, code=0):
    oci.write(*command)
    return oci.run(code=code).stdout


def maps(container: int, host: int, size: int) -> dict:
    entry = [{"containerID": container, "hostID": host, "size": size}]
    return {"uidMappings": entry, "gidMappings": entry}


@pytest.fixture
def owned(tmp_path):
    """A directory with a file of user 1000, for idmapped mounts."""
    kernel = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if kernel < (6, 3) and harness.file_system_of(tmp_path) == "tmpfs":
        pytest.skip("a tmpfs can be idmapped since Linux 6.3")
    folder = tmp_path / "owned"
    folder.mkdir(mode=0o755)
    (folder / "file").write_text("content\n")
    os.chown(folder / "file", 1000, 1000)
    return folder


# ---------------------------------------------------------------- mounts

def test_an_idmapped_mount_shows_other_owners_and_changes_nothing(oci, owned):
    mount(oci, "/mnt", owned, "bind", "bind", "idmap", **maps(1000, 2000, 1))
    assert out(oci, "stat", "-c", "%u:%g", "/mnt/file") == "2000:2000\n"
    assert (owned / "file").stat().st_uid == 1000


def test_mappings_without_the_option_are_an_idmapped_mount(oci, owned):
    mount(oci, "/mnt", owned, "bind", "rbind", **maps(1000, 2000, 1))
    assert out(oci, "stat", "-c", "%u", "/mnt/file") == "2000\n"


def test_an_idmapped_mount_needs_maps_and_a_bind(oci, owned):
    mount(oci, "/mnt", owned, "bind", "bind", "idmap")
    oci.write("true")
    assert "mounts[7]: id-mapped" in oci.run(code=1).stderr
    oci.config["mounts"].pop()
    mount(oci, "/mnt", "tmpfs", "tmpfs", "idmap", **maps(0, 1000, 1))
    oci.write("true")
    assert "only bind mounts" in oci.run(code=1).stderr


def test_an_idmapped_mount_with_the_maps_of_the_containers_user_namespace(oci, own_root,
                                                                               owned):
    (own_root / "mnt").mkdir(exist_ok=True)  # root of the namespace may not make it
    os.chown(owned / "file", 7, 7)
    oci.config["linux"]["namespaces"].append({"type": "user"})
    oci.config["linux"].update(maps(0, 100000, 65536))
    mount(oci, "/mnt", owned, "bind", "rbind", "ridmap")
    assert out(oci, "stat", "-c", "%u:%g", "/mnt/file") == "7:7\n"


def test_tmpcopyup_fills_a_tmpfs_with_what_it_covers(oci, own_root):
    covered = own_root / "covered"
    (covered / "sub").mkdir(parents=True)
    (covered / "file").write_text("x" * 100_000)
    os.chown(covered / "file", 12, 34)
    os.chmod(covered / "file", 0o4751)
    os.chmod(covered / "sub", 0o2770)
    os.symlink("/etc/shadow", covered / "sub/link")
    os.mkfifo(covered / "sub/fifo", 0o640)
    os.chmod(covered, 0o1755)
    mount(oci, "/covered", "tmpfs", "tmpfs", "tmpcopyup", "size=1m", "ro")
    text = out(oci, "sh", "-c", "cd /covered; stat -c '%n %a %u:%g %F %s' . file sub sub/fifo; "
               "readlink sub/link; grep ' /covered ' /proc/mounts; tr -d x <file | wc -c")
    lines = text.splitlines()
    assert lines[0].startswith(". 1755 0:0 directory")
    assert lines[1] == "file 4751 12:34 regular file 100000"
    assert lines[2].startswith("sub 2770 0:0 directory")
    assert lines[3].startswith("sub/fifo 640 0:0 fifo")
    assert lines[4] == "/etc/shadow"
    assert " tmpfs ro," in lines[5] and lines[6] == "0"


def test_tmpcopyup_that_does_not_fit_is_an_error(oci, own_root):
    (own_root / "covered").mkdir()
    (own_root / "covered/big").write_bytes(b"x" * 200_000)
    mount(oci, "/covered", "tmpfs", "tmpfs", "tmpcopyup", "size=64k")
    oci.write("true")
    assert "No space left on device" in oci.run(code=1).stderr


def test_a_tmpfs_has_the_permissions_of_the_directory_it_covers(oci, own_root):
    (own_root / "private").mkdir(mode=0o750)
    mount(oci, "/private", "tmpfs", "tmpfs")
    mount(oci, "/tmp", "tmpfs", "tmpfs", "mode=700")
    assert out(oci, "stat", "-c", "%a", "/private", "/tmp") == "750\n700\n"


# ---------------------------------------------------------------- seccomp listener

class Listener:
    """Answers the notifications of one filter: every one fails with `errno`."""

    def __init__(self, path: pathlib.Path):
        self.state = None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.fds: list[int] = []
        self.thread.start()

    def serve(self):
        connection, _ = self.socket.accept()
        data, control, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        self.state = json.loads(data)
        for _, _, payload in control:
            fds = array.array("i")
            fds.frombytes(payload)
            self.fds += fds


def test_a_seccomp_listener_gets_the_fd_and_the_state(oci, tmp_path):
    path = oci.base / "listener"
    listener = Listener(path)
    oci.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": str(path), "listenerMetadata": "some data",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}
    oci.write("sh", "-c", "echo before; mkdir /tmp/x; echo after")
    with (oci.base / "log").open("w") as log:
        child = subprocess.Popen([oci.program, "--root", oci.root, "run", "--bundle", oci.bundle,
                                  NAME], stdout=log, stderr=log)
    harness.wait_for(lambda: "before" in (oci.base / "log").read_text(), what="its first line")
    listener.thread.join(timeout=10)
    assert listener.state["fds"] == ["seccompFd"] and len(listener.fds) == 1
    assert listener.state["metadata"] == "some data"
    assert listener.state["state"]["id"] == NAME and listener.state["state"]["status"] == "creating"
    assert listener.state["pid"] == listener.state["state"]["pid"] == oci.state(NAME)["pid"]
    assert "after" not in (oci.base / "log").read_text(), "mkdir waits for the listener"
    os.close(listener.fds[0])  # what waits then fails with ENOSYS
    assert child.wait(timeout=10) == 0
    assert "Function not implemented" in (oci.base / "log").read_text()


def let_everything_through(listener: int, seen: list[int]) -> None:
    """Answers notifications until the filter has no process any more (seccomp_unotify(2))."""
    receive, send, go_on = 0xC0502100, 0xC0182101, 1
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while poll.poll(10000)[0][1] & select.POLLIN:
        request = bytearray(80)
        fcntl.ioctl(listener, receive, request)
        number, = struct.unpack_from("=Q", request)
        seen.append(struct.unpack_from("=i", request, 16)[0])
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, send, struct.pack("=QqiI", number, 0, 0, go_on))


@pytest.mark.parametrize("names", [["read", "write"], ["sendmsg"], ["close", "close_range", "execve"],
                                   ["sendmsg", "read", "write", "close", "mmap", "execve", "fcntl"]])
def test_a_listener_may_be_asked_about_what_hands_it_over(oci, names):
    path = oci.base / "listener"
    listener = Listener(path)
    oci.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": str(path), "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]}
    oci.write("sh", "-c", "echo done")
    with (oci.base / "log").open("w") as log:
        child = subprocess.Popen([oci.program, "--root", oci.root, "run", "--bundle", oci.bundle,
                                  NAME], stdout=log, stderr=log)
    listener.thread.join(timeout=10)
    seen: list[int] = []
    let_everything_through(listener.fds[0], seen)
    os.close(listener.fds[0])
    assert child.wait(timeout=10) == 0
    assert (oci.base / "log").read_text() == "done\n"
    assert seen or names == ["sendmsg"], "the shell does not call sendmsg"


@pytest.mark.parametrize("change, words", [
    ({"listenerPath": ""}, "listenerPath"),
    ({"listenerPath": "/no/such/socket"}, "/no/such"),
    ({"syscalls": [{"names": ["sendmsg", "sendmmsg"], "action": "SCMP_ACT_NOTIFY"}]}, "sendmmsg"),
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction"),
])
def test_a_listener_that_can_not_work_is_an_error(oci, change, words):
    oci.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": "/x", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        **change}
    oci.write("true")
    assert words in oci.run(code=1).stderr


# ---------------------------------------------------------------- the process

def test_memory_policy(oci):
    oci.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    text = out(oci, "sh", "-c", "exec head -n 1 /proc/self/numa_maps")
    assert " bind:0 " in text


def test_memory_policy_of_a_node_that_is_not_there(oci):
    oci.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "999"}
    oci.write("true")
    assert "linux.memoryPolicy" in oci.run(code=1).stderr


def test_intel_rdt_without_resctrl_says_so(oci):
    if "resctrl" in pathlib.Path("/proc/self/mountinfo").read_text():
        pytest.skip("this host has a resctrl file system")
    oci.config["linux"]["intelRdt"] = {"closID": "class"}
    oci.write("true")
    assert "linux.intelRdt: no resctrl file system is mounted" in oci.run(code=1).stderr


def test_network_devices_move_in_with_their_addresses(oci):
    name = f"tv{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "192.0.2.7/24", "dev", name], check=True)
        oci.config["linux"]["netDevices"] = {name: {"name": "inner0"}}
        text = out(oci, "ip", "-o", "address", "show", "dev", "inner0")
        assert "192.0.2.7/24" in text
        oci.config["linux"]["netDevices"] = {"absent0": {}}
        oci.write("true")
        assert 'linux.netDevices: "absent0"' in oci.run(code=1).stderr
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def started(oci, *command):
    oci.write(*command)
    oci.create(NAME)
    oci("start", NAME)


def test_exec_cpu_affinity(oci, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    started(oci, "sleep", "100")
    everywhere = oci("exec", NAME, "grep", "Cpus_allowed_list", "/proc/self/status").stdout.split()[-1]
    process = {**oci.config["process"], "args": ["grep", "Cpus_allowed_list", "/proc/self/status"],
               "execCPUAffinity": {"initial": "0", "final": "1"}}
    (tmp_path / "process.json").write_text(json.dumps(process))
    assert oci("exec", "--process", tmp_path / "process.json", NAME).stdout.split()[-1] == "1"
    process["execCPUAffinity"] = {"initial": "0"}
    (tmp_path / "process.json").write_text(json.dumps(process))
    # Joining a cpuset sets the CPUs anew, on kernels before 6.2.
    assert oci("exec", "--process", tmp_path / "process.json", NAME).stdout.split()[-1] in ("0", everywhere)
    process["execCPUAffinity"] = {"final": "0-"}
    (tmp_path / "process.json").write_text(json.dumps(process))
    refused = oci("exec", "--process", tmp_path / "process.json", NAME, code=255)
    assert "execCPUAffinity.final" in refused.stderr


def test_exec_into_a_cgroup_below_the_containers(oci):
    started(oci, "sleep", "100")
    pid = oci.state(NAME)["pid"]
    own = [line.split(":", 2) for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().split()]
    tree, path = next((c, p) for _, c, p in own if c in ("pids", ""))
    folder = pathlib.Path("/sys/fs/cgroup") / tree / path.lstrip("/") / "below"
    folder.mkdir()
    log = oci.base / "pid"
    with (oci.base / "out").open("ab") as stream:
        subprocess.run([oci.program, "--root", oci.root, "exec", "--detach", "--cgroup", "below",
                        "--pid-file", log, NAME, "sleep", "50"], stdout=stream, stderr=stream,
                       check=True)
    assert log.read_text() in (folder / "cgroup.procs").read_text().split()
    assert "nowhere" in oci("exec", "--cgroup", "nowhere", NAME, "true", code=255).stderr
    assert ".." in oci("exec", "--cgroup", "../x", NAME, "true", code=255).stderr


def test_a_pidfd_is_sent(oci):
    path = oci.base / "pidfd"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    oci.write("sleep", "100")
    with (oci.base / "out").open("ab") as log:
        subprocess.run([oci.program, "--root", oci.root, "create", "--bundle", oci.bundle,
                        "--pidfd-socket", path, NAME], stdout=log, stderr=log, check=True)
    connection, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(connection, 100, 1)
    info = pathlib.Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
    assert f"Pid:\t{oci.state(NAME)['pid']}\n" in info
    os.close(fds[0])


# ---------------------------------------------------------------- events, --timing, --dry-run

def test_events_stats(oci):
    started(oci, "sleep", "100")
    event = json.loads(oci("events", "--stats", NAME).stdout)
    assert event["type"] == "stats" and event["id"] == NAME
    assert event["data"]["pids"]["current"] == 1
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["cpu"]["usage"]["total"] > 0


def test_events_go_on_until_the_end_and_tell_of_oom_kills(oci):
    oci.config["linux"]["resources"] = {"memory": {"limit": 20 << 20}}
    started(oci, "sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.1; done; "
            "dd if=/dev/zero of=/dev/null bs=100M count=1; sleep 1")
    child = subprocess.Popen([oci.program, "--root", oci.root, "events", "--interval", "100ms",
                              NAME], stdout=subprocess.PIPE, text=True)
    assert json.loads(child.stdout.readline())["type"] == "stats"
    oci("exec", NAME, "touch", "/tmp/go")
    text, _ = child.communicate(timeout=20)
    events = [json.loads(line)["type"] for line in text.splitlines()]
    assert "oom" in events and "stats" in events
    assert child.returncode == 0
    assert "container not running" in oci("events", "--stats", NAME, code=1).stderr


def test_timing_names_the_steps(oci):
    oci.write("true")
    done = oci("run", "--timing", "json", "--bundle", oci.bundle, NAME)
    steps = json.loads(done.stderr)
    names = {(step["where"], step["step"]) for step in steps}
    assert ("runtime", "clone the init") in names and ("init", "mount the file systems") in names
    assert all(step["microseconds"] < 60_000_000 for step in steps)
    text = oci("run", "--timing", "text", "--bundle", oci.bundle, NAME).stderr
    assert "init     mount the file systems" in text
    assert "neither" in oci("run", "--timing", "xml", "--bundle", oci.bundle, NAME, code=1).stderr


def test_dry_run_prints_the_plan_and_does_nothing(oci):
    oci.write("touch", "/tmp/x", cwd="/tmp")
    plan = oci("create", "--dry-run", "--bundle", oci.bundle, NAME).stdout
    assert "mount proc proc -> /proc" in plan and plan.endswith("cwd /tmp\nexec touch /tmp/x\n")
    assert oci.left() == []
