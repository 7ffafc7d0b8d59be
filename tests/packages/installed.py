"""The parts of the tests of what is installed."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness

ROOT = harness.ROOT
BUILD_DIR = pathlib.Path(os.environ.get("TRIVET_BUILD_DIR") or ROOT / "build")
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "trivet"


def is_root() -> bool:
    return os.geteuid() == 0


def run(*command: object, timeout: float = 120, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout * harness.SLOW, **options)


def check(*command: object, **options) -> str:
    """The output of a command that succeeds."""
    result = run(*command, **options)
    assert result.returncode == 0, f"{command}: exit code {result.returncode}\n{result.stdout}"
    return result.stdout


@dataclasses.dataclass
class Prefix:
    path: pathlib.Path

    @functools.cached_property
    def libraries(self) -> pathlib.Path:
        return next(self.path.glob("lib/**/libtrivet.a")).parent

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, "PKG_CONFIG_PATH": str(self.libraries / "pkgconfig"),
                "CMAKE_PREFIX_PATH": str(self.path), "LD_LIBRARY_PATH": str(self.libraries),
                **variables}


@dataclasses.dataclass
class Shell:
    folder: pathlib.Path
    rootfs: pathlib.Path

    def run(self, program: pathlib.Path, environment: dict[str, str]) -> str:
        """What the example says of a container that says something itself."""
        environment = {**environment, "TRIVET_DATA_DIR": str(self.folder / "data"),
                       "TRIVET_STATE_DIR": str(self.folder / "state")}
        result = run(program, self.rootfs, "/bin/busybox", "sh", "-c", "echo it says so; exit 3",
                     env=environment)
        assert result.returncode == 3, result.stdout
        return result.stdout

    def is_empty(self) -> bool:
        return not list((self.folder / "data/containers").glob("*"))


# ---------------------------------------------------------------- a bare Debian

def bare_root() -> pathlib.Path:
    """Debian 12 with apt and nothing more, as a tar file with its package lists; made once."""
    path = CACHE / "debian-bookworm-apt.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = pathlib.Path(folder) / "root.tar"
            sources = [name for name in ("/etc/apt/sources.list.d/debian.sources",
                                         "/etc/apt/sources.list") if os.path.exists(name)]
            check("mmdebstrap", "--quiet", "--variant=apt", "--format=tar",
                  "--skip=cleanup/apt/lists", "--dpkgopt=path-exclude=/usr/share/locale/*",
                  "bookworm", made, sources[0], timeout=900)
            made.rename(path)
    return path


# Its own mounts, with the file system as the root: not a chroot, in which no container could begin.
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tests run
mount --bind "$2" var/cache/apt/archives
cat /etc/resolv.conf > etc/resolv.conf
cp "$3" run/busybox  # a bare Debian has no umount
pivot_root . mnt
/run/busybox umount -l /mnt
rm /run/busybox
shift 3
exec "$@"
"""


class Machine:
    """A bare Debian, in namespaces and cgroups of its own for every command."""

    def __init__(self, folder: pathlib.Path):
        self.root = folder / "root"
        self.root.mkdir(mode=0o755)
        check("tar", "-xf", bare_root(), "-C", self.root, "--exclude=./dev/*", timeout=300)
        # What apt fetches once it has for the next time.
        self.archives = CACHE / "debian-bookworm-archives"
        self.archives.mkdir(exist_ok=True)

    def enter(self, *command: object, timeout: float = 120) -> subprocess.CompletedProcess:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C",
                       "DEBIAN_FRONTEND": "noninteractive", "CGBOX_NAME": f"debian-box-{os.getpid()}"}
        return run("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--uts",
                   ROOT / "bench/cgbox", "bash", "-c", ENTER, "enter", self.root, self.archives,
                   harness.busybox(), *command, timeout=timeout, env=environment, stdin=subprocess.DEVNULL)

    def check(self, *command: object, **options) -> str:
        result = self.enter(*command, **options)
        assert result.returncode == 0, f"{command}: exit code {result.returncode}\n{result.stdout}"
        return result.stdout

    def install(self, packages: list[pathlib.Path]) -> str:
        """By apt, which finds what they depend on, and nothing that they only recommend."""
        for package in packages:
            shutil.copy(package, self.root / "root")
        command = ["apt-get", "install", "-y", "--no-install-recommends", "-o",
                   "APT::Keep-Downloaded-Packages=true", "-o", "Dpkg::Options::=--force-unsafe-io",
                   *(f"/root/{package.name}" for package in packages)]
        result = self.enter(*command, timeout=300)
        if result.returncode != 0:  # its lists are old
            self.check("apt-get", "update", timeout=300)
            return self.check(*command, timeout=300)
        return result.stdout

    def named_after_trivet(self) -> set[str]:
        """Every file and directory with the name in its path."""
        found = check("find", self.root, "-xdev", "-iname", "*trivet*", "-printf", "/%P\n").split()
        return {path for path in found if not path.startswith("/root/")}
