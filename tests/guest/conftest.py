"""Fixtures of the tests that run inside the guest; the parts are those of the integration tests."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))

import harness  # noqa: E402  (found by the line above)

_shared = harness.integration_conftest()

from guest_harness import USER, output  # noqa: E402

# pylint: disable=invalid-name
scratch = _shared.scratch
busybox_rootfs = _shared.busybox_rootfs


@pytest.fixture(scope="session", autouse=True)
def _systemd_runs():
    if pathlib.Path("/proc/1/comm").read_text().strip() == "systemd":
        return
    if os.environ.get("CI"):
        pytest.fail("systemd is not PID 1 of this guest", pytrace=False)
    pytest.skip("systemd is not PID 1 here: see tests/guest/guest.py --systemd")


@pytest.fixture(scope="session")
def user():
    """An account whose systemd may give away all controllers."""
    drop_in = pathlib.Path("/run/systemd/system/user@.service.d/delegate.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nDelegate=cpu cpuset io memory pids\n")
    output("systemctl", "daemon-reload")
    output("useradd", "--create-home", "--uid", "1234", "--shell", "/bin/sh", USER)
    output("loginctl", "enable-linger", USER)
    bus = pathlib.Path("/run/user/1234/bus")
    harness.wait_for(bus.exists, timeout=60, what="the user's bus")
    return USER
