"""How much memory processes have for themselves."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable


def private_of(pids: Iterable[int]) -> float:
    """In KiB; pages that several processes have in common are nobody's."""
    total = 0
    for pid in pids:
        rows = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))
    return float(total)
