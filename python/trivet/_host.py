"""What concerns no single sandbox: what was left behind, and what the host has."""

from __future__ import annotations

import json
from typing import Any

from . import _call, _loop
from ._errors import GpuConfigError, NotFoundError, TrivetError
from ._options import OWNER_LABEL, PROCESS_LABEL, start_time


def _is_alive(process: str) -> bool:
    pid, _, started = process.partition(":")
    return pid.isdigit() and started != "" and start_time(int(pid)) == started


async def _prune(owner: str | None) -> list[str]:
    outcome = await _call.must(["ps", "--all", "--format", "json"])
    removed = []
    for row in json.loads(outcome.stdout):
        labels: dict[str, str] = row["Labels"]
        if PROCESS_LABEL not in labels or owner not in (None, labels.get(OWNER_LABEL)):
            continue
        if _is_alive(labels[PROCESS_LABEL]):
            continue
        try:
            await _call.must(["rm", "--force", "--volumes", row["ID"]])
        except NotFoundError:
            continue  # it has ended meanwhile, or another process prunes too
        removed.append(str(row["Names"]))
    return removed


def prune(owner: str | None = None) -> list[str]:
    """Removes the sandboxes (of `owner`, or of everybody) whose Python has gone without closing them,
    because it was killed; returns their names. Those of living processes stay."""
    return _loop.run(_prune(owner))


async def _devices() -> list[dict[str, Any]]:
    outcome = await _call.must(["device", "ls", "--format", "json"])
    rows: list[dict[str, Any]] = json.loads(outcome.stdout)
    return rows


def check_gpu() -> list[str]:
    """The names of the host's GPUs, for `devices=`. Raises GpuConfigError, with a hint and what is
    broken, when there is none."""
    rows = _loop.run(_devices())
    gpus = [str(row["Name"]) for row in rows if row["Name"].partition("=")[0].endswith("/gpu")]
    if gpus:
        return gpus
    raise GpuConfigError("the host's CDI files define no GPU", "unsupported",
                         "for an NVIDIA GPU, install its driver and the NVIDIA Container Toolkit, then: "
                         "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
                         [str(row["Error"]) for row in rows if row["Error"]])


def check_gpu_available() -> bool:
    """Whether check_gpu() finds one. Never raises: whatever is wrong is a no."""
    try:
        return bool(check_gpu())
    except (TrivetError, OSError, ValueError, KeyError):
        return False
