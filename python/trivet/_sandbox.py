"""A sandbox: a container, microVM or WebAssembly host in which commands are run."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import io
import json
import os
import posixpath
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Unpack

from . import _call, _loop
from ._errors import NotFoundError, StateError, TrivetError, error_from
from ._options import Keywords, Options, new_name
from ._values import Result, Stats

MAX_OUTPUT = 16 << 20

# Sandboxes of this process by name, for the end of the interpreter.
_open_names: set[str] = set()
_open_pid = os.getpid()


def _remember(name: str) -> None:
    global _open_pid
    if _open_pid != os.getpid():  # forked: those of the parent are not ours
        _open_names.clear()
        _open_pid = os.getpid()
    _open_names.add(name)


@atexit.register
def _remove_all() -> None:
    if _open_names and _open_pid == os.getpid():
        # Not with asyncio, which can't start what it needs any more.
        with contextlib.suppress(OSError, TrivetError, subprocess.SubprocessError):
            subprocess.run([_call.program(), "rm", "--force", "--volumes", *sorted(_open_names)],
                           check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


def _file_as_tar(path: str, data: bytes, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(posixpath.basename(path))
        info.size, info.mode = len(data), mode
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _file_from_tar(data: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.next()
        content = archive.extractfile(member) if member is not None and member.isfile() else None
        if content is None:
            raise StateError(f"{path} is no file", "wrong-state")
        return content.read()


class AsyncSandbox:
    """A sandbox for asyncio. `async with AsyncSandbox(image, …) as box` starts it, and removes it in the
    end, whatever happens; `await AsyncSandbox.run(image, …)` starts one that close() removes.

    The keywords are those of Sandbox. Methods may be called by several tasks at the same time. A task
    that is canceled in one of them ends the command that it waits for.
    """

    def __init__(self, image: str, **options: Unpack[Keywords]):
        self.image = image
        self.name = new_name()
        self.options = Options(**options)
        self.id = ""
        self._closed = False

    @classmethod
    async def run(cls, image: str, **options: Unpack[Keywords]) -> AsyncSandbox:
        """A started one."""
        return await cls(image, **options).start()

    async def start(self) -> AsyncSandbox:
        _remember(self.name)
        words = self.options.words(self.image, self.name)
        starting = asyncio.ensure_future(
            _call.must(words, asks_for_devices=self.options.asks_for_devices))
        try:
            outcome = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Half a start would be trivet's to clean up; a whole one is ours. A pull may take long.
            await _surely(self._give_up(starting))
            raise
        except BaseException:
            _open_names.discard(self.name)
            raise
        self.id = outcome.stdout.decode().strip()
        return self

    async def _give_up(self, starting: asyncio.Future[_call.Outcome]) -> None:
        await asyncio.wait({starting}, timeout=5)
        starting.cancel()
        with contextlib.suppress(TrivetError, asyncio.CancelledError):
            await starting
        await self._remove()

    async def __aenter__(self) -> AsyncSandbox:
        return self if self.id else await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends and removes it. Again is fine, and so is one that has ended by itself."""
        if self._closed:
            return
        self._closed = True
        await _surely(self._remove())

    async def _remove(self) -> None:
        with contextlib.suppress(NotFoundError):
            await _call.must(["rm", "--force", "--volumes", self.name])
        _open_names.discard(self.name)

    async def exec(self, argv: Sequence[str], *, stdin: bytes | str | None = None,
                   timeout: float | None = None, env: Mapping[str, str] | None = None,
                   workdir: str | None = None, user: str | int | None = None, check: bool = False,
                   max_output: int = MAX_OUTPUT) -> Result:
        """Runs a command and waits for its end. Past `timeout` seconds it is killed, and the result has
        timed_out and exit code 124. A program that is not there is NotFoundError. check=True raises
        CommandError for an exit code that is not 0."""
        if isinstance(argv, str):
            raise TypeError('argv is a list of words; for a shell: ["sh", "-c", text]')
        words = ["exec"]
        for key, value in (env or {}).items():
            words += ["--env", f"{key}={value}"]
        for option, chosen in (("--workdir", workdir), ("--user", user)):
            if chosen is not None:
                words += [option, str(chosen)]
        if stdin is not None:
            words.append("--interactive")
        data = stdin.encode() if isinstance(stdin, str) else stdin
        outcome = await _call.call([*words, self.name, *argv], stdin=data, timeout=timeout,
                                   max_output=max_output)
        if outcome.report and not outcome.timed_out:
            raise error_from(outcome.report, "trivet exec")
        result = Result(outcome.exit_code, outcome.stdout, outcome.stderr, outcome.timed_out,
                        outcome.truncated)
        return result.check() if check else result

    async def write_file(self, path: str, data: bytes | str, *, mode: int = 0o644) -> None:
        """Writes a file; its directory must be there, and a file of that name is replaced."""
        content = data.encode() if isinstance(data, str) else data
        folder = posixpath.dirname(path) or "/"
        await _call.must(["cp", "-", f"{self.name}:{folder}"], stdin=_file_as_tar(path, content, mode))

    async def read_file(self, path: str) -> bytes:
        """The content of a file, of at most 64 MiB with what a tar adds."""
        outcome = await _call.must(["cp", f"{self.name}:{path}", "-"])
        if outcome.truncated:
            raise TrivetError(f"{path} is larger than 64 MiB", "limit-exceeded", "use copy_out")
        return _file_from_tar(outcome.stdout, path)

    async def copy_in(self, host_path: str | os.PathLike[str], path: str) -> None:
        """Copies a file or directory of the host, as `trivet cp` does it."""
        await _call.must(["cp", os.fspath(host_path), f"{self.name}:{path}"])

    async def copy_out(self, path: str, host_path: str | os.PathLike[str]) -> None:
        """Copies a file or directory to the host, as `trivet cp` does it."""
        await _call.must(["cp", f"{self.name}:{path}", os.fspath(host_path)])

    async def logs(self) -> Result:
        """What the sandbox's own command has written: of interest with command=."""
        outcome = await _call.must(["logs", self.name])
        return Result(0, outcome.stdout, outcome.stderr, truncated=outcome.truncated)

    async def stats(self) -> Stats:
        """What it uses now."""
        outcome = await _call.must(["stats", "--format", "json", self.name])
        return Stats.from_json(json.loads(outcome.stdout)[0])

    async def kill(self, signal: int | str = "KILL") -> None:
        """Sends a signal to its first process, which ends the sandbox if that ends."""
        await _call.must(["kill", "--signal", str(signal), self.name])

    async def is_running(self) -> bool:
        """False once it has ended, timeout included."""
        try:
            outcome = await _call.must(["inspect", "--format", "json", self.name])
        except NotFoundError:
            return False
        return bool(json.loads(outcome.stdout)[0]["State"]["Running"])


async def _surely(work: Any) -> None:
    """Done to the end, also when the task that wants it is canceled; the cancellation comes after."""
    ending = asyncio.ensure_future(work)
    canceled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError as error:
            if ending.cancelled():
                break
            canceled = error
        except BaseException:
            break
    if canceled is not None:
        with contextlib.suppress(TrivetError):
            ending.result()
        raise canceled
    ending.result()


class Sandbox:
    """A sandbox. `with Sandbox(image, …) as box` starts it, and removes it in the end, whatever happens;
    `Sandbox.run(image, …)` starts one that close() removes.

    image: an image, which is pulled if it is missing.
    memory, cpus, pids: limits: "512m", 1.5, 100 (512 if not given; None: none).
    timeout: seconds after which trivet ends it, also when Python is gone.
    network: "none", "pasta" for the internet, or what else `trivet run --network` takes.
    isolation: "native", "wasm", or "microvm" (with experimental=True).
    env, workdir, user, volumes ("/host:/inside:ro"), tmpfs, read_only, gpus ("all", 1), devices, labels.
    command: instead of idling, run this; the sandbox ends with it.
    owner: a word for prune(). extra: further words for `trivet run`.

    Methods may be called by several threads at the same time.
    """

    def __init__(self, image: str, **options: Unpack[Keywords]):
        self._inner = AsyncSandbox(image, **options)

    @classmethod
    def run(cls, image: str, **options: Unpack[Keywords]) -> Sandbox:
        """A started one."""
        return cls(image, **options).start()

    @classmethod
    def _of(cls, inner: AsyncSandbox) -> Sandbox:
        box = cls.__new__(cls)
        box._inner = inner
        return box

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def image(self) -> str:
        return self._inner.image

    def start(self) -> Sandbox:
        _loop.run(self._inner.start())
        return self

    def __enter__(self) -> Sandbox:
        return self if self.id else self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends and removes it. Again is fine, and so is one that has ended by itself."""
        _loop.run(self._inner.close())

    def exec(self, argv: Sequence[str], *, stdin: bytes | str | None = None,
             timeout: float | None = None, env: Mapping[str, str] | None = None,
             workdir: str | None = None, user: str | int | None = None, check: bool = False,
             max_output: int = MAX_OUTPUT) -> Result:
        """Runs a command and waits for its end. Past `timeout` seconds it is killed, and the result has
        timed_out and exit code 124. A program that is not there is NotFoundError. check=True raises
        CommandError for an exit code that is not 0."""
        return _loop.run(self._inner.exec(argv, stdin=stdin, timeout=timeout, env=env, workdir=workdir,
                                          user=user, check=check, max_output=max_output))

    def write_file(self, path: str, data: bytes | str, *, mode: int = 0o644) -> None:
        """Writes a file; its directory must be there, and a file of that name is replaced."""
        _loop.run(self._inner.write_file(path, data, mode=mode))

    def read_file(self, path: str) -> bytes:
        """The content of a file, of at most 64 MiB with what a tar adds."""
        return _loop.run(self._inner.read_file(path))

    def copy_in(self, host_path: str | os.PathLike[str], path: str) -> None:
        """Copies a file or directory of the host, as `trivet cp` does it."""
        _loop.run(self._inner.copy_in(host_path, path))

    def copy_out(self, path: str, host_path: str | os.PathLike[str]) -> None:
        """Copies a file or directory to the host, as `trivet cp` does it."""
        _loop.run(self._inner.copy_out(path, host_path))

    def logs(self) -> Result:
        """What the sandbox's own command has written: of interest with command=."""
        return _loop.run(self._inner.logs())

    def stats(self) -> Stats:
        """What it uses now."""
        return _loop.run(self._inner.stats())

    def kill(self, signal: int | str = "KILL") -> None:
        """Sends a signal to its first process, which ends the sandbox if that ends."""
        _loop.run(self._inner.kill(signal))

    def is_running(self) -> bool:
        """False once it has ended, timeout included."""
        return _loop.run(self._inner.is_running())
