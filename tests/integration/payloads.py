"""The tests of `trivet run` with another isolation than native: what can't hold there, and why.

With TRIVET_TEST_ISOLATION=microvm every container of tests/integration/test_run_*.py is a microVM.
A test that is listed here must fail: an entry that is out of date fails the run.
"""

from __future__ import annotations

import pytest

import harness

# "file::test", or "file::test[parameter]": why. The reason is shown in docs/payloads.md.
MICROVM: dict[str, str] = {
    "test_run_exec.py::test_it_is_inside": "namespaces and cgroup are the guest's, not the host's",
    "test_run_isolation.py::test_privileged_is_what_the_host_has":
        "the devices of the host are not the guest's",
    "test_run_isolation.py::test_a_namespace_can_be_the_hosts[--pid-pid]":
        "a guest has processes of its own",
    "test_run_isolation.py::test_the_pid_namespace_can_be_another_containers":
        "a guest has processes of its own",
    "test_run_isolation.py::test_a_device_is_given_on_request":
        "the devices of the host are not the guest's",
    "test_run_errors.py::test_a_full_disk_inside_does_not_hurt_the_monitor":
        "a full disk of the host stops the machine, which is then ended with words",
    "test_run_files.py::test_copies_with_a_stopped_container":
        "its disk is a file system that only a guest may read: start it, then copy",
    "test_run_lifecycle.py::test_top_lists_the_processes_of_the_container_alone":
        "the pids are the guest's, and options of ps are for the host's processes",
    "test_run_limits.py::test_memory_sizes":
        "the guest keeps the limit; around it are the machine's memory and what the monitor needs",
    "test_run_network.py::test_host_is_the_hosts": "a guest can't have the host's network",
    "test_run_network.py::test_another_containers": "a network namespace has one user, the machine",
    "test_run_network.py::test_a_path": "the namespace of the path is the shell's, not the guest's",
}

EXPECTED = {"native": {}, "microvm": MICROVM}


def mark(items: list[pytest.Item]) -> None:
    expected = EXPECTED[harness.ISOLATION]
    for item in items:
        if harness.ISOLATION == "microvm":
            item.add_marker(pytest.mark.microvm)
        name = item.nodeid.rsplit("/", 1)[-1]
        reason = expected.get(name) or expected.get(name.split("[")[0])
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
