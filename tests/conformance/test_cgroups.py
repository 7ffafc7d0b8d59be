"""Cgroups and their limits: config-linux.md "Control groups". On whichever version the host has."""

from __future__ import annotations

import pathlib

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def value(pid: int, controller: str, v1: str, v2: str) -> str:
    directory = harness.cgroup_directory(pid, controller)
    return ((directory / v1) if (directory / v1).exists() else (directory / v2)).read_text().strip()


def test_the_path_is_the_one_that_was_asked_for(container):
    pid = container.running()
    assert container.name in str(harness.cgroup_directory(pid, "pids"))
    lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    assert lines.count(f"/{container.name}\n") >= 1


def test_a_relative_path(container):
    container.linux["cgroupsPath"] = f"{container.name}/below"
    pid = container.running()
    assert str(harness.cgroup_directory(pid, "pids")).endswith(f"{container.name}/below")
    container.delete("--force")
    for directory in container.cgroups():
        directory.rmdir()  # the parent was made along the way; who asked for it may keep it


@pytest.mark.parametrize("limit,expected", [(7, "7"), (-1, "max")])
def test_the_limit_of_processes(container, limit, expected):
    container.linux["resources"]["pids"] = {"limit": limit}
    assert value(container.running(), "pids", "pids.max", "pids.max") == expected


def test_the_limit_of_processes_holds(container):
    container.linux["resources"]["pids"] = {"limit": 5}
    printed = container.output("for i in 1 2 3 4 5 6 7 8; do sleep 3 & done 2>&1; echo end")
    assert "end" not in printed or "fork" in printed


def test_limits_of_memory(container):
    container.linux["resources"]["memory"] = {"limit": 64 << 20, "reservation": 32 << 20}
    pid = container.running()
    assert value(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert value(pid, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)


def test_limits_of_the_processor(container):
    container.linux["resources"]["cpu"] = {"shares": 512, "quota": 30000, "period": 60000,
                                           "cpus": "0", "mems": "0"}
    pid = container.running()
    directory = harness.cgroup_directory(pid, "cpu")
    if (directory / "cpu.shares").exists():
        assert (directory / "cpu.shares").read_text() == "512\n"
        assert (directory / "cpu.cfs_quota_us").read_text() == "30000\n"
        assert (directory / "cpu.cfs_period_us").read_text() == "60000\n"
    else:
        assert (directory / "cpu.max").read_text() == "30000 60000\n"
    assert value(pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"


@pytest.mark.parametrize("resources", [{"memory": {"limit": -5}}, {"cpu": {"cpus": "9999"}},
                                       {"cpu": {"cpus": "words"}}])
def test_limits_that_cannot_be_set_are_errors_and_leave_nothing(container, resources):
    container.linux["resources"].update(resources)
    assert container.create(check=False).returncode != 0
    assert container.leftovers() == []


def test_everything_of_the_container_is_in_the_cgroup(container):
    container.running("sh", "-c", "sleep 1000 & sleep 1000; :")
    directory = next(path for path in container.cgroups() if (path / "cgroup.procs").exists())
    harness.wait_for(lambda: len((directory / "cgroup.procs").read_text().split()) == 3,
                     what="both children run")
    container.delete("--force")
    assert container.cgroups() == []
