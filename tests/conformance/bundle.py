"""A bundle whose configuration a test changes, and the operations of the runtime specification."""

from __future__ import annotations

import copy
import itertools
import json
import os
import pathlib
import subprocess

import harness

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID",
                "CAP_SETUID"]
CONFIG = {
    "ociVersion": "1.0.2",  # what every peer reads
    "root": {"path": "", "readonly": False},
    "process": {
        "terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/",
        "env": ["PATH=/usr/bin:/bin"],
        "capabilities": {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted")},
    },
    "hostname": "conformance",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
    },
}
_numbers = itertools.count()


class Container:
    """One container: its configuration, the runtime that drives it, what it printed."""

    def __init__(self, base: pathlib.Path, rootfs: pathlib.Path, runtime: pathlib.Path):
        self.base = base
        self.runtime = runtime
        self.bundle = base / "bundle"
        self.bundle.mkdir()
        # Cgroups are the whole host's: a name of this process's own.
        self.name = f"tvconf{os.getpid()}n{next(_numbers)}"
        self.config = copy.deepcopy(CONFIG)
        self.config["root"]["path"] = str(rootfs)
        self.config["linux"]["cgroupsPath"] = f"/{self.name}"
        self.output_file = base / "out"

    @property
    def process(self) -> dict:
        return self.config["process"]

    @property
    def linux(self) -> dict:
        return self.config["linux"]

    def add_namespace(self, kind: str, path: str | None = None) -> None:
        self.remove_namespace(kind)
        self.linux["namespaces"].append({"type": kind, **({"path": path} if path else {})})

    def remove_namespace(self, kind: str) -> None:
        self.linux["namespaces"] = [n for n in self.linux["namespaces"] if n["type"] != kind]

    def own_root(self, rootfs: pathlib.Path) -> pathlib.Path:
        """A root of its own, a copy, for a test that writes to it."""
        root = self.base / "root"
        subprocess.run(["cp", "-a", rootfs, root], check=True)
        self.config["root"]["path"] = str(root)
        return root

    def write(self) -> None:
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def __call__(self, *args, check=True) -> subprocess.CompletedProcess:
        """An operation. Output goes to files: a container inherits it and may keep it open."""
        out, err = self.base / "operation-out", self.base / "operation-err"
        with out.open("w") as stdout, err.open("w") as stderr:
            code = subprocess.run([self.runtime, *map(str, args)], stdin=subprocess.DEVNULL,
                                  stdout=stdout, stderr=stderr, timeout=30 * harness.SLOW,
                                  check=False).returncode
        done = subprocess.CompletedProcess(args, code, out.read_text(), err.read_text())
        assert not check or code == 0, done
        return done

    def create(self, *options, check=True) -> subprocess.CompletedProcess:
        self.write()
        with self.output_file.open("ab") as out, (self.base / "create-err").open("w+") as err:
            code = subprocess.run([self.runtime, "create", "--bundle", self.bundle, *options,
                                   self.name], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  timeout=30 * harness.SLOW, check=False).returncode
            err.seek(0)
            done = subprocess.CompletedProcess("create", code, "", err.read())
        assert not check or code == 0, done
        return done

    def start(self, check=True) -> subprocess.CompletedProcess:
        return self("start", self.name, check=check)

    def delete(self, *options, check=True) -> subprocess.CompletedProcess:
        return self("delete", *options, self.name, check=check)

    def kill(self, signal="KILL", check=True) -> subprocess.CompletedProcess:
        return self("kill", self.name, signal, check=check)

    def state(self) -> dict:
        return json.loads(self("state", self.name).stdout)

    def exists(self) -> bool:
        return self("state", self.name, check=False).returncode == 0

    def wait_until(self, status: str) -> None:
        harness.wait_for(lambda: self.state()["status"] == status, what=f"it is {status}")

    def running(self, *args: str) -> int:
        """Starts `args` (a long sleep if none) and gives the process's id."""
        self.process["args"] = list(args) or ["sleep", "1000"]
        self.create()
        self.start()
        return self.state()["pid"]

    def output(self, script: str) -> str:
        """What a shell script printed as the container's program, from its begin to its end."""
        self.process["args"] = ["sh", "-c", script]
        self.create()
        self.start()
        self.wait_until("stopped")
        self.delete()
        return self.output_file.read_text()

    def printed(self) -> str:
        return self.output_file.read_text()

    def cgroups(self) -> list[pathlib.Path]:
        tree = pathlib.Path("/sys/fs/cgroup")
        return [path / self.name for path in [tree, *tree.iterdir()] if (path / self.name).is_dir()]

    def leftovers(self) -> list[str]:
        mounts = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                  if str(self.base) in line]
        state = self.base / "state"
        return [*mounts, *map(str, self.cgroups()),
                *(str(path) for path in (state.iterdir() if state.is_dir() else ()))]
