"""The faults suite uses the fixtures of the integration tests."""

import pathlib
import sys

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))

import harness  # noqa: E402  (found by the line above)

globals().update({name: value for name, value in vars(harness.integration_conftest()).items()
                  if not name.startswith("_")})
