"""Fixtures of the conformance tests; what they share with the integration tests is taken from there.

`--runtime NAME` (or RUNTIME in the environment) drives a peer instead of trivet-oci, to find out
whether a test or a runtime is wrong: bench/cgbox /usr/bin/python3 -m pytest --runtime crun
tests/conformance.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))

import harness  # noqa: E402  (found by the line above)

_shared = harness.integration_conftest()

# pylint: disable=invalid-name
pytest_configure = _shared.pytest_configure
pytest_runtest_setup = _shared.pytest_runtest_setup
scratch = _shared.scratch
busybox_rootfs = _shared.busybox_rootfs

import bundle  # noqa: E402
import runtime_tools  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--runtime", help="drive this runtime instead of trivet-oci: crun, runc, a path")


def pytest_sessionstart(session):
    # Workers of pytest-xdist and the modules' own parametrization see the environment.
    if chosen := session.config.getoption("--runtime"):
        os.environ["RUNTIME"] = chosen


@pytest.fixture(scope="session")
def runtime():
    return runtime_tools.Runtime.chosen()


@pytest.fixture
def container(scratch, busybox_rootfs, runtime):
    """A bundle and a state directory of its own; nothing of it is left in the end."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="c-", dir=scratch))
    one = bundle.Container(base, busybox_rootfs, runtime.wrapper(base))
    yield one
    one("delete", "--force", one.name, check=False)
    left = one.leftovers()
    shutil.rmtree(base)
    assert left == []
