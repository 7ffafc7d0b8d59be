"""Fixtures of the tests in which real engines drive trivet-oci; engines.py has the engines.

A run of `pytest tests/callers` starts itself anew in a box (the script beside this file), in which
the engines find nothing of the host's and of which nothing is left. What an engine needs is said by
a marker of its name: when it is missing the test is skipped, but where the environment has CI set it
was promised, and the test fails.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import harness  # noqa: E402  (found through the line above)
import engines  # noqa: E402

BOXED = "TRIVET_CALLERS_BOXED"
# An engine's programs and the Debian package that has them.
NEEDS = {
    "podman": (["/usr/bin/podman", "/usr/bin/conmon", "/usr/bin/catatonit"], "podman, catatonit"),
    "buildah": (["/usr/bin/buildah"], "buildah"),
    "docker": (["/usr/sbin/dockerd", "/usr/bin/docker", "/usr/sbin/iptables"], "docker.io, iptables"),
    "containerd": (["/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/containerd-shim-runc-v2"],
                   "containerd"),
    "cri": (["/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/lib/cni/bridge",
             str(engines.crictl_program())],
            "containerd, containernetworking-plugins; scripts/setup-crictl builds crictl"),
}


def missing_need(name: str) -> str | None:
    programs, packages = NEEDS[name]
    if os.geteuid() != 0:
        return "root"
    if absent := [program for program in programs if not os.path.exists(program)]:
        return f"{' and '.join(absent)} (Debian: {packages})"
    if BOXED not in os.environ:
        return "tests/callers/box, which `pytest tests/callers` makes"
    return None


def pytest_configure(config):
    for name in NEEDS:
        config.addinivalue_line("markers", f"{name}: drives trivet-oci through {name}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Outside of a box, the whole run is done by a pytest in one."""
    if BOXED in os.environ or os.geteuid() != 0 or config.option.collectonly:
        return None
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    box = pathlib.Path(__file__).with_name("box")
    command = [box, sys.executable, "-m", "pytest", *config.invocation_params.args]
    return subprocess.run(command, env={**os.environ, BOXED: "1"}, check=False).returncode


def pytest_runtest_setup(item):
    for name in NEEDS:
        if item.get_closest_marker(name) is None or not (reason := missing_need(name)):
            continue
        if os.environ.get("CI"):
            pytest.fail(f"needs {reason}", pytrace=False)
        pytest.skip(f"needs {reason}")


@pytest.fixture(scope="session")
def scratch():
    """A short path (sockets have at most 107 bytes), removed in the end with all that is in it."""
    # What is mounted in it (dockerd's network namespace) stays, and goes with the box.
    with tempfile.TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as folder:
        yield pathlib.Path(folder)


def cgroups_below(root: pathlib.Path) -> set[str]:
    return {folder for folder, _, _ in os.walk(root)} if root.is_dir() else set()


@pytest.fixture(scope="session")
def podman_engine(scratch):
    (scratch / "p").mkdir()
    podman = engines.Podman(scratch / "p")
    yield podman
    podman.remove_all()


@pytest.fixture
def podman(podman_engine):
    """podman with the image "box" and no container; what a test leaves is removed."""
    yield podman_engine
    podman_engine.remove_all()


@pytest.fixture(scope="session")
def buildah(scratch):
    (scratch / "b").mkdir()
    tool = engines.Buildah(scratch / "b")
    yield tool
    tool.run("rm", "--all")


@pytest.fixture(scope="session")
def containerd_engine(scratch):
    (scratch / "c").mkdir()
    containerd = engines.Containerd(scratch / "c")
    yield containerd
    containerd.close()


@pytest.fixture
def containerd(containerd_engine):
    yield containerd_engine
    containerd_engine.remove_all()


@pytest.fixture(scope="session")
def cri_engine(scratch):
    (scratch / "k").mkdir()
    cri = engines.Cri(scratch / "k")
    yield cri
    cri.close()


@pytest.fixture
def cri(cri_engine):
    yield cri_engine
    cri_engine.remove_all()


@pytest.fixture(scope="session")
def docker_engine(scratch):
    (scratch / "d").mkdir()
    docker = engines.Docker(scratch / "d")
    yield docker
    docker.close()


@pytest.fixture
def docker(docker_engine):
    yield docker_engine
    docker_engine.remove_all()
