"""Mounts, devices, and what is hidden or protected: config.md "Mounts" and config-linux.md."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def mounts(pid: int) -> dict[str, tuple[list[str], list[str], str, list[str]]]:
    """Mount point → its options, its propagation, the type, the file system's options."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        found[fields[4]] = (fields[5].split(","), [f.split(":")[0] for f in fields[6:]], rest[0],
                            rest[2].split(","))
    return found


def add_mount(container, destination: str, options: list[str], kind="tmpfs", source="tmpfs") -> None:
    container.config["mounts"].append({"destination": destination, "type": kind,
                                       "source": str(source), "options": options})


@pytest.mark.parametrize("options,present,absent", [
    (["ro"], ["ro"], ["rw"]),
    (["ro", "rw"], ["rw"], ["ro"]),
    (["nosuid", "nodev", "noexec"], ["nosuid", "nodev", "noexec"], []),
    (["nosuid", "suid", "nodev", "dev", "noexec", "exec"], [], ["nosuid", "nodev", "noexec"]),
    (["noatime"], ["noatime"], ["relatime"]),
    (["relatime"], ["relatime"], ["noatime"]),
    (["strictatime"], [], ["relatime", "noatime"]),
    (["nodiratime"], ["nodiratime"], []),
    (["defaults"], ["rw"], []),
])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_options_of_a_mount(container, kind, options, present, absent):
    directory = container.base / "directory"
    directory.mkdir()
    if kind == "bind":
        add_mount(container, "/mnt", ["bind", *options], "bind", directory)
    else:
        add_mount(container, "/mnt", options)
    found = mounts(container.running())["/mnt"][0]
    assert set(present) <= set(found) and not set(absent) & set(found), found


@pytest.mark.parametrize("option,flag", [("sync", "sync"), ("dirsync", "dirsync")])
def test_options_of_the_file_system(container, option, flag):
    add_mount(container, "/mnt", [option])
    if flag not in mounts(container.running())["/mnt"][3]:
        pytest.skip("tmpfs here does not show it")


def test_options_that_are_data_of_the_file_system(container):
    add_mount(container, "/mnt", ["size=128k", "mode=711", "nr_inodes=99", "uid=5"])
    pid = container.running()
    found = mounts(pid)["/mnt"][3]
    assert {"size=128k", "mode=711", "nr_inodes=99", "uid=5"} <= set(found)


def test_data_of_a_file_system_means_nothing_to_a_bind(container):
    directory = container.base / "directory"
    directory.mkdir()
    add_mount(container, "/mnt", ["bind", "mode=755", "size=1k", "ro"], "bind", directory)
    assert "ro" in mounts(container.running())["/mnt"][0]


@pytest.mark.parametrize("option,expected", [
    ("shared", ["shared"]), ("rshared", ["shared"]), ("private", []), ("rprivate", []),
    ("unbindable", ["unbindable"]), ("runbindable", ["unbindable"])])
def test_propagation_of_a_mount(container, option, expected):
    directory = container.base / "directory"
    directory.mkdir()
    add_mount(container, "/mnt", ["rbind", option], "bind", directory)
    found = mounts(container.running())["/mnt"][1]
    assert [word for word in found if word != "propagate_from"] == expected


@pytest.mark.parametrize("option,root,in_container,on_host", [
    ("rshared", "rshared", True, True), ("rslave", "rslave", True, False),
    ("rprivate", "rprivate", False, False)])
def test_mounts_reach_the_other_side(container, option, root, in_container, on_host):
    directory = container.base / "directory"
    directory.mkdir()
    add_mount(container, "/mnt", ["rbind", option], "bind", directory)
    container.linux["rootfsPropagation"] = root
    for capabilities in container.process["capabilities"].values():
        capabilities.append("CAP_SYS_ADMIN")
    subprocess.run(["mount", "-t", "tmpfs", "here", directory], check=True)
    try:
        subprocess.run(["mount", "--make-shared", directory], check=True)
        pid = container.running("sh", "-c", "mkdir /mnt/inner; mount -t tmpfs inner /mnt/inner; "
                                            "touch /mnt/done; sleep 1000")
        harness.wait_for((directory / "done").exists, what="the container's mount")
        (directory / "outer").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "outer", directory / "outer"], check=True)
        assert ("/mnt/outer" in mounts(pid)) == in_container
        assert (str(directory / "inner") in mounts(os.getpid())) == on_host
        container.delete("--force")
        names = [""] + ["/inner"] * on_host + ["/outer"]
        assert sorted(path for path in mounts(os.getpid()) if path.startswith(str(directory))) \
            == [f"{directory}{name}" for name in names]
    finally:
        subprocess.run(["umount", "--recursive", directory], check=True)


def test_mounts_are_made_in_order(container):
    add_mount(container, "/mnt", ["size=64k"])
    add_mount(container, "/mnt/below", ["size=68k"])
    add_mount(container, "/mnt/below/again", ["size=72k"])
    found = mounts(container.running())
    assert [found[path][3].count(size) for path, size in
            (("/mnt", "size=64k"), ("/mnt/below", "size=68k"), ("/mnt/below/again", "size=72k"))] \
        == [1, 1, 1]


def test_a_file_and_a_relative_source_are_bound(container):
    (container.bundle / "file").write_text("of the bundle\n")
    add_mount(container, "/etc/bound", ["bind", "ro"], "bind", "file")
    assert container.output("cat /etc/bound; echo x 2>&1 > /etc/bound").startswith("of the bundle\n")


def test_a_recursive_bind_is_recursive_and_a_plain_one_is_not(container):
    directory = container.base / "directory"
    (directory / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "test", directory / "below"], check=True)
    try:
        (directory / "below/file").touch()
        add_mount(container, "/mnt", ["rbind"], "bind", directory)
        add_mount(container, "/plain", ["bind"], "bind", directory)
        assert container.output("ls /mnt/below /plain/below").split() == ["/mnt/below:", "file",
                                                                        "/plain/below:"]
    finally:
        subprocess.run(["umount", directory / "below"], check=True)


def test_a_recursively_read_only_bind(container):
    directory = container.base / "directory"
    (directory / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "test", directory / "below"], check=True)
    try:
        add_mount(container, "/mnt", ["rbind", "rro"], "bind", directory)
        found = mounts(container.running())
        assert "ro" in found["/mnt"][0] and "ro" in found["/mnt/below"][0]
        container.delete("--force")
    finally:
        subprocess.run(["umount", directory / "below"], check=True)


@pytest.mark.parametrize("value,expected", [("shared", "shared"), ("rshared", "shared"),
                                            ("private", ""), ("rprivate", ""),
                                            ("unbindable", "unbindable"), ("slave", ""), ("", "")])
def test_propagation_of_the_root(container, value, expected):
    if value:
        container.linux["rootfsPropagation"] = value
    found = [word for word in mounts(container.running())["/"][1] if word != "propagate_from"]
    assert ("shared" in found) == (expected == "shared")
    assert ("unbindable" in found) == (expected == "unbindable")


def test_masked_paths(container):
    add_mount(container, "/mnt", [])
    container.linux["maskedPaths"] = ["/proc/kcore", "/etc", "/proc/no-such-file", "/proc/acpi"]
    printed = container.output("cat /proc/kcore | wc -c; ls /etc | wc -l; touch /etc/x 2>&1")
    assert printed.split("\n")[:2] == ["0", "0"] and "Read-only" in printed


def test_read_only_paths(container, busybox_rootfs):
    root = container.own_root(busybox_rootfs)
    (root / "etc/file").touch()
    container.linux["readonlyPaths"] = ["/proc/sys", "/etc", "/no/such/path"]
    printed = container.output("exec 2>&1; echo 1 > /proc/sys/net/ipv4/ip_forward; echo > /etc/file; "
                               "touch /writable && echo fine")
    assert printed.count("Read-only file system") == 2 and printed.endswith("fine\n")


def test_the_default_devices(container):
    printed = container.output(
        "cd /dev; stat -c '%n %t:%T %a %u:%g' null zero full random urandom tty; "
        "for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done; "
        "head -c 4 zero | wc -c; echo x > null && echo writes")
    assert printed.splitlines() == [
        "null 1:3 666 0:0", "zero 1:5 666 0:0", "full 1:7 666 0:0", "random 1:8 666 0:0",
        "urandom 1:9 666 0:0", "tty 5:0 666 0:0", "fd /proc/self/fd", "stdin /proc/self/fd/0",
        "stdout /proc/self/fd/1", "stderr /proc/self/fd/2", printed.splitlines()[10], "4", "writes"]
    assert printed.splitlines()[10] in ("ptmx pts/ptmx", "ptmx /dev/pts/ptmx")


def test_further_devices(container):
    container.linux["devices"] = [
        {"path": "/dev/below/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
         "uid": 7, "gid": 8},
        {"path": "/dev/disk", "type": "b", "major": 8, "minor": 20, "fileMode": 0o600},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
    ]
    root = f"/proc/{container.running()}/root/dev"
    fuse, disk = os.stat(f"{root}/below/fuse"), os.stat(f"{root}/disk")
    assert stat.S_ISCHR(fuse.st_mode) and fuse.st_rdev == os.makedev(10, 229)
    assert (stat.S_IMODE(fuse.st_mode), fuse.st_uid, fuse.st_gid) == (0o640, 7, 8)
    assert stat.S_ISBLK(disk.st_mode) and disk.st_rdev == os.makedev(8, 20)
    assert stat.S_ISFIFO(os.stat(f"{root}/pipe").st_mode)
    assert stat.S_IMODE(os.stat(f"{root}/pipe").st_mode) == 0o622
    assert stat.S_ISCHR(os.stat(f"{root}/unbuffered").st_mode)


def test_devices_are_allowed_as_the_list_says(container):
    container.process["capabilities"]["bounding"] = ["CAP_MKNOD"]
    container.process["capabilities"]["permitted"] = ["CAP_MKNOD"]
    container.process["capabilities"]["effective"] = ["CAP_MKNOD"]
    container.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rm"}]
    printed = container.output("cd /dev; mknod kmsg c 1 11; cat zero 2>&1 | head -c 1 | wc -c; "
                               "(: > kmsg) 2>&1; mknod mem c 1 1; (: < mem) 2>&1")
    lines = printed.splitlines()
    assert lines[0] == "1"
    assert sum("not permitted" in line for line in lines) >= 2, printed


def test_the_file_systems_that_are_always_there(container):
    found = mounts(container.running())
    assert [found[path][2] for path in ("/proc", "/sys", "/dev/pts", "/dev/shm")] \
        == ["proc", "sysfs", "devpts", "tmpfs"]
