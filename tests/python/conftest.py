"""The fixtures of the integration tests, and the package of the tree beside them."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "integration"), str(HERE.parent.parent / "python")]

import harness  # noqa: E402
import pytest  # noqa: E402

integration = harness.integration_conftest()
globals().update({name: value for name, value in vars(integration).items()
                  if name.startswith("pytest_") or hasattr(value, "_pytestfixturefunction")
                  or hasattr(value, "_fixture_function")})


@pytest.fixture
def host(trivet, nothing_left, monkeypatch):
    """trivet with directories of its own, and the package told to use them."""
    for name, value in trivet.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRIVET_PROGRAM", trivet.program)
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent / "python"))
    before = sorted(os.listdir("/proc/self/fd"))
    yield trivet
    # asyncio's loop of the synchronous classes keeps three of its own.
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 3
