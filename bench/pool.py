"""The rows of warm pools: one that waited, against `trivet run` of the same, to the first line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import harness
import vm_harness
import wasm

WAITING = 3


class Pool:
    """A pool and what makes one of the same kind from nothing."""

    def __init__(self, workspace, sample: Callable, options: list[object], words: list[object],
                 trivet):
        self.workspace = workspace
        self.sample = sample
        self.trivet = trivet
        self.options = ["--network", "none", *options]
        self.words = words
        self.trivet.run("pool", "create", "--size", WAITING, *self.options, "bench", *words,
                        timeout=120)
        workspace.cleanups.append(self.close)

    def close(self) -> None:
        self.trivet.run("pool", "rm", "-f", "bench", check=False)
        self.trivet.close()

    def settle(self) -> None:
        """Nothing is being prepared while a time is taken."""
        harness.wait_for(self._is_full, timeout=60, what="the pool is full")

    def _is_full(self) -> bool:
        row = self.trivet.run("pool", "inspect", "bench").json()[0]
        return row["Ready"] == WAITING and not row["Filling"]

    def first_line(self, *command: object):
        """From the program's start to its first line; its end is waited for and not counted."""
        self.settle()
        start = time.perf_counter()
        with subprocess.Popen([self.trivet.program, *map(str, command)], env=self.trivet.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=self.workspace.errors) as process:
            line = process.stdout.readline()
            wall = time.perf_counter() - start
            process.stdout.read()
        if line.strip() != b"hello" or process.returncode != 0:
            raise SystemExit(f"bench: {command}: {line!r}, exit code {process.returncode}")
        return self.sample(wall * 1e3)

    def pair(self):
        return (lambda: self.first_line("pool", "run", "--rm", "bench"),
                lambda: self.first_line("run", "--rm", *self.options, *self.words))


def _trivet_with_image(workspace, layout):
    trivet = workspace.trivet(workspace.folder / "pool")
    trivet.run("image", "import", layout, "bench")
    return trivet


def native(workspace, sample: Callable, layout):
    return Pool(workspace, sample, [], ["bench", "/bin/echo", "hello"],
                _trivet_with_image(workspace, layout)).pair()


def network(workspace, sample: Callable, layout):
    return Pool(workspace, sample, ["--network", "pasta"], ["bench", "/bin/echo", "hello"],
                _trivet_with_image(workspace, layout)).pair()


def module(workspace, sample: Callable):
    source = workspace.folder / "hello.c"
    source.write_text(wasm.HELLO)
    hello = source.with_suffix(".wasm")
    subprocess.run(["clang-19", "--target=wasm32-wasi", "-O2", "-o", hello, source], check=True)
    time.sleep(wasm.SETTLED_SECONDS)
    trivet = workspace.trivet(workspace.folder / "pool")
    return Pool(workspace, sample, [], [hello], trivet).pair()


def microvm(workspace, sample: Callable, layout):
    reason = vm_harness.missing()
    if reason:
        raise SystemExit(f"bench: no microVM: {reason}")
    return Pool(workspace, sample, ["--isolation", "microvm", "--experimental"],
                ["bench", "/bin/echo", "hello"], _trivet_with_image(workspace, layout)).pair()
