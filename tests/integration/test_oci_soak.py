"""Many containers: a thousand one after another, two hundred at once. Nothing grows, nothing stays."""

from __future__ import annotations

import os
import subprocess

import pytest

import harness
from oci_harness import NAME, cgroups_of

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

# Sanitized programs, and those of an emulated machine, are too slow for all of them.
SCALE = 10 if "ASAN_OPTIONS" in os.environ or harness.SLOW > 8 else 1


def run_quietly(oci, *args) -> int:
    with (oci.base / "out").open("ab") as out:
        return subprocess.run([oci.program, "--root", oci.root, *args], stdin=subprocess.DEVNULL,
                              stdout=out, stderr=out, check=False).returncode


def test_a_thousand_one_after_another(oci, scratch):
    oci.write("true")
    before = harness.mounts_of(scratch)
    for _ in range(1000 // SCALE):
        assert run_quietly(oci, "run", "--bundle", oci.bundle, NAME) == 0, oci.output()
    assert (oci.left(), cgroups_of(NAME), harness.mounts_of(scratch)) == ([], [], before)


def test_two_hundred_at_once(oci, scratch):
    oci.write("sleep", "1000")
    before = harness.mounts_of(scratch)
    names = [f"{NAME}-{number}" for number in range(200 // SCALE)]
    for name in names:
        assert run_quietly(oci, "create", "--bundle", oci.bundle, name) == 0, oci.output()
        assert run_quietly(oci, "start", name) == 0, oci.output()
    listed = oci("list", "-q").stdout.split()
    assert sorted(listed) == sorted(names)
    assert all(state["status"] == "running"
               for state in map(oci.state, names[:: max(len(names) // 10, 1)]))
    assert oci("exec", names[-1], "echo", "in").stdout == "in\n"
    for name in names:
        assert run_quietly(oci, "delete", "--force", name) == 0, oci.output()
    assert (oci.left(), harness.mounts_of(scratch)) == ([], before)
    assert not any(cgroups_of(name) for name in names)
