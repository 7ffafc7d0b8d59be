"""Boots a virtual machine with a kernel of its own and pure cgroup v2, runs one command in it on the
host's files, and ends with the command's exit code.

The guest sees the host's root file system at the same paths; what it writes is gone with it. It runs
in software emulation, which is slow but works everywhere.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import selectors
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# In the order of their dependencies.
MODULES = ["virtio_ring", "virtio", "virtio_mmio", "netfs", "fscache", "9pnet", "9pnet_virtio", "9p",
           "overlay", "tun", "veth"]
EXIT_MARKER = re.compile(rb"guest: exit code (\d+)\r?\n")
ENVIRONMENT = ("PATH", "HOME", "CI", "TRIVET_BIN_DIR", "TRIVET_TEST_PATIENCE")


def tsc_khz() -> int:
    """The frequency of the host's time stamp counter: the guest can't measure it on a busy host."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    return round(float(re.search(r"cpu MHz\s*: ([\d.]+)", text)[1]) * 1000)


def module_order(kernel: pathlib.Path) -> list[str]:
    return [f"{name}.ko" for name in MODULES if (kernel / "modules" / f"{name}.ko").exists()]


def write_initramfs(kernel: pathlib.Path, work: pathlib.Path, command: str,
                    systemd: bool) -> pathlib.Path:
    tree = work / "initramfs"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    subprocess.run(["cp", "/bin/busybox", tree / "bin"], check=True)
    modules = module_order(kernel)
    for name in modules:
        subprocess.run(["cp", kernel / "modules" / name, tree / "modules"], check=True)
    (tree / "modules/list").write_text("".join(f"{name}\n" for name in modules))
    subprocess.run(["cp", pathlib.Path(__file__).with_name("init.sh"), tree / "init"], check=True)
    (tree / "init").chmod(0o755)
    if systemd:
        subprocess.run(["cp", "-r", pathlib.Path(__file__).with_name("systemd"), tree], check=True)
    exports = "".join(f"export {name}={shlex.quote(os.environ[name])}\n" for name in ENVIRONMENT
                      if name in os.environ)
    (tree / "command").write_text(f"{exports}cd {shlex.quote(os.getcwd())}\n{command}\n")
    image = work / "initramfs.cpio"
    with image.open("wb") as out:
        subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=tree, stdout=out,
                       check=True)
    return image


def qemu_command(kernel: pathlib.Path, initramfs: pathlib.Path, memory: int, cpus: int,
                 cgroups: str) -> list[str]:
    hierarchy = {"v2": "systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all",
                 "v1": "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
                 "hybrid": "systemd.unified_cgroup_hierarchy=0"}[cgroups]
    append = (f"console=ttyS0 quiet panic=-1 tsc_early_khz={tsc_khz()} tsc=reliable no_timer_check "
              "cryptomgr.notests noreplace-smp mitigations=off random.trust_cpu=on audit=0 "
              f"{hierarchy} sysctl.kernel.hung_task_timeout_secs=0")
    return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", "stdio", "-M", "microvm,x-option-roms=off", "-accel", "tcg",
            "-cpu", "max,la57=off,erms=off,fsrm=off", "-m", str(memory), "-smp", str(cpus),
            "-global", "virtio-mmio.force-legacy=false", "-kernel", str(kernel / "vmlinux"),
            "-initrd", str(initramfs), "-append", append,
            "-fsdev", "local,id=root,path=/,security_model=none,multidevs=remap,readonly=on",
            "-device", "virtio-9p-device,fsdev=root,mount_tag=root"]


def relay(process: subprocess.Popen, timeout: float) -> int:
    """Prints the console until the marker; the exit code, 124 after the timeout, 125 without one."""
    deadline = time.monotonic() + timeout
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(timeout=1):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            pending += data
            if found := EXIT_MARKER.search(pending):
                sys.stdout.buffer.write(pending[:found.start()])
                return int(found[1])
            if not data:
                break
            *lines, pending = pending.split(b"\n")
            sys.stdout.buffer.write(b"".join(line.rstrip(b"\r") + b"\n" for line in lines))
            sys.stdout.buffer.flush()
    sys.stdout.buffer.write(pending)
    print("guest: it ended without an exit code" if process.poll() is not None
          else f"guest: not done after {timeout:.0f} s", file=sys.stderr)
    return 125 if process.poll() is not None else 124


def run(command: str, memory: int = 2048, cpus: int = 2, timeout: float = 600,
        systemd: bool = False, cgroups: str = "v2") -> int:
    kernel = pathlib.Path(subprocess.run([ROOT / "scripts/setup-guest"], check=True,
                                         stdout=subprocess.PIPE, text=True).stdout.strip())
    with tempfile.TemporaryDirectory(prefix="trivet-guest-") as work:
        initramfs = write_initramfs(kernel, pathlib.Path(work), command, systemd)
        process = subprocess.Popen(qemu_command(kernel, initramfs, memory, cpus, cgroups),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            return relay(process, timeout)
        finally:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/guest/guest.py", description=__doc__)
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--systemd", action="store_true",
                        help="with systemd as PID 1, D-Bus and logind")
    parser.add_argument("--cgroups", choices=["v2", "v1", "hybrid"], default="v2",
                        help="how systemd mounts them (default: %(default)s)")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.cgroups != "v2" and not options.systemd:
        parser.error("--cgroups needs --systemd")
    return run(shlex.join(options.command), options.memory, options.cpus, options.timeout,
               options.systemd, options.cgroups)


if __name__ == "__main__":
    sys.exit(main())
