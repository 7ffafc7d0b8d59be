"""Calls of the program trivet: bounded output, deadlines, and no process or descriptor left behind.

Errors come through a descriptor of their own (`--error-fd`), which no program in a container can write
to: what a sandbox prints is never taken for trivet's own words.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
from collections.abc import Sequence

from ._errors import NotInstalledError, error_from

TIMED_OUT = 124  # as timeout(1) and `trivet run --timeout` have it
CHUNK = 1 << 16
# A program that has ended may have left others that hold its output open. They are not waited for.
DRAIN_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    exit_code: int
    stdout: bytes
    stderr: bytes
    report: str  # trivet's own errors, JSON lines; empty: there were none
    timed_out: bool
    truncated: bool


def program() -> str:
    """TRIVET_PROGRAM, or `trivet` in PATH."""
    given = os.environ.get("TRIVET_PROGRAM")
    found = shutil.which(given or "trivet")
    if found:
        return found
    what = f"TRIVET_PROGRAM: {given}: no such program" if given else "the program trivet is not in PATH"
    raise NotInstalledError(what, "not-found", "install trivet, or set TRIVET_PROGRAM to where it is")


class _Sink:
    """The first `limit` bytes of a stream."""

    def __init__(self, limit: int):
        self.limit = limit
        self.data = bytearray()
        self.truncated = False

    async def drain(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(CHUNK):
            room = self.limit - len(self.data)
            self.data += chunk[:room]
            self.truncated |= len(chunk) > room


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    # A program that ends without reading is fine.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.close()
        await stream.wait_closed()


def _children(pid: int) -> list[int]:
    """The children of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def _kill_below(pid: int) -> None:
    """SIGKILL for what a process has started, the nearest first: these are what it waits for."""
    for child in _children(pid):
        below = _children(child)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
        for grandchild in below:
            _kill_below(grandchild)
            with contextlib.suppress(OSError):
                os.kill(grandchild, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends `trivet exec` by what it runs, so that it still says how that ended; by force if need be."""
    if process.returncode is None:
        _kill_below(process.pid)
        try:
            await asyncio.wait_for(process.wait(), 2)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    await process.wait()


async def _end_surely(process: asyncio.subprocess.Process) -> None:
    """The same, though the task that wants it is canceled (again)."""
    ending = asyncio.ensure_future(_end(process))
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(ending)


async def _gather(process: asyncio.subprocess.Process, stdin: bytes | None, out: _Sink, err: _Sink) -> None:
    assert process.stdout and process.stderr
    streams = [out.drain(process.stdout), err.drain(process.stderr)]
    if stdin is not None:
        assert process.stdin
        streams.append(_feed(process.stdin, stdin))
    moving = asyncio.gather(*streams)
    try:
        await process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(moving, DRAIN_SECONDS)
    finally:
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)


def _close(process: asyncio.subprocess.Process) -> None:
    """Its pipes, at once and not when the collector comes by."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


async def call(words: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None,
               max_output: int = 64 << 20) -> Outcome:
    """Runs `trivet WORDS…`. Past the timeout, and when the task is canceled, what it runs is killed."""
    errors = os.memfd_create("trivet-errors")
    try:
        command = [program(), "--error-format", "json", "--error-fd", str(errors), *words]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, pass_fds=(errors,),
            start_new_session=True)  # Ctrl-C is for Python, which ends them
        out, err = _Sink(max_output), _Sink(max_output)
        timed_out = False
        try:
            moving = asyncio.ensure_future(_gather(process, stdin, out, err))
            done, _ = await asyncio.wait({moving}, timeout=timeout)
            if not done:
                timed_out = True
                await _end(process)
            await moving
        except BaseException:
            moving.cancel()
            await _end_surely(process)
            raise
        finally:
            _close(process)
        code = process.returncode
        assert code is not None
        report = os.pread(errors, 1 << 20, 0).decode(errors="replace")
    finally:
        os.close(errors)
    exit_code = TIMED_OUT if timed_out else 128 - code if code < 0 else code
    return Outcome(exit_code, bytes(out.data), bytes(err.data), report, timed_out,
                   out.truncated or err.truncated)


async def must(words: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None,
               asks_for_devices: bool = False) -> Outcome:
    """The same for commands of trivet itself: raises TrivetError unless it did what it was asked for."""
    outcome = await call(words, stdin=stdin, timeout=timeout)
    if outcome.exit_code != 0 or outcome.report:
        raise error_from(outcome.report, f"trivet {words[0]}", asks_for_devices=asks_for_devices)
    return outcome
