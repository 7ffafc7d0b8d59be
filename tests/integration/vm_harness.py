"""What the tests of microVMs need and share."""

from __future__ import annotations

import functools
import os

import harness


@functools.cache
def missing() -> str | None:
    """Why there can be no microVM here; None when there can."""
    if harness.program_missing("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed"
    for program in ("trivet-vmm", "trivet-vminit"):
        if not os.access(harness.BIN_DIR / program, os.X_OK):
            return f"{program} is not built"
    if not (harness.VM_DIR / "current").exists():
        return f"{harness.VM_DIR} has no guest's kernel: run scripts/setup-vm"
    return None
