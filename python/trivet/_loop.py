"""The event loop that the synchronous classes run on, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0


def _started() -> asyncio.AbstractEventLoop:
    global _loop, _pid
    with _lock:
        # A process that was forked has the loop and not its thread.
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="trivet", daemon=True).start()
        return _loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Its result. What interrupts the caller, like Ctrl-C, cancels the work and waits for its end."""
    done = threading.Event()

    async def watched() -> T:
        try:
            return await work
        finally:
            done.set()
    future = asyncio.run_coroutine_threadsafe(watched(), _started())
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            done.wait(30)
        raise
