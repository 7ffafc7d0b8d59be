"""How a sandbox is started: checked options, as words for `trivet run`."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import secrets
from collections.abc import Mapping, Sequence
from typing import TypedDict

OWNER_LABEL = "trivet.python.owner"
PROCESS_LABEL = "trivet.python.process"

# What keeps a sandbox up between commands; busybox and coreutils have it.
IDLE = ("tail", "-f", "/dev/null")


def start_time(pid: int) -> str:
    """Of a process, in ticks since the boot; empty when there is none. With it a pid is unique."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def this_process() -> str:
    pid = os.getpid()
    return f"{pid}:{start_time(pid)}"


class Keywords(TypedDict, total=False):
    """The keywords of Sandbox(image, …), for type checkers; docs/python.md explains them."""

    command: Sequence[str] | None
    isolation: str | None
    network: str
    memory: str | int | None
    cpus: float | None
    pids: int | None
    timeout: float | None
    env: Mapping[str, str]
    workdir: str | None
    user: str | int | None
    volumes: Sequence[str]
    tmpfs: Sequence[str]
    read_only: bool
    gpus: str | int | None
    devices: Sequence[str]
    labels: Mapping[str, str]
    owner: str
    pull: str
    experimental: bool
    extra: Sequence[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The same with what holds where nothing is said."""

    command: Sequence[str] | None = None
    isolation: str | None = None
    network: str = "none"
    memory: str | int | None = None
    cpus: float | None = None
    pids: int | None = 512
    timeout: float | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    workdir: str | None = None
    user: str | int | None = None
    volumes: Sequence[str] = ()
    tmpfs: Sequence[str] = ()
    read_only: bool = False
    gpus: str | int | None = None
    devices: Sequence[str] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    owner: str = "python"
    pull: str = "missing"
    experimental: bool = False
    extra: Sequence[str] = ()

    @property
    def asks_for_devices(self) -> bool:
        return self.gpus is not None or any("=" in device for device in self.devices)

    def words(self, image: str, name: str) -> list[str]:
        """`run …`."""
        words = ["run", "--detach", "--rm", "--name", name, "--network", self.network,
                 "--label", f"{OWNER_LABEL}={self.owner}", "--label", f"{PROCESS_LABEL}={this_process()}",
                 "--pull", self.pull]
        if self.isolation != "wasm":
            words.append("--init")  # it reaps what commands leave behind
        for option, value in (("--isolation", self.isolation), ("--memory", self.memory),
                              ("--cpus", self.cpus), ("--pids-limit", self.pids),
                              ("--workdir", self.workdir), ("--user", self.user), ("--gpus", self.gpus)):
            if value is not None:
                words += [option, str(value)]
        if self.timeout is not None:
            words += ["--timeout", f"{round(self.timeout * 1000)}ms"]
        for option, values in (("--env", _pairs(self.env)), ("--label", _pairs(self.labels)),
                               ("--volume", self.volumes), ("--tmpfs", self.tmpfs),
                               ("--device", self.devices)):
            for value in values:
                words += [option, value]
        words += ["--read-only"] * self.read_only + ["--experimental"] * self.experimental
        words += self.extra
        if self.command is None:
            words += ["--entrypoint", ""]
        return [*words, "--", image, *(IDLE if self.command is None else self.command)]


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def new_name() -> str:
    return f"py-{secrets.token_hex(8)}"
