"""Warm pools under faults: whoever prepares, holds or takes a container is killed or fails at each of
its steps; then one command makes everything right again, and nothing is left in the end.

strace(1) strikes at the calls that change files: each step of the pool's is one of them.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup,
              pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")]

SIZE = 2
FILLER, MONITOR, CALLER = "trivet-pool-filler", "trivet-monitor", "trivet"


class Pool:
    def __init__(self, trivet):
        self.trivet = trivet
        self.before = harness.HostState.take(trivet)

    def create(self, size: int = SIZE) -> None:
        self.trivet.run("pool", "create", "--size", size, "--network", "none", "p", "busybox", "echo",
                        "hello")

    def row(self) -> dict:
        return self.trivet.run("pool", "inspect", "p").json()[0]

    def is_whole_again(self) -> None:
        """After one command that fills it: as many wait as should, and nothing else is there."""
        self.trivet.run("prune", "-f")
        self.trivet.run("pool", "resize", "p", SIZE)
        row = self.row()
        assert (row["Ready"], row["Error"]) == (SIZE, "")
        assert sorted(path.name for path in self.trivet.data.glob("containers/*")) == row["Members"]
        assert sorted(path.name for path in self.trivet.data.glob("pools/p/members/*")) == row["Members"]
        assert self.trivet.run("pool", "run", "--rm", "p").stdout == "hello\n"

    def is_gone(self) -> None:
        self.trivet.remove_pools()
        self.trivet.run("prune", "-f")
        harness.wait_for(lambda: not self.leftovers(), what=f"all gone: {self.leftovers()}")

    def leftovers(self) -> dict:
        found = self.before.leftovers(harness.HostState.take(self.trivet))
        if "PYTEST_XDIST_WORKER" in os.environ:
            found.pop("cgroups", None)
            found.pop("network_devices", None)
        return found


@pytest.fixture
def pool(trivet):
    pool = Pool(trivet)
    yield pool
    trivet.remove_pools(check=False)


def struck(directory: pathlib.Path, program: str, call: str, fault: str, when: int) -> pathlib.Path:
    return harness.struck_programs(directory, (CALLER, FILLER), program, call, fault, when)


def run(pool, programs: pathlib.Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([programs / "trivet", *words], env=pool.trivet.env, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)


# The filler's: entry, directories, name, files, the word to its monitor. The monitor's: socket, init,
# status.
STEPS = [(FILLER, "openat", range(30, 90, 15)), (FILLER, "mkdirat", range(1, 4)),
         (FILLER, "mkdir", range(1, 3)), (FILLER, "symlink", range(1, 3)),
         (FILLER, "renameat", range(1, 4)), (FILLER, "unlink", range(1, 2)),
         (FILLER, "sendto", range(1, 3)), (MONITOR, "renameat", range(1, 2)),
         (MONITOR, "bind", range(1, 2)), (MONITOR, "clone3", range(1, 2)),
         (MONITOR, "epoll_ctl", range(1, 3))]


# A monitor that goes on would leave strace with the pipe on which it has reported: it is only killed.
CASES = [(program, call, entries, fault) for program, call, entries in STEPS
         for fault in ("signal=KILL", "error=ENOSPC") if program == FILLER or "KILL" in fault]


@pytest.mark.parametrize("program, call, entries, fault", CASES,
                         ids=["-".join((p, c, f.split("=")[1])) for p, c, _, f in CASES])
def test_a_preparation_that_ends_at_each_step(pool, tmp_path, program, call, entries, fault):
    pool.create(0)
    for when in entries:
        programs = struck(tmp_path / f"bin{when}", program, call, fault, when)
        run(pool, programs, "pool", "resize", "p", "1")
        harness.wait_for(lambda: not [line for line in harness.processes_of(pool.trivet.base).values()
                                      if "strace" in line and FILLER in line], what="it has ended")
        pool.is_whole_again()
        pool.trivet.run("pool", "resize", "p", "0")
        wait_until_empty(pool)
    pool.is_gone()


def wait_until_empty(pool) -> None:
    """The filler of the last taker may be at it still."""
    def empty():
        pool.trivet.run("pool", "resize", "p", "0")
        return pool.row()["Ready"] == 0 and not list(pool.trivet.data.glob("containers/*"))
    harness.wait_for(empty, what="the pool is empty")


@pytest.mark.parametrize("when", range(1, 5))
def test_a_taker_that_is_killed(pool, tmp_path, when):
    """Before its request the container waits still, after it the container runs: never neither."""
    pool.create()
    programs = struck(tmp_path / "bin", CALLER, "sendto", "signal=KILL", when)
    run(pool, programs, "pool", "run", "--rm", "p")
    pool.is_whole_again()
    pool.is_gone()


def test_a_disk_that_is_full(pool):
    disk = pool.trivet.data / "containers"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=8", "tmpfs", disk], check=True)
    try:
        said = pool.trivet.fails("pool", "create", "--network", "none", "p", "busybox", "true").stderr
        assert "No space left on device" in said
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
    assert pool.trivet.out("pool", "ls", "-q") == ""
    pool.is_gone()


def test_a_removal_that_is_killed(pool, tmp_path):
    """The pool is gone at once; prune finishes with what waited in it."""
    pool.create()
    programs = struck(tmp_path / "bin", CALLER, "sendto", "signal=KILL", 1)
    run(pool, programs, "pool", "rm", "-f", "p")
    assert pool.trivet.out("pool", "ls", "-q") == ""
    pool.is_gone()
