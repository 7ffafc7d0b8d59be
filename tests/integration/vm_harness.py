"""What the tests of microVMs need and share."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import struct
import subprocess

import harness

QEMU = "qemu-system-x86_64"


@functools.cache
def missing() -> str | None:
    """Why there can be no microVM here; None when there can."""
    if harness.program_missing(QEMU):
        return f"{QEMU} is not installed"
    for program in ("trivet-vmm", "trivet-vminit"):
        if not os.access(harness.BIN_DIR / program, os.X_OK):
            return f"{program} is not built"
    if not (harness.VM_DIR / "current").exists():
        return f"{harness.VM_DIR} has no guest's kernel: run scripts/setup-vm"
    return None


def facts_of_host() -> dict:
    """What trivet has found out of the host and noted; empty before the first microVM."""
    try:
        return json.loads((harness.VM_DIR / "host.json").read_text())
    except FileNotFoundError:
        return {}


def copy_vm_dir(folder: pathlib.Path) -> pathlib.Path:
    """The kernel and what was found out of the host; no template."""
    for name in ("current", "kernels", "initramfs", "host.json", "scratch"):
        if os.path.lexists(harness.VM_DIR / name):
            subprocess.run(["cp", "-a", harness.VM_DIR / name, folder], check=True)
    return folder


def make_vmlinux(release: str = "6.1.7-test", note: int = 18) -> bytes:
    """An ELF file with a note for direct boot and a banner: what makes a kernel one for a guest."""
    notes = struct.pack("<III4s8s", 4, 8, note, b"Xen\0", bytes(8))
    header = struct.pack("<4sBBBBQHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 2, 62, 1, 0, 64, 0, 0, 64,
                         56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 4, 0, 64 + 56, 0, 0, len(notes), len(notes), 4)
    banner = f"Linux version {release} (gcc) #1\0virtio_mmio.device\0".encode()
    return header + segment + notes + b"\0" + banner + bytes(range(256)) * 64


# ---------------------------------------------------------------- processes

def stat_of(pid: int) -> tuple[str, int, str] | None:
    """State, parent and start time; the last with the pid is a process's identity."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1]), fields[19]


def tree_of(pid: int) -> dict[int, str]:
    """A process and its descendants: their names by pid."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        facts = stat_of(int(entry))
        if facts:
            parents[int(entry)] = facts[1]
    found, wanted = {}, [pid]
    while wanted:
        current = wanted.pop()
        try:
            link = os.readlink(f"/proc/{current}/exe")
        except OSError:
            continue
        found[current] = pathlib.Path(link).name
        wanted += [child for child, parent in parents.items() if parent == current]
    return found


class Machines:
    """The processes of the machines of one trivet, by the names of their containers."""

    def __init__(self, trivet: harness.Trivet):
        self.trivet = trivet
        self.seen: dict[tuple[int, str], str] = {}

    def processes(self, name: str) -> dict[int, str]:
        """The VMM of a running container and what it started; they are remembered."""
        found = tree_of(self.trivet.inspect(name)["State"]["Pid"])
        for pid, program in found.items():
            if facts := stat_of(pid):
                self.seen[pid, facts[2]] = program
        return found

    def pid_of(self, name: str, program: str) -> int:
        """Of one such process, by the name of its program."""
        return next(pid for pid, found in self.processes(name).items() if found == program)

    def alive(self) -> dict[int, str]:
        """Which of those that were seen are there still."""
        result = {}
        for (pid, started), program in self.seen.items():
            facts = stat_of(pid)
            if facts and facts[0] != "Z" and facts[2] == started:
                result[pid] = program
        return result


# ---------------------------------------------------------------- running

def machine_of(trivet: harness.Trivet, name: str) -> dict:
    """What inspect tells of the machine of a container."""
    return trivet.inspect(name)["Trivet"]["MicroVM"]


def both(trivet: harness.Trivet, *command: object, options: tuple = (), **settings) \
        -> tuple[harness.Result, harness.Result]:
    """The same container natively and in a microVM."""
    return (trivet.box(*command, options=["--isolation", "native", *options], **settings),
            trivet.box(*command, options=options, **settings))


def assert_same(trivet: harness.Trivet, *command: object, options: tuple = (), **settings) -> str:
    """A program prints the same in both; returns it."""
    native, virtual = both(trivet, *command, options=options, **settings)
    assert virtual.stdout == native.stdout
    assert virtual.stderr == native.stderr
    assert virtual.returncode == native.returncode
    return virtual.stdout
