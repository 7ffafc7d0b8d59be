"""The rows of microVMs: templates against boots, boots against bare QEMU, memory, exec, files."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from collections.abc import Callable

import harness
import vm_harness
from memory import private_of

KERNEL = harness.VM_DIR / "current" / "vmlinux"
MEMORY = 512  # MiB, the default of microVMs
CLONES = 5
BIG = 100 << 20

# What a bare machine does: it says a line and ends.
INIT = r"""
#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>
int main(void) {
  int console = open("/dev/console", O_WRONLY);
  if (write(console, "hello\n", 6) != 6) return 1;
  reboot(RB_AUTOBOOT);
  return 1;
}
"""


def cpio_entry(name: str, mode: int, data: bytes = b"") -> bytes:
    """One of the "newc" format; every part is filled up to a multiple of four bytes."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def tsc_khz() -> int:
    return json.loads((harness.VM_DIR / "host.json").read_text())["tsc_khz"]


def kernel_command_line() -> str:
    """As src/vmm/qemu_plan.cc has it for a machine under software emulation."""
    return ("console=ttyS0 quiet panic=-1 reboot=t no_timer_check cryptomgr.notests noreplace-smp "
            "rcupdate.rcu_expedited=1 init_on_alloc=0 random.trust_cpu=on audit=0 "
            f"tsc_early_khz={tsc_khz()} tsc=reliable mitigations=off")


class Machines:
    """trivet with an image of its own, whose containers are microVMs if not told otherwise."""

    def __init__(self, workspace, sample: Callable):
        reason = vm_harness.missing()
        if reason:
            raise SystemExit(f"bench: no microVM: {reason}")
        self.workspace = workspace
        self.sample = sample
        self.folder = workspace.folder / "vm"
        self.trivet = workspace.trivet(self.folder)
        self.trivet.isolation = "microvm"
        layout = self.folder / "image"
        layers = [*harness.busybox_layers(), self.big_layer()]
        harness.write_oci_layout(layout, layers, harness.BUSYBOX_CONFIG, "bench")
        self.trivet.run("image", "import", layout, "bench")
        workspace.cleanups.append(self.trivet.close)

    @staticmethod
    def big_layer() -> bytes:
        """A file of bytes that can't be compressed, and are the same each time."""
        block = b"".join(harness.digest_of(b"%d" % number).encode() for number in range(16_384))
        data = (block * (BIG // len(block) + 1))[:BIG]
        return harness.LayerTar().file("big", data).bytes()

    def first_line(self, command: list[object], env: dict[str, str] | None = None):
        """Until a program's line is there; its end is waited for and not counted."""
        start = time.perf_counter()
        with subprocess.Popen(list(map(str, command)), env=env, stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, stderr=self.workspace.errors) as process:
            text = line = process.stdout.readline()
            while line and line.strip() != b"hello":  # the kernel's own words, on bare consoles
                line = process.stdout.readline()
                text += line
            wall = time.perf_counter() - start
            process.stdout.read()
        if not line:
            raise SystemExit(f"bench: {' '.join(map(str, command))}: no line in {text[-2000:]!r}")
        return self.sample(wall=wall * 1e3)

    def hello(self, *options: object):
        return self.first_line(self.trivet.command("run", "--rm", "--network", "none", *options, "bench",
                                                   "echo", "hello"), self.trivet.env)

    def bare_initramfs(self) -> pathlib.Path:
        source, program = self.folder / "init.c", self.folder / "init"
        source.write_text(INIT)
        subprocess.run(["gcc", "-O2", "-static", "-o", program, source], check=True)
        initramfs = self.folder / "initramfs"
        initramfs.write_bytes(cpio_entry("init", 0o100755, program.read_bytes()) +
                              cpio_entry("TRAILER!!!", 0))
        return initramfs

    def qemu(self, machine: list[str], words: str) -> Callable:
        command = [vm_harness.QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *machine,
                   "-m", f"{MEMORY}M", "-kernel", KERNEL, "-initrd", self.bare_initramfs(), "-append", words,
                   "-serial", "stdio"]
        return lambda: self.first_line(command)

    def bare(self) -> Callable:
        """QEMU with the same kernel, machine and parameters, and nothing else in it."""
        return self.qemu(["-M", "microvm,x-option-roms=off", "-smp", "1",
                          "-accel", "tcg,tb-size=128,thread=single", "-cpu", "max,la57=off,erms=off,fsrm=off",
                          "-global", "virtio-mmio.force-legacy=false"], kernel_command_line())

    def plain(self) -> Callable:
        """As QEMU's page about the microvm machine has it, and what it can't do without here: this kernel does not
        come up under emulation unless it is told the frequency of its clock."""
        return self.qemu(["-M", "microvm", "-accel", "tcg", "-cpu", "max"],
                         f"console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz={tsc_khz()}")

    def start(self, *options: object) -> str:
        """One that has said its line and stays."""
        name = self.trivet.spawn("sh", "-c", "echo hello; exec sleep 1000", options=options, image="bench")
        self.trivet.wait_for_log(name, "hello", timeout=60)
        return name

    def private_memory(self, *options: object):
        """What `CLONES` machines that are up at once have for themselves, all of their processes."""
        names = [self.start(*options) for _ in range(CLONES)]
        total = 0.0
        for name in names:
            total += private_of(vm_harness.tree_of(self.trivet.inspect(name)["State"]["Pid"]))
        self.trivet.run("rm", "-f", *names)
        return self.sample(memory=total)

    def exec(self, *options: object) -> Callable:
        name = self.start(*options)
        return lambda: self.workspace.measure(self.trivet.command("exec", name, "true"), self.trivet.env)

    def read(self, *place: object) -> Callable:
        """Reading a file in the guest whose kernel has not seen it: the time between two lines."""
        script = "echo hello; dd if=/big of=/dev/null bs=1M 2>/dev/null; echo done"
        command = self.trivet.command("run", "--rm", "--network", "none", *place, "sh", "-c", script)

        def measure():
            with subprocess.Popen(command, env=self.trivet.env, stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, stderr=self.workspace.errors) as process:
                first = process.stdout.readline()
                start = time.perf_counter()
                second = process.stdout.readline()
                wall = time.perf_counter() - start
            if (first, second) != (b"hello\n", b"done\n"):
                raise SystemExit(f"bench: {' '.join(command)}: {first!r}, {second!r}")
            return self.sample(wall=wall * 1e3)
        return measure

    def rootfs(self) -> pathlib.Path:
        """The image's files in a directory, which a guest gets by virtiofs."""
        folder = self.folder / "rootfs"
        folder.mkdir()
        for layer in (*harness.busybox_layers()[:2], self.big_layer()):
            subprocess.run(["tar", "-x", "-C", folder, "-f", "-"], input=layer, check=True)
        return folder


def template(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return machines.hello, lambda: machines.hello("--no-template")


def cold(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return lambda: machines.hello("--no-template"), machines.bare()


def cold_plain(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return lambda: machines.hello("--no-template"), machines.plain()


def memory(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return machines.private_memory, lambda: machines.private_memory("--no-template")


def exec_program(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return machines.exec(), machines.exec("--isolation", "native")


def read(workspace, sample: Callable):
    machines = Machines(workspace, sample)
    return machines.read("bench"), machines.read("--rootfs", machines.rootfs())
