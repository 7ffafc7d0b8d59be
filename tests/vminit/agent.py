"""A microVM for the tests of trivet-vminit: the kernel of scripts/setup-vm, an initramfs with the program and
the modules, QEMU in software emulation, and the host's end of the agent protocol (src/guest/protocol.h).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WINDOW = 256 << 10
FIRST_REQUEST = 2
HEADER = struct.Struct("<IIBB2x")


def tsc_khz() -> int:
    """The frequency of the host's time stamp counter: the guest can't measure it on a busy host."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    return round(float(re.search(r"cpu MHz\s*: ([\d.]+)", text)[1]) * 1000)


def kernel() -> pathlib.Path:
    """A directory with vmlinux, kernel.json and modules/ of the kernel that microVMs have."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    place = cache / "trivet/vm/current"
    if not (place / "vmlinux").exists():
        subprocess.run([ROOT / "scripts/setup-vm"], check=True, stdout=subprocess.DEVNULL)
    return place


def make_initramfs(vminit: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
    tree = work / "initramfs"
    (tree / "modules").mkdir(parents=True)
    subprocess.run(["cp", vminit, tree / "init"], check=True)
    modules = [kernel() / module["path"] for module in json.loads((kernel() / "kernel.json").read_text())["modules"]]
    subprocess.run(["cp", *modules, tree / "modules"], check=True)
    (tree / "modules/list").write_text("".join(f"{path.name}\n" for path in modules))
    image = work / "initramfs.cpio"
    with image.open("wb") as out:
        subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=tree, stdout=out,
                       check=True)
    return image


class Monitor:
    """QEMU's own conversation (QMP), over a socket in its -chardev."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.arguments = ["-chardev", f"socket,id=qmp,fd={self.theirs.fileno()}", "-mon",
                          "chardev=qmp,mode=control"]
        self.lines = self.ours.makefile("r")

    def run(self, command: str, **arguments):
        self.ours.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]

    def begin(self):
        assert "QMP" in json.loads(self.lines.readline())
        self.run("qmp_capabilities")
        self.run("migrate-set-capabilities",
                 capabilities=[{"capability": name, "state": True} for name in ("events", "x-ignore-shared")])

    def wait_migrated(self):
        while True:
            event = json.loads(self.lines.readline())
            if event.get("event") == "MIGRATION":
                assert event["data"]["status"] != "failed"
                if event["data"]["status"] == "completed":
                    return


class Failed(Exception):
    """The guest answered kFailed."""

    def __init__(self, error: dict):
        super().__init__(error["message"])
        self.code = error["code"]


class Session:
    """What came of one session so far."""

    def __init__(self, agent: "Agent", number: int):
        self.agent = agent
        self.number = number
        self.stdout = b""
        self.stderr = b""
        self.done = False
        self.answer: dict | None = None
        self.error: dict | None = None
        self.exit: tuple[int, bool] | None = None
        self.input_window = WINDOW
        self.auto_credit = True

    def send(self, kind: str, payload: bytes = b""):
        self.agent.send(kind, self.number, payload)

    def write(self, data: bytes):
        """Input, as fast as the guest takes it."""
        while data:
            self.agent.wait(lambda: self.input_window > 0 or self.exit is not None or self.error)
            if self.error:
                return
            count = min(len(data), self.input_window, 65536)
            self.send("i", data[:count])
            self.input_window -= count
            data = data[count:]

    def end_input(self):
        self.send("e")

    def signal(self, number: int):
        self.send("s", struct.pack("<I", number))

    def resize(self, rows: int, columns: int):
        self.send("z", struct.pack("<HH", rows, columns))

    def credit(self, kind: str, count: int):
        self.send("c", struct.pack("<BI", ord(kind), count))

    def wait_done(self, timeout: float = 30):
        self.agent.wait(lambda: self.done or self.error, timeout)
        if self.error:
            raise Failed(self.error)
        self.done = False

    def wait_answer(self, timeout: float = 30) -> dict:
        self.agent.wait(lambda: self.answer is not None or self.error, timeout)
        if self.error:
            raise Failed(self.error)
        return self.answer

    def wait_exit(self, timeout: float = 30) -> int:
        self.agent.wait(lambda: self.exit is not None or self.error, timeout)
        if self.error:
            raise Failed(self.error)
        return self.exit[0]

    def wait_output(self, text: bytes, timeout: float = 30):
        self.agent.wait(lambda: text in self.stdout, timeout)


class Agent:
    """The host's end of the port."""

    def __init__(self, port: socket.socket):
        self.port = port
        self.buffer = b""
        self.sessions: dict[int, Session] = {}
        self.next = FIRST_REQUEST
        self.ready: dict | None = None
        self.awake = 0
        self.closed = False

    def send(self, kind: str, session: int, payload: bytes = b"", container: int = 0):
        frame = HEADER.pack(len(payload), session, ord(kind), container) + payload
        while frame:
            readable, writable, _ = select.select([self.port], [self.port], [], 10)
            assert readable or writable, "the guest takes no frames"
            if readable:
                self.receive()
            if writable:
                frame = frame[self.port.send(frame):]

    def receive(self):
        data = self.port.recv(1 << 20)
        self.closed = not data
        self.buffer += data
        while len(self.buffer) >= HEADER.size:
            size, session, kind, _ = HEADER.unpack_from(self.buffer)
            if len(self.buffer) < HEADER.size + size:
                return
            payload = self.buffer[HEADER.size:HEADER.size + size]
            self.buffer = self.buffer[HEADER.size + size:]
            self.handle(chr(kind), session, payload)

    def handle(self, kind: str, number: int, payload: bytes):
        if kind == "R":
            self.ready = json.loads(payload)
            return
        if kind == "A":
            self.awake += 1
            return
        session = self.sessions[number]
        if kind == "y":
            session.done = True
        elif kind == "f":
            session.error = json.loads(payload)
        elif kind == "a":
            session.answer = json.loads(payload)
        elif kind == "x":
            session.exit = (payload[0], payload[1] == 1)
        elif kind == "c":
            assert payload[0:1] == b"i"
            session.input_window += struct.unpack("<I", payload[1:])[0]
        else:
            assert kind in "oO", kind
            if kind == "o":
                session.stdout += payload
            else:
                session.stderr += payload
            if session.auto_credit:
                session.credit(kind, len(payload))

    def wait(self, condition, timeout: float = 30):
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, "timed out"
            assert not self.closed, "the guest has gone"
            if select.select([self.port], [], [], left)[0]:
                self.receive()

    def wake(self):
        before = self.awake
        self.send("w", 0, json.dumps({"unix_ns": time.time_ns(), "entropy": os.urandom(64).hex(),
                                      "machine_id": os.urandom(16).hex()}).encode())
        self.wait(lambda: self.awake > before)

    def open(self, kind: str, document: dict, container: int = 0) -> Session:
        session = Session(self, self.next)
        self.sessions[self.next] = session
        self.next += 1
        self.send(kind, session.number, json.dumps(document).encode(), container)
        return session

    def create(self, container: int = 0, kind: str = "C", **request) -> Session:
        """The machine's own container, or a further one. With kind "D" the one that is there takes what differs."""
        request["config"] = json.dumps(request["config"])
        for file in request.get("files", []):
            file["content"] = base64.b64encode(file["content"]).decode()
        if container:
            session = self.open(kind, request, container)
        else:
            session = Session(self, 1)
            self.sessions[1] = session
            session.send(kind, json.dumps(request).encode())
        session.wait_done()
        return session

    def request(self, operation: str, container: int = 0, **members) -> dict:
        return self.open("Q", {"operation": operation, **members}, container).wait_answer()

    def exec(self, *args: str, detach: bool = False, container: int = 0, **process) -> Session:
        document = {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "args": list(args),
                    **process}
        session = self.open("E", {"process": json.dumps(document), "detach": detach}, container)
        session.wait_done()
        return session


class Machine:
    """A running QEMU with an agent."""

    def __init__(self, initramfs: pathlib.Path, disks: list[tuple[pathlib.Path, bool]],
                 network: list[str] | None = None, memory: int = 256, pass_fds: list[int] | None = None,
                 console: pathlib.Path | None = None, machine: str = "", extra: list[str] | None = None,
                 restored: bool = False):
        ours, theirs = socket.socketpair()
        append = (f"console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz={tsc_khz()} tsc=reliable "
                  "no_timer_check cryptomgr.notests noreplace-smp mitigations=off init_on_alloc=0 "
                  "random.trust_cpu=on audit=0")
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                   "-no-reboot", "-serial", "stdio", "-M", f"microvm,x-option-roms=off{machine}", "-accel",
                   "tcg", "-cpu", "max,la57=off,erms=off,fsrm=off", "-m", str(memory),
                   "-global", "virtio-mmio.force-legacy=false",
                   "-device", "virtio-serial-device,max_ports=8",
                   "-chardev", f"socket,id=agent,fd={theirs.fileno()}",
                   "-device", "virtserialport,chardev=agent,name=dev.trivet.agent"]
        if not restored:
            command += ["-kernel", str(kernel() / "vmlinux"), "-initrd", str(initramfs), "-append", append]
        for number, (path, read_only) in enumerate(disks):
            command += ["-drive", f"if=none,id=d{number},file={path},format=raw,"
                                  f"readonly={'on' if read_only else 'off'}",
                        "-device", f"virtio-blk-device,drive=d{number}"]
        command += [*(network or []), *(extra or [])]
        self.console = open(console, "wb") if console else subprocess.DEVNULL
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.console,
                                        stderr=subprocess.STDOUT, pass_fds=[theirs.fileno(), *(pass_fds or [])])
        theirs.close()
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
        self.agent = Agent(ours)

    def wait_ready(self, timeout: float = 60) -> float:
        self.agent.wait(lambda: self.agent.ready, timeout)
        return time.monotonic() - self.begun

    def wait_off(self, timeout: float = 20) -> int:
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.agent.port.close()
