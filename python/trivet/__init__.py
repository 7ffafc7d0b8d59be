"""Sandboxes for untrusted programs: containers, microVMs and WebAssembly with trivet.

    import trivet

    with trivet.Sandbox("busybox", memory="64m", timeout=60) as box:
        print(box.exec(["echo", "hello"]).stdout)

`AsyncSandbox` is the same with asyncio. The manual is docs/python.md of the project.
"""

from ._errors import (GpuConfigError, InvalidArgumentError, NotFoundError, NotInstalledError, StateError,
                      TrivetError, UnsupportedError)
from ._host import check_gpu, check_gpu_available, prune
from ._options import Keywords
from ._pool import AsyncSandboxPool, SandboxPool
from ._sandbox import AsyncSandbox, Sandbox
from ._values import CommandError, Result, Stats

__all__ = [
    "AsyncSandbox",
    "AsyncSandboxPool",
    "CommandError",
    "GpuConfigError",
    "InvalidArgumentError",
    "Keywords",
    "NotFoundError",
    "NotInstalledError",
    "Result",
    "Sandbox",
    "SandboxPool",
    "StateError",
    "Stats",
    "TrivetError",
    "UnsupportedError",
    "check_gpu",
    "check_gpu_available",
    "prune",
]
