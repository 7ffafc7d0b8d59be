"""The engines that drive trivet-oci: each with directories, sockets and a configuration of its own."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from typing import BinaryIO

import harness

# Another runtime shows what the engines make of that one: the oracle of a test.
RUNTIME = pathlib.Path(os.environ.get("TRIVET_CALLERS_RUNTIME", harness.BIN_DIR / "trivet-oci"))
# Engines are Go programs, on a busy host: this is for what hangs.
TIMEOUT = 60.0
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")


def flat_root() -> bytes:
    """A root file system in one layer: busybox, a few users, files that are no programs."""
    layer = harness.LayerTar()
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var", "www"):
        layer.dir(name, 0o1777 if name == "tmp" else 0o755)
    layer.file("bin/busybox", harness.busybox().read_bytes(), 0o755)
    for name in harness.applets():
        layer.link(f"bin/{name}", "busybox")
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\n")
    layer.file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
    layer.file("www/index.html", "hello from a container\n")
    layer.file("bin/not-executable", "#!/bin/sh\necho no\n", 0o644)
    layer.file("bin/no-such-interpreter", "#!/nowhere/sh\n", 0o755)
    return layer.bytes()


def layout_archive(folder: pathlib.Path, name: str, command: Sequence[str] = ("sh",)) -> pathlib.Path:
    """The same root as an OCI layout in a tar: what `ctr image import` reads."""
    return archive_of(folder, name, [flat_root()], {"Env": ["PATH=/bin"], "Cmd": list(command)})


def archive_of(folder: pathlib.Path, name: str, layers: list[bytes], config: dict) -> pathlib.Path:
    layout = folder / "layout"
    harness.write_oci_layout(layout, layers, config, name)
    archive = folder / "layout.tar"
    with tarfile.open(archive, "w") as tar:
        for entry in sorted(layout.iterdir()):
            tar.add(entry, entry.name)
    return archive


def environment(**more: str) -> dict[str, str]:
    env = {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", "LANG": "C.UTF-8",
           "TMPDIR": tempfile.gettempdir(), **more}
    env.update({name: os.environ[name] for name in SANITIZERS if name in os.environ})
    return env


def text_of(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


@dataclasses.dataclass
class Client:
    """A command line with its fixed first words and its environment."""
    words: list[str]
    env: dict[str, str]

    def run(self, *arguments: object, stdin: str | None = None, check: bool = True,
            code: int | None = None, timeout: float = TIMEOUT) -> harness.Result:
        """Runs it; fails unless the exit code is `code` (0 when neither that nor check=False)."""
        command = [*self.words, *map(str, arguments)]
        # Files, not pipes: what a daemon's child keeps open can't keep us waiting.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # conmon leaves a file named oom in its working directory.
            done = subprocess.run(command, stdout=out, stderr=err, env=self.env, check=False,
                                  cwd=tempfile.gettempdir(),
                                  input=None if stdin is None else stdin.encode(),
                                  stdin=subprocess.DEVNULL if stdin is None else None,
                                  timeout=timeout * harness.SLOW)
            result = harness.Result(command, done.returncode, text_of(out), text_of(err))
        if check and result.returncode != (code or 0):
            raise harness.Failed(result)
        return result

    def out(self, *arguments: object, **options) -> str:
        return self.run(*arguments, **options).stdout.strip()

    def terminal(self, *arguments: object) -> harness.Terminal:
        command = [*self.words, *map(str, arguments)]
        return harness.Terminal(command, {**self.env, "TERM": "xterm"}, 24, 80)


def resize(terminal: harness.Terminal, rows: int, columns: int) -> None:
    """Until the shell on the terminal sees it: some engines look for changes a while after the start, and
    have a terminal without a size before, of which busybox's stty complains."""
    def shown() -> bool:
        terminal.resize(rows, columns + 1)
        terminal.resize(rows, columns)
        terminal.send("stty size\n")
        return terminal.expect(r"\n(\d+ \d+|stty: standard input)").group(1) == f"{rows} {columns}"
    harness.wait_for(shown, what=f"a terminal of {rows} by {columns}")


class Daemon:
    """A program in the background with a log; ended by its pid."""

    def __init__(self, command: list[object], log: pathlib.Path, env: dict[str, str]):
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen([str(word) for word in command], env=env,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def wait_until(self, ready, what: str) -> None:
        def asked() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"{what}: it ended\n{self.log.read_text()[-4000:]}")
            return ready()
        harness.wait_for(asked, timeout=30, what=what)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ---------------------------------------------------------------- podman, buildah

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "trivet-oci"
runtime_supports_json = ["trivet-oci"]
runtime_supports_nocgroup = ["trivet-oci"]
static_dir = "{base}/static"
volume_path = "{base}/volumes"
tmp_dir = "{base}/tmp"
[engine.runtimes]
trivet-oci = ["{runtime}"]
[network]
network_config_dir = "{base}/networks"
"""


def containers_tools(base: pathlib.Path) -> tuple[list[str], dict[str, str]]:
    """Options and environment that podman and buildah share."""
    (base / "containers.conf").write_text(CONTAINERS_CONF.format(base=base, runtime=RUNTIME))
    (base / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    env = environment(CONTAINERS_CONF=str(base / "containers.conf"), HOME=str(base),
                      XDG_RUNTIME_DIR=str(base))
    return ["--root", f"{base}/root", "--runroot", f"{base}/runroot", "--storage-driver", "vfs"], env


class Podman(Client):
    """podman with a store of its own that has the image "box"."""

    def __init__(self, base: pathlib.Path):
        options, env = containers_tools(base)
        super().__init__(["/usr/bin/podman", *options], env)
        self.base = base
        tar = base / "root.tar"
        tar.write_bytes(flat_root())
        self.run("import", "--change", "CMD=[\"sh\"]", "--change", "ENV=PATH=/bin", tar, "box")

    def box(self, *words: object, options=(), **settings) -> harness.Result:
        """A container in the foreground that is removed when it ends; without a network."""
        return self.run("run", "--rm", "--network", "none", *options, "box", *words, **settings)

    def spawn(self, *words: object, options=()) -> str:
        return self.out("run", "-d", "--network", "none", "--stop-timeout", "1", *options, "box",
                        *words)

    def inspect(self, name: str) -> dict:
        return self.run("container", "inspect", name).json()[0]

    def status(self, name: str) -> str:
        return self.inspect(name)["State"]["Status"]

    def wait_for_status(self, name: str, status: str) -> None:
        harness.wait_for(lambda: self.status(name) == status, what=f"{name} is {status}")

    def remove_all(self) -> None:
        self.run("pod", "rm", "--force", "--all", "--time", "0", check=False)
        self.run("rm", "--force", "--all", "--volumes", "--time", "0")


class Buildah(Client):
    """buildah with a store of its own that has the image "box"."""

    def __init__(self, base: pathlib.Path):
        options, env = containers_tools(base)
        super().__init__(["/usr/bin/buildah", *options], env)
        self.base = base
        (base / "root.tar").write_bytes(flat_root())
        (base / "Containerfile").write_text("FROM scratch\nADD root.tar /\nENV PATH=/bin\n")
        self.run("build", "--layers=false", "-t", "box", base)


# ---------------------------------------------------------------- containerd, dockerd

class Containerd(Client):
    """A containerd of our own, and ctr for it; it has the image "box"."""
    image = "localhost/box:latest"

    def __init__(self, base: pathlib.Path):
        self.base = base
        self.socket = base / "s"
        config = base / "config.toml"
        config.write_text(f"""
version = 2
root = "{base}/root"
state = "{base}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{self.socket}"
""")
        super().__init__(["/usr/bin/ctr", "--address", str(self.socket)], environment())
        self.daemon = Daemon(["/usr/bin/containerd", "--config", config], base / "log",
                             environment())
        self.daemon.wait_until(lambda: self.run("version", check=False).returncode == 0,
                               "containerd answers")
        self.run("image", "import", "--snapshotter", "native",
                 layout_archive(base, self.image))

    runtime = ("--runtime", "io.containerd.runc.v2", "--runc-binary", str(RUNTIME), "--snapshotter",
               "native")

    def box(self, name: str, *words: object, options=(), **settings) -> harness.Result:
        return self.run("run", "--rm", *self.runtime, *options, self.image, name, *words, **settings)

    def spawn(self, name: str, *words: object, options=()) -> None:
        self.run("run", "--detach", *self.runtime, *options, self.image, name, *words)

    def status(self, name: str) -> str:
        rows = [line.split() for line in self.run("task", "ls").lines]
        return next((row[2] for row in rows if row[0] == name), "")

    def remove_all(self) -> None:
        for name in self.out("container", "ls", "--quiet").split():
            self.run("task", "kill", "--signal", "KILL", name, check=False)
            self.run("task", "delete", "--force", name, check=False)
            self.run("container", "delete", name, check=False)

    def close(self) -> None:
        self.remove_all()
        self.daemon.close()


PAUSE_IMAGE = "localhost/pause:latest"

CRI_CONF = """
version = 2
root = "{base}/root"
state = "{base}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{base}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
CRI_RUNTIME = """
    default_runtime_name = "trivet"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trivet]
      runtime_type = "io.containerd.runc.v2"
      pod_annotations = ["dev.trivet.*"]
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.trivet.options]
        BinaryName = "{runtime}"
"""


@functools.cache
def crictl_program() -> pathlib.Path:
    """Where scripts/setup-crictl puts it."""
    found = subprocess.run([harness.ROOT / "scripts/setup-crictl", "--print-directory"],
                           stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(found.stdout.strip()) / "crictl"


class Cri(Client):
    """A containerd of our own with its CRI plugin, as a kubelet uses it, and crictl for it.

    It has the images of Containerd and a pause image; pods get a bridge of their own.
    """
    image = Containerd.image
    network = "10.88.77"

    def __init__(self, base: pathlib.Path, register: Callable[[pathlib.Path], None] | None = None):
        """`register` puts the runtimes into the configuration in place of the usual one."""
        self.base = base
        self.socket = base / "s"
        self.made = 0
        self.logs = base / "logs"
        for folder in ("cni", "logs"):
            (base / folder).mkdir()
        config = base / "config.toml"
        config.write_text((CRI_CONF + ("" if register else CRI_RUNTIME)).format(
            base=base, socket=self.socket, pause=PAUSE_IMAGE, runtime=RUNTIME))
        if register:
            register(config)
        (base / "cni/10-bridge.conflist").write_text(json.dumps({
            "cniVersion": "0.4.0", "name": "box", "plugins": [
                {"type": "bridge", "bridge": "trivet-cri0", "isGateway": True,
                 "ipam": {"type": "host-local", "dataDir": f"{base}/addresses",
                          "ranges": [[{"subnet": f"{self.network}.0/24"}]]}}]}))
        endpoint = f"unix://{self.socket}"
        # A file, since crictl warns where it finds none.
        (base / "crictl.yaml").write_text(f"runtime-endpoint: {endpoint}\nimage-endpoint: {endpoint}\n"
                                          "timeout: 30\n")
        super().__init__([str(crictl_program()), "--config", str(base / "crictl.yaml")],
                         environment(HOME=str(base)))
        self.daemon = self.start_daemon()
        self.ctr = Client(["/usr/bin/ctr", "--address", str(self.socket), "--namespace", "k8s.io"], self.env)
        for name, command in ((self.image, ["sh"]), (PAUSE_IMAGE, ["sleep", "1000000"])):
            (base / name.split(":")[0]).mkdir(parents=True)
            archive = layout_archive(base / name.split(":")[0], name, command)
            self.load(archive)

    def start_daemon(self) -> Daemon:
        daemon = Daemon(["/usr/bin/containerd", "--config", self.base / "config.toml"],
                        self.base / "log", self.env)
        daemon.wait_until(lambda: self.run("version", check=False).returncode == 0,
                          "containerd answers")
        return daemon

    def load(self, archive: pathlib.Path) -> None:
        self.ctr.run("image", "import", "--snapshotter", "native", archive)

    def _file(self, content: dict) -> pathlib.Path:
        self.made += 1
        path = self.base / f"{self.made}.json"
        path.write_text(json.dumps(content))
        return path

    def pod(self, linux: dict | None = None, handler: str = "trivet", **fields) -> "CriPod":
        """A sandbox that runs. `linux` and `fields` are of the interface's PodSandboxConfig."""
        self.made += 1
        name = f"pod{self.made}"
        (self.logs / name).mkdir()
        config = {"metadata": {"name": name, "namespace": "default", "uid": name, "attempt": 0},
                  "log_directory": str(self.logs / name), "linux": linux or {}, **fields}
        path = self._file(config)
        return CriPod(self, self.out("runp", "--runtime", handler, path), path, config)

    def remove_all(self) -> None:
        pods = self.out("pods", "--quiet").split()
        if pods:
            self.run("rmp", "--force", *pods)

    def close(self) -> None:
        self.remove_all()
        self.daemon.close()


@dataclasses.dataclass
class CriPod:
    """A pod's sandbox: its id, and its configuration, which crictl wants again for a container."""
    cri: Cri
    id: str
    path: pathlib.Path
    config: dict

    def inspect(self) -> dict:
        return self.cri.run("inspectp", self.id).json()

    def create(self, *command: str, linux: dict | None = None, **fields) -> str:
        """A container that is not started. `linux` and `fields` are of ContainerConfig."""
        self.cri.made += 1
        name = f"c{self.cri.made}"
        config = {"metadata": {"name": name, "attempt": 0}, "image": {"image": self.cri.image},
                  "command": list(command), "log_path": f"{name}.log", "linux": linux or {}, **fields}
        return self.cri.out("create", self.id, self.cri._file(config), self.path)

    def start(self, *command: str, **settings) -> str:
        container = self.create(*command, **settings)
        self.cri.run("start", container)
        return container

    def status(self, container: str) -> dict:
        return self.cri.run("inspect", container).json()["status"]

    def wait_for_exit(self, container: str) -> dict:
        def ended() -> bool:
            return self.status(container)["state"] == "CONTAINER_EXITED"
        harness.wait_for(ended, what=f"{container} ends")
        return self.status(container)

    def output(self, *command: str, **settings) -> str:
        """What a container prints that runs to its end."""
        container = self.start(*command, **settings)
        status = self.wait_for_exit(container)
        log = self.cri.run("logs", container)
        assert status["exitCode"] == 0, f"{status}\n{log}"
        return log.stdout.strip()


class Docker(Client):
    """A dockerd of our own with trivet-oci as its default runtime, and the docker client for it."""

    def __init__(self, base: pathlib.Path, runtimes: dict | None = None, registered: bool = True,
                 **variables: str):
        """`runtimes` are further ones; `variables` are dockerd's, and so trivet-oci's. One where
        trivet-oci is not registered has none but runc."""
        self.base = base
        self.host = f"unix://{base}/s"
        self.config = config = base / "daemon.json"
        ours = {"runtimes": {"trivet": {"path": str(RUNTIME)},
                             "trivet-debug": {"path": str(RUNTIME), "runtimeArgs": ["--debug"]},
                             **(runtimes or {})},
                "default-runtime": "trivet"}
        config.write_text(json.dumps({
            **(ours if registered else {}), "hosts": [self.host], "data-root": f"{base}/data",
            "exec-root": f"{base}/exec", "pidfile": f"{base}/pid", "storage-driver": "vfs"}))
        super().__init__(["/usr/bin/docker", "--host", self.host], environment(HOME=str(base)))
        self.variables = variables
        self.daemon = self.start_daemon()
        (base / "root.tar").write_bytes(flat_root())
        self.run("import", "--change", "CMD [\"sh\"]", "--change", "ENV PATH=/bin",
                 base / "root.tar", "box")

    def start_daemon(self) -> Daemon:
        daemon = Daemon(["/usr/sbin/dockerd", "--config-file", self.config], self.base / "log",
                        environment(**self.variables))
        daemon.wait_until(lambda: self.run("version", check=False).returncode == 0, "dockerd answers")
        return daemon

    def box(self, *words: object, options=(), **settings) -> harness.Result:
        return self.run("run", "--rm", "--network", "none", *options, "box", *words, **settings)

    def spawn(self, *words: object, options=()) -> str:
        return self.out("run", "-d", "--network", "none", *options, "box", *words)

    def inspect(self, name: str) -> dict:
        return self.run("container", "inspect", name).json()[0]

    def status(self, name: str) -> str:
        return self.inspect(name)["State"]["Status"]

    def remove_all(self) -> None:
        names = self.out("ps", "-aq").split()
        if names:
            self.run("rm", "--force", "--volumes", *names)

    def close(self) -> None:
        self.remove_all()
        self.daemon.close()
