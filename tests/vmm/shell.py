"""The shell of a microVM for the tests of trivet-vmm: namespaces and a jail as payload/microvm/job.h
describes them, and the engine's end of the conversation (container/stage/plan.h).

By hand: python3 tests/vmm/shell.py [--terminal] PROGRAM [ARGUMENT…] boots a machine, runs the program on the
test image and exits with its code.
"""

from __future__ import annotations

import array
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vminit"))
from agent import ROOT, kernel, make_initramfs, tsc_khz  # noqa: E402

BINARIES = pathlib.Path(os.environ.get("TRIVET_BIN_DIR", ROOT / "build/bin"))
MESSAGE = struct.Struct("<IIiII")  # kind, step, error, operand, call
READY, GO, KEEP, PAYLOAD_FAILED = 6, 7, 8, 9
REPORT = struct.Struct("<IIIIQQI64s1024s")

# The jail: what job.h promises, and trivet-vmm itself.
JAIL = r"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 jail "$JAIL"
cd "$JAIL"
mkdir usr vm share dev proc run tmp etc
mount --rbind /usr usr
for name in bin sbin lib lib64; do [ -L /$name ] && cp -P /$name .; done
touch vm/kernel vm/initramfs vm/trivet-vmm
mount --bind "$KERNEL" vm/kernel
mount --bind "$INITRAMFS" vm/initramfs
mount --bind "$PROGRAM" vm/trivet-vmm
[ -z "$SHARE" ] || mount --rbind "$SHARE" share
mount -t tmpfs -o mode=755 dev dev
mkdir dev/net dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
for node in null,1,3 zero,1,5 full,1,7 random,1,8 urandom,1,9; do
  IFS=, read -r name major minor <<< "$node"
  mknod -m 666 "dev/$name" c "$major" "$minor"
done
mknod -m 600 dev/net/tun c 10 200
mount -t proc proc proc
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
pivot_root . tmp
umount -l /tmp
exec setpriv --bounding-set=-all,+chown,+dac_override,+dac_read_search,+fowner,+fsetid,+kill,+mknod,+net_admin,\
+setfcap,+setgid,+setpcap,+setuid,+sys_chroot /vm/trivet-vmm
"""

# Into the namespaces, and then nothing but the exit code: descriptors are the child's alone.
LAUNCHER = r"""
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
if libc.unshare(NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET) != 0:
    sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
child = os.fork()
if child == 0:
    libc.prctl(1, signal.SIGKILL)
    os.execvp("bash", ["bash", "-c", sys.argv[1]])
os.closerange(0, 1000)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"""


def memfd(text: str) -> int:
    fd = os.memfd_create("job")
    os.write(fd, text.encode())
    return fd


def container(*args: str, terminal: bool = False, root: str = "/run/trivet/share", **process) -> dict:
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_DAC_OVERRIDE"]
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "terminal": terminal,
                    "user": {"uid": 0, "gid": 0},
                    "capabilities": {name: capabilities for name in ("bounding", "effective", "permitted")},
                    **process},
        "root": {"path": root},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                   {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666", "mode=0620"]}],
        "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "cgroup")],
                  "resources": {"memory": {"limit": 64 << 20}, "pids": {"limit": 64}}},
    }


def receive(sync: socket.socket, timeout: float = 60) -> tuple[int, str] | None:
    """The next message's kind and the words that came along; None at the end."""
    sync.settimeout(timeout)
    data, rights, _, _ = sync.recvmsg(MESSAGE.size, socket.CMSG_LEN(4))
    if not data:
        return None
    words = ""
    for _, _, content in rights:
        fd = array.array("i", content)[0]
        words = os.pread(fd, 65536, 0).decode()
        os.close(fd)
    return MESSAGE.unpack(data)[0], words


class Shell:
    """A trivet-vmm in its shell. `job` has the members of a run job; descriptors in `fds` are inherited."""

    def __init__(self, jail: pathlib.Path, initramfs: pathlib.Path, job: dict, fds: list[int] = (),
                 share: pathlib.Path | None = None, prepare: str = "", stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec=None):
        self.sync, sync = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.report = os.memfd_create("report")
        os.ftruncate(self.report, 4096)
        self.console = jail.parent / (jail.name + ".console")
        console = os.open(self.console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        jail.mkdir(exist_ok=True)
        run = {"tscKhz": tsc_khz(), "machineId": os.urandom(16).hex(), "sync": sync.fileno(),
               "report": self.report, "console": console, "memoryMib": 256, **job}
        job_fd = memfd(json.dumps({"run": run}))
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, prepare + JAIL],
            env={"PATH": os.environ["PATH"], "JAIL": str(jail), "KERNEL": str(kernel() / "vmlinux"),
                 "INITRAMFS": str(initramfs), "PROGRAM": str(BINARIES / "trivet-vmm"), "SHARE": str(share or ""),
                 "TRIVET_VMM_JOB": str(job_fd)},
            stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=preexec,
            pass_fds=[sync.fileno(), self.report, console, job_fd, *fds])
        for fd in (job_fd, console):
            os.close(fd)
        sync.close()

    @property
    def init(self) -> int:
        """The pid of trivet-vmm."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def receive(self, timeout: float = 60) -> tuple[int, str] | None:
        return receive(self.sync, timeout)

    def send(self, kind: int, connection: socket.socket | None = None):
        (connection or self.sync).send(MESSAGE.pack(kind, 0, 0, 0, 0))

    def wait_ready(self) -> float:
        message = self.receive()
        assert message == (READY, ""), (message, self.console.read_text()[-2000:])
        return time.monotonic() - self.begun

    def start(self):
        self.send(GO)
        message = self.receive()
        assert message is None, message

    def read_report(self) -> dict:
        fields = REPORT.unpack(os.pread(self.report, REPORT.size, 0))
        return {"from_template": fields[1], "oom": fields[2], "lost": fields[3], "boot_us": fields[4],
                "create_us": fields[5], "kernel": fields[7].rstrip(b"\0").decode(),
                "message": fields[8][:fields[6]].decode()}

    def wait(self, timeout: float = 60) -> int:
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait()


def make_images(work: pathlib.Path):
    """initramfs.cpio, lower.img (busybox) and scratch.img (empty) in `work`."""
    make_initramfs(BINARIES / "trivet-vminit", work)
    root = work / "root"
    for name in ("bin", "etc", "tmp", "proc", "dev", "sys", "root"):
        (root / name).mkdir(parents=True)
    subprocess.run(["cp", "/bin/busybox", root / "bin"], check=True)
    subprocess.run(["/bin/busybox", "--install", "-s", root / "bin"], check=True)
    for link in (root / "bin").iterdir():
        if link.is_symlink():
            link.unlink()
            link.symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for arguments in (["-d", root, work / "lower.img", "16M"], [work / "scratch.img", "64M"]):
        subprocess.run(["mke2fs", "-q", "-t", "ext4", *arguments], check=True, stdout=subprocess.DEVNULL)


def main():
    terminal = "--terminal" in sys.argv
    args = [word for word in sys.argv[1:] if word != "--terminal"]
    work = pathlib.Path(os.environ.get("WORK", "/tmp/trivet-vmm-by-hand"))
    if not (work / "scratch.img").exists():
        work.mkdir(parents=True, exist_ok=True)
        make_images(work)
    disks = [os.open(work / "lower.img", os.O_RDONLY), os.open(work / "scratch.img", os.O_RDWR)]
    create = {"config": json.dumps(container(*args, terminal=terminal)), "lower_device": "vda",
              "scratch_device": "vdb"}
    shell = Shell(work / "jail", work / "initramfs.cpio",
                  {"create": json.dumps(create), "terminal": terminal,
                   "disks": [{"fd": disks[0], "readOnly": True}, {"fd": disks[1]}]},
                  fds=disks, stdin=0, stdout=1, stderr=2)
    message = shell.receive()
    if message != (READY, ""):
        print(message, file=sys.stderr)
        return 1
    shell.start()
    code = shell.wait(None)
    print(shell.read_report(), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
