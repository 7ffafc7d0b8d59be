"""Attacks on container runtimes that have worked on others, tried against trivet-oci. Each names the
class it belongs to by the advisory that made it known."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pathlib
import subprocess
import threading

import pytest

import harness
from oci_harness import NAME

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

AT_FDCWD = -100
RENAME_EXCHANGE = 2


@pytest.fixture
def outside(tmp_path):
    """A directory of the host that nothing may reach."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("untouched\n")
    yield folder
    assert [entry.name for entry in folder.iterdir()] == ["secret"]
    assert (folder / "secret").read_text() == "untouched\n"


def without_mount(oci, destination: str) -> None:
    oci.config["mounts"] = [mount for mount in oci.config["mounts"]
                            if not (mount["destination"] + "/").startswith(destination + "/")]


def started(oci, *command) -> None:
    oci.write(*command)
    oci.create(NAME)
    oci("start", NAME)


# ---------------------------------------------------------------- CVE-2019-5736: the runtime's file

def test_no_process_in_a_container_ever_runs_a_file_of_the_host(oci, own_root):
    """What /proc/PID/exe leads to could be written to. The container watches while we enter it."""
    digest = hashlib.sha256(oci.program.read_bytes()).hexdigest()
    started(oci, "sh", "-c", "while [ ! -e /stop ]; do for p in /proc/[0-9]*; do "
            "readlink $p/exe && (: > $p/exe) 2>/dev/null && echo WROTE $p; done; done > /seen; echo done > /ended")
    for _ in range(15):
        oci("exec", NAME, "true")
        oci("exec", NAME, "/proc/self/exe", "true", check=False)
    (own_root / "stop").touch()
    harness.wait_for((own_root / "ended").exists, what="the attacker is done")
    seen = set((own_root / "seen").read_text().splitlines())
    assert not any("WROTE" in line for line in seen), seen
    assert not any(str(oci.program) in line or "trivet-oci" in line for line in seen), seen
    assert hashlib.sha256(oci.program.read_bytes()).hexdigest() == digest


# ---------------------------------------------------------------- CVE-2024-21626: what stays open

def test_no_descriptor_and_no_working_directory_of_the_runtime_gets_in(oci):
    oci.write("sh", "-c", "ls /proc/self/fd | wc -l; ls -l /proc/1/fd")
    lines = oci.run().stdout.splitlines()
    assert lines[0] == "4", lines  # 0, 1, 2 and the directory that ls reads
    for number in range(3, 40):
        oci.write("pwd", cwd=f"/proc/self/fd/{number}")
        assert oci.run(code=1).stdout == ""


def test_exec_has_no_working_directory_outside(oci):
    started(oci, "sleep", "100")
    for number in range(3, 40):
        done = oci("exec", "--cwd", f"/proc/self/fd/{number}", NAME, "pwd", check=False)
        assert done.returncode != 0 and done.stdout == ""
    assert oci("exec", NAME, "sh", "-c", "ls /proc/self/fd | wc -l").stdout == "4\n"


# ---------------------------------------------------------------- CVE-2024-45310: mount targets

@pytest.mark.parametrize("link", ["{outside}", "../../../../../../../../../..{outside}", "/proc/1/root{outside}",
                                  "/proc/self/cwd{outside}"])
def test_a_mount_target_behind_a_symlink_stays_in_the_root(oci, own_root, outside, link):
    (own_root / "link").symlink_to(link.format(outside=outside))
    oci.config["mounts"].append({"destination": "/link/made", "type": "tmpfs", "source": "tmpfs"})
    oci.config["mounts"].append({"destination": "/link/file", "type": "bind", "source": "/etc/hostname",
                                 "options": ["bind"]})
    oci.write("true")
    oci("run", "--bundle", oci.bundle, NAME, check=False)  # it may fail, but only inside


class Swapper(threading.Thread):
    """Exchanges a directory and a symlink to the outside, over and over."""

    def __init__(self, root: pathlib.Path, outside: pathlib.Path):
        super().__init__(daemon=True)
        (root / "a").mkdir()
        (root / "b").symlink_to(outside)
        self.names = [str(root / name).encode() for name in "ab"]
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.stop = False

    def run(self):
        while not self.stop:
            self.libc.renameat2(AT_FDCWD, self.names[0], AT_FDCWD, self.names[1], RENAME_EXCHANGE)


def test_a_mount_target_that_is_swapped_meanwhile_stays_in_the_root(oci, own_root, outside):
    swapper = Swapper(own_root, outside)
    usual = oci.config["mounts"]
    swapper.start()
    try:
        for attempt in range(25):
            # New ones each time: the test itself must not clean up through what is swapped.
            oci.config["mounts"] = usual + [
                {"destination": f"/a/x{attempt}-{number}/y", "type": "tmpfs", "source": "tmpfs"}
                for number in range(8)]
            oci.write("true")
            oci("run", "--bundle", oci.bundle, NAME, check=False)
    finally:
        swapper.stop = True
        swapper.join()


# ---------------------------------------------------------------- CVE-2019-19921: procfs elsewhere

@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_are_not_mounted_through_a_symlink(oci, own_root, name):
    (own_root / name).rmdir()
    (own_root / "elsewhere").mkdir()
    (own_root / name).symlink_to("elsewhere")
    oci.write("true")
    assert f'"/{name}"' in oci.run(code=1).stderr


# ---------------------------------------------------------------- CVE-2025-31133: masks

def test_a_mask_does_not_come_from_the_containers_dev_null(oci, own_root, outside):
    without_mount(oci, "/dev")
    (own_root / "dev/null").symlink_to("/etc/attacker")
    (own_root / "etc/attacker").write_text("attacker\n")
    oci.config["linux"]["maskedPaths"] = ["/proc/keys", "/proc/timer_list"]
    oci.write("sh", "-c", "cat /proc/keys; stat -c '%t %T' /proc/keys; cat /etc/attacker")
    lines = oci("run", "--bundle", oci.bundle, NAME, check=False).stdout.splitlines()
    assert lines in ([], ["1 3", "attacker"]), lines


# ---------------------------------------------------------------- CVE-2025-52565: the console

def with_terminal(oci, *command) -> subprocess.CompletedProcess:
    oci.write(*command, terminal=True)
    return subprocess.run(["script", "-qec", f"{oci.program} --root {oci.root} run --bundle {oci.bundle} {NAME}",
                           "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=False)


def test_the_console_is_not_mounted_through_a_symlink(oci, own_root, outside):
    """On a /dev of the image: the terminal must not cover what a symlink there leads to."""
    without_mount(oci, "/dev")
    oci.config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]})
    (own_root / "dev/console").symlink_to("/proc/version")
    done = with_terminal(oci, "cat", "/proc/mounts")
    assert done.returncode == 1 and "set up the terminal" in done.stdout, done
    assert "Too many levels of symbolic links" in done.stdout


# ---------------------------------------------------------------- CVE-2025-52881: writes to procfs

def test_sysctls_are_written_to_a_procfs_that_the_container_can_not_fake(oci, own_root):
    fake = own_root / "fake/sys/net/ipv4"
    fake.mkdir(parents=True)
    (fake / "ip_forward").write_text("fake\n")
    without_mount(oci, "/proc")
    oci.config["mounts"].append({"destination": "/proc", "type": "bind", "source": str(own_root / "fake"),
                                 "options": ["bind"]})
    oci.config["mounts"].append({"destination": "/real", "type": "proc", "source": "proc"})
    oci.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    oci.config["linux"].update({"maskedPaths": [], "readonlyPaths": []})
    oci.write("cat", "/real/sys/net/ipv4/ip_forward")
    assert oci.run().stdout == "1\n"
    assert (fake / "ip_forward").read_text() == "fake\n"


def test_a_sysctl_is_no_path(oci):
    for key in ("net/../../../etc/hostname", "net.ipv4/../../kernel/hostname"):
        oci.config["linux"]["sysctl"] = {key: "attacker"}
        oci.write("true")
        assert "linux.sysctl" in oci.run(code=1).stderr


# ---------------------------------------------------------------- CVE-2026-41579: /dev of the image

@pytest.mark.parametrize("link", ["{outside}", "/proc/self/cwd/../../../../../../..{outside}"])
def test_devices_are_not_made_through_a_symlink(oci, own_root, outside, link):
    without_mount(oci, "/dev")
    (own_root / "dev").rmdir()
    (own_root / "dev").symlink_to(link.format(outside=outside))
    oci.write("true")
    oci("run", "--bundle", oci.bundle, NAME, check=False)  # it may fail, but only inside


# ---------------------------------------------------------------- entering a hostile container

def test_exec_does_not_hang_on_what_the_container_made_of_its_files(oci, own_root):
    started(oci, "sleep", "100")
    for command in ("rm -f /etc/passwd; mkfifo /etc/passwd", "rm -f /etc/passwd; ln -s /dev/zero /etc/passwd",
                    "rm -f /etc/passwd; ln -s /proc/self/mem /etc/passwd"):
        oci("exec", NAME, "sh", "-c", command)
        assert oci("exec", NAME, "sh", "-c", "echo $HOME").stdout == "/\n"


def test_exec_ignores_a_procfs_that_the_container_covered(oci, own_root):
    oci.config["process"]["capabilities"] = {kind: ["CAP_SYS_ADMIN"] for kind in (
        "bounding", "effective", "permitted")}
    started(oci, "sh", "-c", "mount -t tmpfs none /proc && echo covered > /state; sleep 100")
    harness.wait_for((own_root / "state").exists, what="/proc is covered")
    assert oci("exec", NAME, "echo", "in").stdout == "in\n"
