"""Fixtures of the tests of trivet-vminit: what its virtual machines are made of."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from agent import ROOT, Machine, kernel, make_initramfs

BINARIES = pathlib.Path(os.environ.get("TRIVET_BIN_DIR", ROOT / "build/bin"))
COMMANDS = ["sh", "cat", "echo", "sleep", "id", "stty", "hostname", "head", "dd", "wc", "true", "false", "ip",
            "ps", "kill", "date", "touch", "mkdir", "sha256sum", "env", "ls", "stat", "readlink", "seq", "nc", "tail",
            "rm", "mkfifo", "test", "ln", "chown", "chmod", "mount", "df", "grep"]


@pytest.fixture(scope="session", autouse=True)
def _needs():
    for program in ("qemu-system-x86_64", "busybox", "cpio", "mke2fs"):
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{program} is missing", pytrace=False)
            pytest.skip(f"{program} is missing")
    kernel()


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A directory with initramfs.cpio, root/ (busybox), lower.img (the same) and scratch.img (empty)."""
    work = tmp_path_factory.mktemp("vminit")
    make_initramfs(BINARIES / "trivet-vminit", work)
    root = work / "root"
    for name in ("bin", "etc", "tmp", "proc", "dev", "sys", "root", "home/user"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for name in COMMANDS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "etc/deep/er/file").write_text("deep\n")
    (root / "etc/deep/link").symlink_to("er/file")
    for arguments in (["-d", root, work / "lower.img", "16M"], [work / "scratch.img", "64M"]):
        subprocess.run(["mke2fs", "-q", "-t", "ext4", *arguments], check=True, stdout=subprocess.DEVNULL)
    # mke2fs leaves the root directory as it likes it.
    subprocess.run(["debugfs", "-w", "-R", "set_inode_field / mode 040751", work / "lower.img"], check=True,
                   capture_output=True)
    return work


@pytest.fixture(scope="module")
def boot(images, tmp_path_factory):
    """boot(): a machine that is ready, with a lower disk and a scratch disk of its own."""
    machines = []

    def start(**options) -> Machine:
        work = tmp_path_factory.mktemp("machine")
        shutil.copy(images / "scratch.img", work)
        disks = [(options.pop("lower", images / "lower.img"), True), (work / "scratch.img", False)]
        machine = Machine(images / "initramfs.cpio", disks, console=work / "console", **options)
        machines.append(machine)
        machine.scratch = work / "scratch.img"
        if not options.get("restored"):
            machine.wait_ready()
            machine.agent.wake()
        return machine

    yield start
    for machine in machines:
        machine.kill()
