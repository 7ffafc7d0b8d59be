"""What the tests in the guest share."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

import harness

CGROUPS = pathlib.Path("/sys/fs/cgroup")
V2 = (CGROUPS / "cgroup.controllers").exists()
USER = "tester"

only_v2 = pytest.mark.skipif(not V2, reason="systemd delegates nothing to users on cgroup v1")


def output(*command: object, check: bool = True, **options) -> str:
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=20 * harness.SLOW, check=False, **options)
    assert not check or done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout.strip()
