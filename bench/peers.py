"""The OCI runtimes that trivet-oci is compared with, and where they are."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess

SETUP = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "setup-peers"
PROGRAMS = {"crun": "crun", "runc": "runc", "youki": "youki", "gvisor": "runsc"}


@functools.cache
def find(peer: str) -> str | None:
    """The path of its program; one that is installed comes before what scripts/setup-peers has built."""
    built = subprocess.run([SETUP, "--print-directory"], check=True, capture_output=True,
                           text=True).stdout.strip()
    return shutil.which(PROGRAMS[peer], path=f"{os.environ.get('PATH', os.defpath)}:{built}")
