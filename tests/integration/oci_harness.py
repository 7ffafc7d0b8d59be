"""trivet-oci with a bundle and a state root of its own, for the tests that drive it directly."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import harness

# Cgroups are the whole host's: a name of this process's own.
NAME = f"tvtest{os.getpid()}"


class Oci:
    """trivet-oci with a state root and a bundle of its own."""

    def __init__(self, base: pathlib.Path, rootfs: pathlib.Path):
        self.base = base
        self.root = base / "state"
        self.bundle = base / "bundle"
        self.bundle.mkdir()
        (self.bundle / "rootfs").symlink_to(rootfs)
        self.program = harness.BIN_DIR / "trivet-oci"
        subprocess.run([self.program, "spec", "--bundle", self.bundle], check=True)
        self.config = json.loads((self.bundle / "config.json").read_text())
        self.config["process"]["terminal"] = False
        self.config["root"] = {"path": str(rootfs)}

    def write(self, *args: str, **process) -> None:
        self.config["process"]["args"] = list(args)
        self.config["process"].update(process)
        (self.bundle / "config.json").write_text(json.dumps(self.config))

    def __call__(self, *args, check=True, code=None, **options) -> subprocess.CompletedProcess:
        done = subprocess.run([self.program, "--root", self.root, *map(str, args)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=20 * harness.SLOW, check=False, **options)
        if code is not None:
            assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        elif check:
            assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done

    def create(self, name: str, **options) -> subprocess.CompletedProcess:
        """Like an engine: the container inherits the streams, so they must not be pipes."""
        with (self.base / "out").open("ab") as out:
            done = subprocess.run([self.program, "--root", self.root, "create", "--bundle",
                                   self.bundle, name], stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, timeout=20 * harness.SLOW, check=False, **options)
        assert done.returncode == 0, self.output()
        return done

    def output(self) -> str:
        return (self.base / "out").read_text()

    def run(self, name: str = NAME, code: int = 0) -> subprocess.CompletedProcess:
        return self("run", "--bundle", self.bundle, name, code=code)

    def left(self) -> list[str]:
        return os.listdir(self.root) if self.root.exists() else []

    def state(self, name: str) -> dict:
        return json.loads(self("state", name).stdout)


def cgroups_of(name: str) -> list[str]:
    found = []
    mounted = pathlib.Path("/sys/fs/cgroup")
    for tree in [mounted, *mounted.iterdir()]:  # v2, and the hierarchies of v1
        for folder in (tree / name, tree / f"trivet/{name}", tree / f"trivet-{name}"):
            if folder.exists():
                found.append(str(folder))
    return found
