"""Runs a hundred short sandboxes at once, a few at a time, and prints what came of them.

    python hundred_sandboxes.py [--image IMAGE] [--count 100] [--at-once 8] [--pool] [--docker]

Each gets a program of an untrusted author: most answer, some fail, some run out of time or memory. With
--docker the same is done by docker-py with runtime="trivet", which a Docker daemon has to know.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import trivet

LIMITS: trivet.Keywords = {"memory": "64m", "pids": 32, "timeout": 120}
ANSWER = ["sh", "-c", "echo $((6 * 7))"]
FAIL = ["sh", "-c", "echo no such answer >&2; exit 3"]
HANG = ["sh", "-c", "while :; do :; done"]
HOARD = ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1"]


def program_of(number: int) -> list[str]:
    if number % 20 == 7:
        return HANG
    if number % 20 == 13:
        return HOARD
    return FAIL if number % 10 == 1 else ANSWER


def name_of(exit_code: int, stdout: str, timed_out: bool) -> str:
    if timed_out:
        return "ran out of time"
    if exit_code == 137:
        return "killed: out of memory"
    return f"answered {stdout.strip()}" if exit_code == 0 else f"failed with {exit_code}"


async def one(number: int, box: AbstractAsyncContextManager[trivet.AsyncSandbox]) -> tuple[str, float]:
    start = time.monotonic()
    async with box as sandbox:
        result = await sandbox.exec(program_of(number), timeout=2)
    return name_of(result.exit_code, result.stdout, result.timed_out), time.monotonic() - start


async def all_of_them(options: argparse.Namespace) -> list[tuple[str, float]]:
    bound = asyncio.Semaphore(options.at_once)
    async with AsyncExitStack() as stack:
        pool = None
        if options.pool:
            pool = await stack.enter_async_context(
                trivet.AsyncSandboxPool(options.at_once, options.image, **LIMITS))

        async def bounded(number: int) -> tuple[str, float]:
            async with bound:
                return await one(number, pool.take() if pool
                                 else trivet.AsyncSandbox(options.image, **LIMITS))
        return await asyncio.gather(*map(bounded, range(options.count)))


def with_docker(options: argparse.Namespace) -> list[tuple[str, float]]:
    import docker  # of PyPI, Debian: python3-docker
    client = docker.from_env()

    def one_of_docker(number: int) -> tuple[str, float]:
        start = time.monotonic()
        # The deadline and the removal are ours to see to.
        container = client.containers.run(options.image, program_of(number), runtime="trivet",
                                          detach=True, network_mode="none", mem_limit="64m",
                                          pids_limit=32)
        try:
            try:
                code, timed_out = container.wait(timeout=2)["StatusCode"], False
            except Exception:  # of requests: docker-py has no class of its own for it
                code, timed_out = 124, True
            text = name_of(code, container.logs(stderr=False).decode(), timed_out)
        finally:
            container.remove(force=True)
        return text, time.monotonic() - start
    with ThreadPoolExecutor(options.at_once) as threads:
        return list(threads.map(one_of_docker, range(options.count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default="busybox")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--pool", action="store_true", help="take them from a pool")
    parser.add_argument("--docker", action="store_true", help="with docker-py, runtime=trivet")
    options = parser.parse_args()
    start = time.monotonic()
    results = with_docker(options) if options.docker else asyncio.run(all_of_them(options))
    elapsed = time.monotonic() - start
    times: dict[str, list[float]] = collections.defaultdict(list)
    for text, elapsed_of_one in results:
        times[text].append(elapsed_of_one)
    print(f"{'WHAT HAPPENED':<24} {'COUNT':>5} {'MEDIAN':>9}")
    for text, seconds in sorted(times.items(), key=lambda item: -len(item[1])):
        print(f"{text:<24} {len(seconds):>5} {statistics.median(seconds) * 1000:>6.0f} ms")
    print(f"{len(results)} sandboxes in {elapsed:.1f} s, {options.at_once} at once")


if __name__ == "__main__":
    main()
