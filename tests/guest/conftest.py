"""Fixtures of the tests that run inside the guest; the parts are those of the integration tests."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))
_spec = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)

# pylint: disable=invalid-name
scratch = _shared.scratch
busybox_rootfs = _shared.busybox_rootfs
