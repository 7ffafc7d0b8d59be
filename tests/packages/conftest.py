"""Fixtures of the tests of what is installed: prefixes, Debian packages, and a bare Debian to put them in.

They take the release build of build/ as it is; TRIVET_BUILD_DIR names another one.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import harness  # noqa: E402  (found through the line above)
import installed  # noqa: E402

NEEDS = {
    "root": (lambda: installed.is_root(), "root"),
    "doxygen": (lambda: shutil.which("doxygen"), "Debian's doxygen"),
    "debian": (lambda: shutil.which("mmdebstrap") and installed.is_root(),
               "root, mmdebstrap, and a network to Debian's packages"),
}


def pytest_configure(config):
    for name, (_, text) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {text}")


def pytest_runtest_setup(item):
    for name, (is_there, text) in NEEDS.items():
        if item.get_closest_marker(name) and not is_there():
            (pytest.fail if harness.os.environ.get("CI") else pytest.skip)(f"needs {text}")


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """What scripts/reference makes; that it warns of nothing is a test of its own."""
    folder = tmp_path_factory.mktemp("reference")
    result = subprocess.run([installed.ROOT / "scripts/reference", "--all-warnings", folder],
                            capture_output=True, text=True, timeout=300)
    return folder, result


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    """What `scripts/install PREFIX` makes, and then somebody has moved."""
    before = tmp_path_factory.mktemp("prefix") / "first"
    after = before.parent / "moved"
    subprocess.run(["cmake", "--install", installed.BUILD_DIR, "--prefix", before, "--strip"],
                   check=True, stdout=subprocess.DEVNULL, timeout=120)
    before.rename(after)
    return installed.Prefix(after)


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The .deb files, by the names of their packages."""
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run([installed.ROOT / "scripts/package", "--no-build", "--fast", folder], check=True,
                   timeout=500, stdout=subprocess.DEVNULL)
    return {path.name.split("_")[0]: path for path in folder.glob("*.deb")}


@pytest.fixture(scope="session")
def unpacked(packages, tmp_path_factory):
    """What all packages hold, in one tree that nothing was installed to."""
    folder = tmp_path_factory.mktemp("unpacked")
    for package in packages.values():
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True, timeout=60)
    return folder


@pytest.fixture
def shell(tmp_path):
    """Directories for a container, and a root file system with busybox."""
    rootfs = tmp_path / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(harness.busybox(), rootfs / "bin/busybox")
    return installed.Shell(tmp_path, rootfs)
