"""Namespaces and what belongs to them: config-linux.md, and config.md on host and domain name."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

KINDS = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt",
         "cgroup": "cgroup", "time": "time"}
JOINABLE = ["network", "ipc", "uts", "pid"]


def namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{KINDS.get(kind, kind)}")


def use_user_namespace(container, rootfs: pathlib.Path) -> None:
    """A root that belongs to the namespace's, and that it can reach."""
    root = container.own_root(rootfs)
    for folder in (container.base, container.base.parent):
        folder.chmod(0o711)
    subprocess.run(["chown", "-R", "-h", "100000:200000", root], check=True)
    container.add_namespace("user")
    container.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000},
                                      {"containerID": 5000, "hostID": 105000, "size": 10}]
    container.linux["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 2000}]


@pytest.mark.parametrize("kind", [*KINDS])
def test_a_namespace_that_is_named_is_new(container, kind):
    container.add_namespace(kind)
    if kind == "time" and os.environ.get("RUNTIME"):
        pytest.skip("the peers here are older than time namespaces")
    assert namespace(container.running(), kind) != namespace("self", kind)


@pytest.mark.parametrize("kind", [*KINDS])
def test_a_namespace_that_is_not_named_is_the_runtimes(container, kind):
    container.remove_namespace(kind)
    if kind == "uts":
        del container.config["hostname"]
    if kind == "network":  # sysfs belongs to a network namespace
        container.config["mounts"] = [m for m in container.config["mounts"] if m["type"] != "sysfs"]
    assert namespace(container.running(), kind) == namespace("self", kind)


@pytest.mark.parametrize("kind", JOINABLE)
def test_a_namespace_with_a_path_is_joined(container, kind):
    other = subprocess.Popen(["unshare", "--fork", "--kill-child", f"--{KINDS[kind]}", "sh", "-c",
                              "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        inner = int(pathlib.Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text())
        container.add_namespace(kind, f"/proc/{inner}/ns/{KINDS[kind]}")
        if kind == "uts":
            del container.config["hostname"]
        assert namespace(container.running(), kind) == namespace(inner, kind)
        container.delete("--force")
    finally:
        other.kill()
        other.wait()


def test_without_a_mount_namespace_the_mounts_are_the_runtimes_until_delete(container,
                                                                            busybox_rootfs):
    root = container.own_root(busybox_rootfs)
    container.remove_namespace("mount")
    container.config["root"]["readonly"] = True
    pid = container.running("sh", "-c", "ls /; touch /x; echo end; sleep 1000")
    harness.wait_for(lambda: container.printed().endswith("end\n"), what="it printed")
    assert "proc\n" in container.printed() and os.readlink(f"/proc/{pid}/root") == str(root)
    assert f" {root}/proc " in pathlib.Path("/proc/self/mountinfo").read_text()
    inside = container("exec", container.name, "ls", "/").stdout.split()
    assert "proc" in inside and "sbin" not in inside and not (root / "x").exists()
    container.delete("--force")
    assert container.leftovers() == []


def test_a_mount_namespace_is_joined(container, busybox_rootfs):
    root = container.own_root(busybox_rootfs)
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "1000"])
    try:
        path = f"/proc/{other.pid}/ns/mnt"
        harness.wait_for(lambda: os.readlink(path) != os.readlink("/proc/self/ns/mnt"))
        container.remove_namespace("mount")
        container.add_namespace("mount", path)
        pid = container.running("sh", "-c", "ls /; echo end; sleep 1000")
        harness.wait_for(lambda: container.printed().endswith("end\n"), what="it printed")
        assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(path)
        assert os.readlink(f"/proc/{pid}/root") == str(root) and "sbin" not in container.printed()
        assert f" {root}/proc " not in pathlib.Path("/proc/self/mountinfo").read_text()
        assert "sbin" not in container("exec", container.name, "ls", "/").stdout.split()
        assert pathlib.Path(f"/proc/{other.pid}/root/usr/bin/env").exists(), "the other one's root"
    finally:
        other.kill()
        other.wait()


def test_a_failure_without_a_mount_namespace_leaves_no_mount(container):
    container.remove_namespace("mount")
    container.process["args"] = ["/no/such/program"]
    assert container.create(check=False).returncode != 0
    assert container.leftovers() == []


def test_a_path_to_another_kind_of_namespace_is_an_error(container):
    container.add_namespace("network", "/proc/self/ns/uts")
    assert container.create(check=False).returncode != 0


def test_the_host_name(container):
    container.config["hostname"] = "some-name.example"
    assert container.output("hostname") == "some-name.example\n"
    assert os.uname().nodename != "some-name.example"


def test_the_domain_name(container):
    container.config["domainname"] = "some.domain"
    printed = container.output("cat /proc/sys/kernel/domainname")
    if printed == "(none)\n" and os.environ.get("RUNTIME"):
        pytest.skip("a peer older than the property")
    assert printed == "some.domain\n"


def test_time_offsets(container):
    if os.environ.get("RUNTIME"):
        pytest.skip("the peers here are older than time namespaces")
    container.add_namespace("time")
    container.linux["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0},
                                      "monotonic": {"secs": 5000, "nanosecs": 500}}
    printed = container.output("cat /proc/uptime /proc/self/timens_offsets").split()
    assert float(printed[0]) > 1000000
    assert printed[2:] == ["monotonic", "5000", "500", "boottime", "1000000", "0"]


def test_mappings_of_users_and_groups(container, busybox_rootfs):
    use_user_namespace(container, busybox_rootfs)
    pid = container.running()
    maps = [line.split() for line in pathlib.Path(f"/proc/{pid}/uid_map").read_text().splitlines()]
    assert maps == [["0", "100000", "1000"], ["5000", "105000", "10"]]
    assert pathlib.Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", "200000", "2000"]
    assert os.stat(f"/proc/{pid}").st_uid == 100000 or "Uid:\t100000" in pathlib.Path(
        f"/proc/{pid}/status").read_text()
    assert namespace(pid, "user") != namespace("self", "user")


def test_a_user_namespace_has_what_other_containers_have(container, busybox_rootfs):
    use_user_namespace(container, busybox_rootfs)
    container.process["user"] = {"uid": 0, "gid": 0, "additionalGids": [7]}
    container.config["hostname"] = "mapped"
    printed = container.output("id -u; id -G; hostname; stat -c %u /bin; echo x > /dev/null && "
                               "touch /dev/shm/y /z && echo made; ls /proc/1/ns | wc -l")
    assert printed.split("\n")[:5] == ["0", "0 7", "mapped", "0", "made"]


def test_exec_in_a_user_namespace(container, busybox_rootfs):
    use_user_namespace(container, busybox_rootfs)
    container.running()
    assert container("exec", container.name, "id", "-u").stdout == "0\n"
    assert container("exec", "--user", "5001:3", container.name, "id", "-u").stdout == "5001\n"


def test_a_user_namespace_that_is_shared(container, busybox_rootfs):
    """As the containers of a pod have it: the user namespace of the first, with some of its own."""
    other = subprocess.Popen(["unshare", "--user", "sh", "-c", "echo; exec sleep 1000"],
                             stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        use_user_namespace(container, busybox_rootfs)
        container.add_namespace("user", f"/proc/{other.pid}/ns/user")
        for kind, name in (("uidMappings", "uid_map"), ("gidMappings", "gid_map")):
            lines = (f"{m['containerID']} {m['hostID']} {m['size']}" for m in container.linux[kind])
            pathlib.Path(f"/proc/{other.pid}/{name}").write_text("\n".join(lines))
        pid = container.running("sh", "-c", "id -u; touch /dev/shm/x && echo made; sleep 1000")
        harness.wait_for(lambda: container.printed() == "0\nmade\n", what="it printed")
        assert namespace(pid, "user") == namespace(other.pid, "user")
        container.delete("--force")
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("key,value", [("net.ipv4.ip_forward", "1"), ("kernel.shm_rmid_forced", "1"),
                                       ("kernel.msgmax", "12345"), ("fs.mqueue.msg_max", "17")])
def test_sysctl(container, key, value):
    container.linux["sysctl"] = {key: value}
    assert container.output(f"cat /proc/sys/{key.replace('.', '/')}") == f"{value}\n"


@pytest.mark.parametrize("key", ["kernel.panic", "vm.swappiness", "no.such.key"])
def test_a_sysctl_of_the_host_is_an_error(container, key):
    container.linux["sysctl"] = {key: "1"}
    assert container.create(check=False).returncode != 0
