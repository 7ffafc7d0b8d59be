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
