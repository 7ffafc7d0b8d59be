"""What the integration tests drive trivet with: runs, terminals, images, and snapshots of the host."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import hashlib
import importlib.util
import io
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import tempfile
import termios
import time
import types
from collections.abc import Callable, Iterable

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN_DIR = pathlib.Path(os.environ.get("TRIVET_BIN_DIR", ROOT / "build" / "bin"))
# How much longer than usual things may take: sanitized programs are slow, and so is a busy host.
SLOW = float(os.environ.get("TRIVET_TEST_PATIENCE", "1"))
# What isolates the containers of the tests: those of `trivet run` run unchanged with microVMs.
ISOLATION = os.environ.get("TRIVET_TEST_ISOLATION", "native")
# Kernel and templates of microVMs are shared by all tests; scripts/setup-vm makes the kernel.
VM_DIR = pathlib.Path(os.environ.get("TRIVET_VM_DIR") or
                      pathlib.Path.home() / ".cache/trivet/vm")
# What is said on a host where KVM does not work, whatever is run.
EMULATION_WARNING = "trivet: warning: the microVM is emulated in software"


def integration_conftest() -> types.ModuleType:
    """The fixtures of the integration tests, for the conftest.py of another suite."""
    path = pathlib.Path(__file__).resolve().parent / "conftest.py"
    spec = importlib.util.spec_from_file_location("integration_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wait_for(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> object:
    """Polls until `condition()` is true and returns its value; fails the test after `timeout` s."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout * SLOW} s: {what or condition}")
        time.sleep(0.02)


SANITIZER_OPTIONS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
_sanitizer_reports: tempfile.TemporaryDirectory | None = None


def collect_sanitizer_reports() -> None:
    """Sanitized programs that are started from now on write what they find into files of ours."""
    global _sanitizer_reports
    if _sanitizer_reports or not any(name in os.environ for name in SANITIZER_OPTIONS):
        return
    _sanitizer_reports = tempfile.TemporaryDirectory(prefix="sanitizer-")
    os.chmod(_sanitizer_reports.name, 0o1777)  # the programs of ordinary users write there too
    for name in SANITIZER_OPTIONS:
        given = os.environ.get(name, "")
        os.environ[name] = f"{given}:log_path={_sanitizer_reports.name}/report".lstrip(":")


def take_sanitizer_reports() -> str:
    """What was found since the last time; nothing is there in a build without sanitizers."""
    if not _sanitizer_reports:
        return ""
    texts = []
    for path in sorted(pathlib.Path(_sanitizer_reports.name).iterdir()):
        text = path.read_text(errors="replace")
        # What is no finding: that a process without a stack limit is hard to look at.
        if any(mark in text for mark in ("ERROR:", "SUMMARY:", "runtime error")):
            texts.append(text)
        path.unlink()
    return "\n".join(texts)


def file_system_of(path: pathlib.Path) -> str:
    """Its type: "tmpfs", "ext2/ext3"."""
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Result:
    arguments: list[str]
    returncode: int
    stdout: str
    stderr: str

    def json(self):
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


class Failed(AssertionError):
    def __init__(self, result: Result):
        super().__init__(f"{' '.join(result.arguments)}: exit code {result.returncode}\n"
                         f"stdout: {result.stdout}\nstderr: {result.stderr}")
        self.result = result


class Terminal:
    """A program on a pseudoterminal of its own, as a person would have it."""

    def __init__(self, command: list[str], env: dict[str, str], rows: int, columns: int):
        self.output = ""
        self.read_to = 0  # expect() looks after this
        self.status: int | None = None
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(command[0], command, env)
            finally:
                os._exit(127)

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, timeout: float) -> bool:
        """Reads what there is; False at the end of the output."""
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.output = without_emulation_warning(self.output + data.decode(errors="replace"))
        return bool(data)

    def expect(self, pattern: str, timeout: float = 10.0) -> re.Match:
        """Waits until the output after the last match has `pattern` (a regular expression)."""
        deadline = time.monotonic() + timeout * SLOW
        while True:
            match = re.search(pattern, self.output[self.read_to:])
            if match:
                self.read_to += match.end()
                return match
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._read(min(remaining, 0.2)):
                match = re.search(pattern, self.output[self.read_to:])
                if match:
                    self.read_to += match.end()
                    return match
                raise AssertionError(f"no {pattern!r} in the terminal's output:\n{self.output}")

    def wait(self, timeout: float = 15.0) -> int:
        """The exit code (128+N by signal N), after reading all output."""
        deadline = time.monotonic() + timeout * SLOW
        while self.status is None:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            elif time.monotonic() > deadline:
                raise AssertionError(f"the program on the terminal does not end:\n{self.output}")
        while select.select([self.master], [], [], 0)[0]:
            if not self._read(0):
                break
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code

    def is_raw(self) -> bool:
        """Whether the terminal's line discipline neither echoes nor edits."""
        local_flags = termios.tcgetattr(self.master)[3]
        return not local_flags & (termios.ICANON | termios.ECHO)

    def close(self) -> None:
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        os.close(self.master)


def without_emulation_warning(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True)
                   if not line.startswith(EMULATION_WARNING))


class Trivet:
    """The trivet program with data and state directories of its own."""

    def __init__(self, base: pathlib.Path, template: pathlib.Path | None = None):
        self.base = base
        self.data = base / "d"
        self.state = base / "s"
        self.terminals: list[Terminal] = []
        self.background: list[subprocess.Popen] = []
        if template is not None and template.exists():
            # Hard links: layers are never written to, and that is one of the things tested.
            subprocess.run(["cp", "-al", str(template), str(self.data)], check=True)
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"),
            "HOME": str(base / "home"),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "TRIVET_DATA_DIR": str(self.data),
            "TRIVET_STATE_DIR": str(self.state),
            "TRIVET_VM_DIR": str(VM_DIR),
        }
        for name in SANITIZER_OPTIONS:
            if name in os.environ:
                self.env[name] = os.environ[name]
        (base / "home").mkdir(exist_ok=True)

    program = str(BIN_DIR / "trivet")
    isolation = ISOLATION

    def command(self, *arguments: object) -> list[str]:
        words = list(map(str, arguments))
        if self.isolation != "native" and words and words[0] in ("run", "create") and \
                not any(word.startswith("--isolation") for word in words):
            words[1:1] = ["--isolation", self.isolation, "--experimental"]
        return [self.program, *words]

    def run(self, *arguments: object, stdin: str | bytes | None = None, timeout: float = 60.0,
            check: bool = True, env: dict[str, str] | None = None,
            cwd: str | os.PathLike | None = None) -> Result:
        """Runs `trivet ARGUMENTS…`; raises Failed on a non-zero exit code unless check=False."""
        command = self.command(*arguments)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(command, input=data if data is not None else None,
                              stdin=subprocess.DEVNULL if data is None else None,
                              capture_output=True, timeout=timeout * SLOW, check=False,
                              env={**self.env, **(env or {})}, cwd=cwd)
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        result = Result(command, code, done.stdout.decode(errors="replace"),
                        without_emulation_warning(done.stderr.decode(errors="replace")))
        if check and result.returncode != 0:
            raise Failed(result)
        return result

    def out(self, *arguments: object, **options) -> str:
        """The standard output of a run that must succeed, without the last line end."""
        return self.run(*arguments, **options).stdout.rstrip("\n")

    def fails(self, *arguments: object, code: int | None = None, **options) -> Result:
        """A run that must fail (with this exit code), and says why on standard error."""
        result = self.run(*arguments, check=False, **options)
        assert result.returncode != 0 if code is None else result.returncode == code, \
            f"{' '.join(result.arguments)}: exit code {result.returncode}, not {code}\n{result.stderr}"
        return result

    def box(self, *command: object, options: Iterable[object] = (), network: str = "none",
            image: str = "busybox", **settings) -> Result:
        """Runs a program in the foreground in a new container that is removed afterwards."""
        return self.run("run", "--rm", "--network", network, *options, image, *command, **settings)

    def spawn(self, *command: object, options: Iterable[object] = (), network: str = "none",
              image: str = "busybox", **settings) -> str:
        """Starts a container in the background; returns its id."""
        return self.out("run", "-d", "--network", network, *options, image, *command, **settings)

    def start(self, *arguments: object, **options) -> subprocess.Popen:
        """`trivet ARGUMENTS…` in the background; ended with the test at the latest."""
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                    "stderr": subprocess.PIPE, "env": self.env, **options}
        process = subprocess.Popen(self.command(*arguments), **settings)
        self.background.append(process)
        return process

    def spawn_tty(self, *arguments: object, rows: int = 24, columns: int = 80,
                  env: dict[str, str] | None = None) -> Terminal:
        terminal = Terminal(self.command(*arguments), {**self.env, **(env or {})}, rows, columns)
        self.terminals.append(terminal)
        return terminal

    def inspect(self, name: str) -> dict:
        value = self.run("inspect", name).json()
        return value[0] if isinstance(value, list) else value

    def containers(self, *options: str) -> list[dict]:
        return self.run("ps", "-a", "--format", "json", *options).json()

    def status(self, name: str) -> str:
        """"running", "exited", … as inspect says it; "" when there is no such container."""
        result = self.run("inspect", "--type", "container", name, check=False)
        return json.loads(result.stdout)[0]["State"]["Status"] if result.returncode == 0 else ""

    def wait_for_state(self, name: str, state: str, timeout: float = 10.0) -> None:
        wait_for(lambda: self.status(name) == state, timeout, f"{name} is {state}")

    def logs(self, name: str, *options: object) -> str:
        return self.run("logs", *options, name).stdout

    def wait_for_log(self, name: str, text: str, timeout: float = 10.0) -> None:
        wait_for(lambda: text in self.logs(name), timeout, f"{text!r} in the log of {name}")

    def monitor_pids(self) -> list[int]:
        return [pid for pid, line in processes_of(self.base).items() if "trivet-monitor" in line]

    def remove_pods(self, **options) -> None:
        if (self.data / "pods").is_dir() and any((self.data / "pods").iterdir()):
            self.run("pod", "rm", "--force", "--all", **options)

    def remove_pools(self, **options) -> None:
        names = self.run("pool", "ls", "-q", **options).lines if (self.data / "pools").is_dir() else []
        if names:
            self.run("pool", "rm", "--force", *names, **options)

    def close(self) -> None:
        """Ends what the test left: programs, terminals, pods, pools, containers."""
        for terminal in self.terminals:
            terminal.close()
        for process in self.background:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self.remove_pods(check=False)
        self.remove_pools(check=False)
        if (self.data / "containers").is_dir() and any((self.data / "containers").iterdir()):
            names = [row.name for row in (self.data / "containers").iterdir()]
            self.run("rm", "-f", "-v", *names, check=False, timeout=60)


# ---------------------------------------------------------------- images

def busybox() -> pathlib.Path:
    """A statically linked busybox."""
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            return pathlib.Path(path)
    raise FileNotFoundError("busybox (Debian's package busybox-static)")


def applets() -> list[str]:
    listing = subprocess.run([busybox(), "--list"], capture_output=True, text=True, check=True)
    return [name for name in listing.stdout.split() if name != "busybox"]


def newer_programs(package: str) -> pathlib.Path:
    """Where scripts/setup-newer puts what it fetches of the next release of Debian."""
    directory = subprocess.run([ROOT / "scripts/setup-newer", package, "--print-directory"],
                               stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return pathlib.Path(directory) / "bin"


@functools.cache
def criu_directory() -> pathlib.Path | None:
    """Where a criu is that works on this kernel: the host's, or the one of scripts/setup-newer."""
    for program in (shutil.which("criu"), newer_programs("criu") / "criu"):
        if program and os.access(program, os.X_OK) and \
                subprocess.run([program, "check"], capture_output=True, check=False).returncode == 0:
            return pathlib.Path(program).parent
    return None


class LayerTar:
    """Makes one layer; the same calls make the same bytes."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def _add(self, name: str, data: bytes | None = None, **fields) -> "LayerTar":
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        if data is not None:
            info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data) if data is not None else None)
        return self

    def dir(self, name: str, mode: int = 0o755, **fields) -> "LayerTar":
        return self._add(name, type=tarfile.DIRTYPE, mode=mode, **fields)

    def file(self, name: str, data: bytes | str = b"", mode: int = 0o644, **fields) -> "LayerTar":
        return self._add(name, data.encode() if isinstance(data, str) else data, mode=mode, **fields)

    def link(self, name: str, target: str, **fields) -> "LayerTar":
        return self._add(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777, **fields)

    def bytes(self) -> bytes:
        self.tar.close()
        return self.buffer.getvalue()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_oci_layout(directory: pathlib.Path, layers: Iterable[bytes], config: dict | None = None,
                     name: str = "latest",
                     compress: Callable[[bytes], tuple[bytes, str]] | None = None) -> str:
    """Writes an OCI image layout of these tars; returns the manifest's digest."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes) -> str:
        digest = digest_of(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return digest

    def descriptor(data: bytes, media_type: str) -> dict:
        return {"mediaType": media_type, "digest": put(data), "size": len(data)}

    diff_ids, rows = [], []
    for layer in layers:
        diff_ids.append(digest_of(layer))
        data, suffix = compress(layer) if compress else (layer, "")
        rows.append(descriptor(data, f"application/vnd.oci.image.layer.v1.tar{suffix}"))
    document = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
                "config": config or {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"layer {n}"}
                            for n in range(len(diff_ids))]}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor(json.dumps(document).encode(),
                                     "application/vnd.oci.image.config.v1+json"),
                "layers": rows}
    entry = descriptor(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return entry["digest"]


def busybox_layers() -> list[bytes]:
    """A small but real root: programs; users and configuration; content, with a whiteout."""
    programs = LayerTar()
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"):
        programs.dir(name, 0o1777 if name == "tmp" else 0o755)
    programs.file("bin/busybox", busybox().read_bytes(), 0o755)
    for name in applets():
        programs.link(f"bin/{name}", "busybox")
    programs.file("etc/from-first-layer", "first\n").file("etc/removed-later", "gone\n")
    users = LayerTar()
    users.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
               "app:x:1000:1000:App:/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    users.file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\nnogroup:x:65534:\n")
    users.dir("home/app", 0o755, uid=1000, gid=1000)
    content = LayerTar()
    content.dir("www").file("www/index.html", "hello from trivet\n")
    content.file("etc/from-first-layer", "changed by the third\n").file("etc/.wh.removed-later")
    content.file("bin/not-executable", "#!/bin/sh\necho no\n", 0o644)
    content.file("bin/no-such-interpreter", "#!/nowhere/sh\n", 0o755)
    content.file("bin/not-a-program", b"\0\1\2\3 this is no program", 0o755)
    return [layer.bytes() for layer in (programs, users, content)]


BUSYBOX_CONFIG = {"Env": ["PATH=/usr/bin:/bin", "FROM_IMAGE=yes"], "Cmd": ["sh"],
                  "Labels": {"org.example.kind": "test"}}


# ---------------------------------------------------------------- faults

def struck_programs(directory: pathlib.Path, copied: Iterable[str], program: str, call: str, fault: str,
                    when: int) -> pathlib.Path:
    """The programs of trivet, of which one is struck (strace's --inject) at its nth call of a kind. The
    copied ones look for the others beside them."""
    directory.mkdir()
    for path in BIN_DIR.iterdir():
        (directory / path.name).symlink_to(path.resolve())
    for name in {*copied, program}:
        (directory / name).unlink()
        shutil.copy2(BIN_DIR / name, directory / name)
    real = (directory / program).rename(directory / f"{program}.real")
    (directory / program).write_text(
        f'#!/bin/sh\nexec strace -qq -o {directory}/log -e trace={call} '
        f'-e inject={call}:{fault}:when={when} "{real}" "$@"\n')
    (directory / program).chmod(0o755)
    return directory


# ---------------------------------------------------------------- the host

def kill_hard(pid: int) -> None:
    """SIGKILL; never to pid 0, which would be all of our own process group."""
    assert pid > 1, f"there is no such process: {pid}"
    os.kill(pid, signal.SIGKILL)


def processes_of(base: pathlib.Path) -> dict[int, str]:
    """Processes that were started with this base as trivet's directories: pid → command line."""
    marker = f"{base}/".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
            line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
            state = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z" and (marker in environment or marker in line):
            found[int(entry)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def cgroups_of_trivet() -> set[str]:
    """Directories of any hierarchy with a path component that names trivet."""
    found = set()
    for hierarchy in [pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").glob("*")]:
        if not hierarchy.is_dir():
            continue
        for folder, names, _ in os.walk(hierarchy):
            if len(pathlib.Path(folder).relative_to(hierarchy).parts) > 6:
                names.clear()
            found.update(os.path.join(folder, name) for name in names if "trivet" in name
                         or "trivet" in os.path.relpath(folder, hierarchy))
    return found


def mounts_of(directory: pathlib.Path) -> list[str]:
    """The mounts that this process sees in it, or of what is in it: others come and go."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(directory) in line]


@dataclasses.dataclass(frozen=True)
class HostState:
    """What a container must not leave behind on the host."""
    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    network_namespaces: frozenset[str]
    network_devices: frozenset[str]
    files: frozenset[str]

    @staticmethod
    def take(trivet: Trivet) -> "HostState":
        files = set()
        for folder in (trivet.data / "containers", trivet.data / "removed", trivet.data / "names",
                       trivet.data / "volumes",
                       trivet.data / "pods", trivet.data / "pod-names", trivet.data / "pools",
                       trivet.state / "containers", trivet.state / "oci"):
            if folder.is_dir():
                files.update(str(entry) for entry in folder.iterdir())
        named = pathlib.Path("/run/netns")
        return HostState(
            mounts=frozenset(line.split()[4] for line in mounts_of(trivet.base)),
            cgroups=frozenset(cgroups_of_trivet()),
            processes=frozenset(f"{pid} {line}" for pid, line in processes_of(trivet.base).items()),
            network_namespaces=frozenset(os.listdir(named) if named.is_dir() else ()),
            network_devices=frozenset(os.listdir("/sys/class/net")),
            files=frozenset(files))

    def leftovers(self, after: "HostState") -> dict[str, list[str]]:
        """What is there now and was not before."""
        return {field.name: sorted(getattr(after, field.name) - getattr(self, field.name))
                for field in dataclasses.fields(self)
                if getattr(after, field.name) - getattr(self, field.name)}


def cgroup_directory(pid: int, controller: str) -> pathlib.Path:
    """Where a process is in the hierarchy of a controller: version 1, else 2."""
    root = pathlib.Path("/sys/fs/cgroup")
    paths = {}
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            paths[name] = path
    if controller in paths:
        return root / controller / paths[controller].lstrip("/")
    return root / paths[""].lstrip("/")


def program_missing(name: str) -> bool:
    return shutil.which(name) is None and shutil.which(name, path="/usr/sbin:/sbin") is None
