"""Fixtures of the tests of trivet-vmm: images, and machines in shells of their own."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from shell import (BINARIES, PAYLOAD_FAILED, READY, Shell, container, make_images, memfd,  # noqa: E402
                   receive)


@pytest.fixture(scope="session", autouse=True)
def _needs():
    missing = [name for name in ("qemu-system-x86_64", "busybox", "cpio", "mke2fs", "unshare")
               if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing and os.environ.get("CI"):
        pytest.fail(f"missing: {missing}", pytrace=False)
    if missing:
        pytest.skip(f"missing: {missing}")


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    work = tmp_path_factory.mktemp("vmm")
    make_images(work)
    return work


class Vm(Shell):
    """A shell whose machine has the test image, and processes that enter it."""

    def exec_process(self, *args: str, terminal: bool = False, env: tuple[str, ...] = (), **options):
        process = {"args": list(args), "cwd": "/", "env": ["PATH=/bin", *env], "user": {"uid": 0, "gid": 0},
                   "terminal": terminal}
        ours, sync = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        job = memfd(json.dumps({"exec": {"request": json.dumps({"process": json.dumps(process)}),
                                         "sync": sync.fileno(), "terminal": terminal}}))
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        try:
            found = subprocess.Popen(
                ["nsenter", "--target", str(self.init), "--mount", "--pid", "--net", "--ipc", "--uts", "--root",
                 "--wd=/", "--", "/vm/trivet-vmm"],
                env={"TRIVET_VMM_JOB": str(job)}, pass_fds=[job, sync.fileno()], **options)
            found.sync = ours
            return found
        finally:
            os.close(job)
            sync.close()

    def failed_exec(self, *args: str) -> dict:
        """The error that the engine gets of a program that can't be executed."""
        process = self.exec_process(*args)
        message = receive(process.sync)
        assert message and message[0] == PAYLOAD_FAILED, message
        assert receive(process.sync) is None
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode != 0
        return json.loads(message[1])

    def exec(self, *args: str, **options) -> tuple[int, bytes, bytes]:
        text = options.pop("input", None)
        if text is not None:
            options["stdin"] = subprocess.PIPE
        process = self.exec_process(*args, **options)
        out, err = process.communicate(text, timeout=60)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def start_vm(images, tmp_path_factory):
    """start_vm(*args): a machine that is ready to be started with this program."""
    machines = []

    def start(*args: str, terminal: bool = False, job: dict | None = None, create: dict | None = None,
              config: dict | None = None, fds: tuple[int, ...] = (), wait: bool = True, disks=None, **options) -> Vm:
        work = tmp_path_factory.mktemp("machine")
        if disks is None:
            shutil.copy(images / "scratch.img", work)
            disks = [(images / "lower.img", True), (work / "scratch.img", False)]
        opened = [(os.open(path, os.O_RDONLY if read_only else os.O_RDWR), read_only) for path, read_only in disks]
        request = {"config": json.dumps(config or container(*args, terminal=terminal)), "hostname": "box",
                   **({"lower_device": "vda", "scratch_device": "vdb"} if disks else {}), **(create or {})}
        machine = Vm(work / "jail", images / "initramfs.cpio",
                     {"create": json.dumps(request), "terminal": terminal,
                      "disks": [{"fd": fd, "readOnly": read_only} for fd, read_only in opened], **(job or {})},
                     fds=[*fds, *(fd for fd, _ in opened)], **options)
        for fd, _ in opened:
            os.close(fd)
        machines.append(machine)
        if wait:
            machine.wait_ready()
        return machine

    yield start
    for machine in machines:
        machine.kill()


@pytest.fixture(scope="module")
def sleeper(start_vm) -> Vm:
    """A machine whose container sleeps: the tests enter it."""
    machine = start_vm("sleep", "1000")
    machine.start()
    return machine


__all__ = ["BINARIES", "READY", "Vm"]
