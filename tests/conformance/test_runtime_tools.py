"""The validation programs of opencontainers/runtime-tools, one test each; see expectations.py."""

from __future__ import annotations

import os

import pytest

import expectations
import runtime_tools

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

MISSING = "needs the programs of runtime-tools: scripts/setup-conformance builds them"


def test_the_suite_is_there():
    if not runtime_tools.programs():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    assert len(runtime_tools.programs()) == 58
    assert set(expectations.EXPECTED) <= set(runtime_tools.programs())


def differences(known: expectations.Known, verdict: runtime_tools.Verdict) -> list[str]:
    """What is other than the table says, in words."""
    found = []
    for text in sorted(set(verdict.failed) - set(known.points)):
        found.append(f"not ok: {text}")
    for text in sorted(set(known.points) - set(verdict.failed)):
        if not known.by_luck:
            found.append(f"ok, though expected to fail: {text}")
    if set(verdict.defects) != set(known.defects):
        found.append(f"the report: {verdict.defects}, not {list(known.defects)}")
    lucky = known.by_luck and not verdict.complaint
    expected = bool(known.complaint) == bool(verdict.complaint)
    if not lucky and not (expected and known.complaint in verdict.complaint):
        found.append(f"complaint: {verdict.complaint!r}, not {known.complaint!r}")
    return found


@pytest.mark.parametrize("name", runtime_tools.programs())
def test_program(name, runtime, scratch):
    verdict = runtime_tools.run(name, runtime, scratch)
    for _ in range(2):
        if verdict.ok or name not in expectations.RACING:
            break
        verdict = runtime_tools.run(name, runtime, scratch)
    known = expectations.EXPECTED.get(name)
    if known is None or runtime.is_peer:
        assert verdict.ok, f"{verdict}\n{verdict.output}"
        return
    if verdict.ok and known.by_luck:
        return
    found = differences(known, verdict)
    assert not found, "\n".join([*found, f"({known.reason})", verdict.output])
    pytest.xfail(known.reason)
