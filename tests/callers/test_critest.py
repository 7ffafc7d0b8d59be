"""What critest says of trivet's handlers, beside what it says of runc in the same containerd.

A part of it; scripts/critest runs all.
"""

from __future__ import annotations

import os
import re

import pytest

import critest

# Pods, containers and their ends: what a runtime has most to do with.
FOCUS = r"\[k8s.io\] (Container|PodSandbox|Idempotence) "

pytestmark = pytest.mark.cri


@pytest.fixture(scope="module")
def cri(scratch):
    if not critest.program().exists():
        reason = "scripts/setup-critest builds critest"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    base = scratch / "ct"
    base.mkdir()
    cri = critest.installed(base)
    critest.load_stand_ins(cri)
    yield cri
    cri.close()


def passed(results: dict[str, str]) -> set[str]:
    return {name for name, state in results.items() if state == "passed"}


def test_trivet_passes_what_runc_passes(cri):
    runc = passed(critest.run(cri, "runc", FOCUS))
    assert len(runc) > 15
    behind = runc - passed(critest.run(cri, "trivet", FOCUS))
    # Some have deadlines of a few seconds, which a busy host may miss: those have a second chance.
    if behind:
        again = "|".join(re.escape(name) for name in behind)
        behind -= passed(critest.run(cri, "trivet", again))
    assert not behind
