"""What the calls give."""

from __future__ import annotations

import dataclasses
from typing import Any


class CommandError(Exception):
    """A command ended with another exit code than 0, or ran out of time, where check=True was asked
    for. `result` has everything."""

    def __init__(self, result: Result):
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        end = "ran out of time" if self.result.timed_out else f"exit code {self.result.exit_code}"
        said = self.result.stderr.strip()[-500:]
        return f"{end}: {said}" if said else end


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a command."""

    exit_code: int  # 128 + N when signal N has ended it; 124 when it ran out of time
    stdout_bytes: bytes
    stderr_bytes: bytes
    timed_out: bool = False
    truncated: bool = False  # it wrote more than `max_output` to one of them: the rest is not here

    @property
    def stdout(self) -> str:
        """As text; what is no UTF-8 is replaced."""
        return self.stdout_bytes.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """As text; what is no UTF-8 is replaced."""
        return self.stderr_bytes.decode(errors="replace")

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def check(self) -> Result:
        """Itself, when the command has ended with 0; raises CommandError otherwise."""
        if not self.ok:
            raise CommandError(self)
        return self


@dataclasses.dataclass(frozen=True)
class Stats:
    """What a sandbox uses now."""

    cpu_seconds: float
    memory_bytes: int
    memory_limit: int  # the host's memory, where there is no limit
    pids: int
    pids_limit: int  # 0: none
    block_read: int
    block_written: int
    net_received: int
    net_sent: int

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Stats:
        return cls(cpu_seconds=value["CPUNanoseconds"] / 1e9, memory_bytes=value["MemoryBytes"],
                   memory_limit=value["MemoryLimit"], pids=value["PIDs"], pids_limit=value["PIDsLimit"],
                   block_read=value["BlockRead"], block_written=value["BlockWrite"],
                   net_received=value["NetReceived"], net_sent=value["NetSent"])
