"""Sandboxes that are started before they are needed. Each is used once, and replaced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Unpack

from . import _loop
from ._options import Keywords
from ._sandbox import AsyncSandbox, Sandbox


class AsyncSandboxPool:
    """Keeps `size` sandboxes ready: `async with AsyncSandboxPool(8, image, …) as pool`, and then
    `async with pool.take() as box`, as often and by as many tasks as wanted."""

    def __init__(self, size: int, image: str, **options: Unpack[Keywords]):
        if size < 1:
            raise ValueError("a pool has at least one sandbox")
        self.size = size
        self.image = image
        self.options = options
        self._starting: set[asyncio.Task[AsyncSandbox]] = set()
        # In the order they were asked for; one that has failed raises to whoever takes it.
        self._queue: asyncio.Queue[asyncio.Task[AsyncSandbox]] = asyncio.Queue()
        self._closing: set[asyncio.Future[None]] = set()
        self._closed = False

    def _add(self) -> None:
        task = asyncio.ensure_future(AsyncSandbox.run(self.image, **self.options))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        # An error is the taker's; one that nobody takes is not worth a warning.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._queue.put_nowait(task)

    async def start(self) -> AsyncSandboxPool:
        for _ in range(self.size):
            self._add()
        return self

    async def __aenter__(self) -> AsyncSandboxPool:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        await self.close()

    async def _next(self) -> AsyncSandbox:
        while not self._closed:
            task = await self._queue.get()
            self._add()
            try:
                box = await asyncio.shield(task)
            except asyncio.CancelledError:
                self._discard(task)
                raise
            if await box.is_running():  # it may have waited for longer than its timeout
                return box
            await box.close()
        raise RuntimeError("the pool is closed")

    def _discard(self, task: asyncio.Task[AsyncSandbox]) -> None:
        if task.done() and not task.cancelled() and task.exception() is None:
            closing = asyncio.ensure_future(task.result().close())
            self._closing.add(closing)  # the loop itself does not hold it
            closing.add_done_callback(self._closing.discard)
        else:
            task.cancel()

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[AsyncSandbox]:
        """A sandbox of one's own, removed in the end; the next is being started meanwhile."""
        box = await self._next()
        try:
            yield box
        finally:
            await box.close()

    async def close(self) -> None:
        """Removes those that wait. Those that are taken are their takers'."""
        self._closed = True
        waiting = []
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait())
        for task in waiting:
            if not task.done():
                task.cancel()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, AsyncSandbox):
                await outcome.close()


class SandboxPool:
    """Keeps `size` sandboxes ready: `with SandboxPool(8, image, …) as pool`, and then
    `with pool.take() as box`, as often and by as many threads as wanted."""

    def __init__(self, size: int, image: str, **options: Unpack[Keywords]):
        self._inner = AsyncSandboxPool(size, image, **options)

    def __enter__(self) -> SandboxPool:
        _loop.run(self._inner.start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def take(self) -> Iterator[Sandbox]:
        """A sandbox of one's own, removed in the end; the next is being started meanwhile."""
        box = Sandbox._of(_loop.run(self._inner._next()))
        try:
            yield box
        finally:
            box.close()

    def close(self) -> None:
        """Removes those that wait. Those that are taken are their takers'."""
        _loop.run(self._inner.close())
