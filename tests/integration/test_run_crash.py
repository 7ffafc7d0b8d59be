"""kill -9 at any moment: what ps, rm -f and prune then do."""

import os
import time

import pytest

from harness import SLOW, HostState, kill_hard, processes_of, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def facts(trivet, name):
    document = trivet.inspect(name)
    return document["State"]["Pid"], document["Trivet"]["MonitorPid"]


def gone(pid):
    try:
        return "Z" in open(f"/proc/{pid}/stat").read().split(")")[1][:3]
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_container_survives_its_caller(trivet):
    name = trivet.spawn("sh", "-c", "sleep 1; echo still here; exit 6")
    assert trivet.out("wait", name) == "6"
    assert trivet.logs(name) == "still here\n"


def test_a_killed_foreground_caller_leaves_something_that_rm_handles(trivet):
    process = trivet.start("run", "--network", "none", "--name", "orphan", "busybox", "sleep", "600")
    trivet.wait_for_state("orphan", "running")
    process.kill()
    process.wait()
    trivet.run("ps", "-a")
    trivet.run("rm", "-f", "orphan")
    assert trivet.containers() == []
    wait_for(lambda: not processes_of(trivet.base), what="no process is left")


@pytest.mark.parametrize("network", ["none", pytest.param("pasta", marks=pytest.mark.network)])
def test_a_killed_monitor_whose_container_runs_on(trivet, network):
    name = trivet.spawn("sleep", "600", options=["--name", "lonely"], network=network)
    pid, monitor = facts(trivet, name)
    kill_hard(monitor)
    wait_for(lambda: gone(monitor))
    row, = trivet.containers()
    assert row["Names"] == "lonely"
    assert row["State"] in ("running", "broken")
    trivet.run("rm", "-f", "lonely")
    wait_for(lambda: gone(pid), what="the program was killed")
    assert trivet.containers() == []


def test_a_killed_monitor_whose_container_ends_as_well(trivet):
    name = trivet.spawn("sleep", "600", options=["--name", "dead"])
    pid, monitor = facts(trivet, name)
    kill_hard(monitor)
    kill_hard(pid)
    wait_for(lambda: gone(monitor) and gone(pid))
    row, = trivet.containers()
    assert row["State"] not in ("running", "paused")
    trivet.run("prune", "-f")
    assert trivet.containers() == []


def test_prune_cleans_up_after_a_killed_monitor(trivet):
    name = trivet.spawn("sleep", "600", options=["--rm"])
    pid, monitor = facts(trivet, name)
    kill_hard(monitor)
    kill_hard(pid)
    wait_for(lambda: gone(monitor) and gone(pid))
    trivet.run("prune", "-f")
    assert trivet.containers() == []


def test_a_container_whose_monitor_died_can_be_stopped_and_started_again(trivet):
    name = trivet.spawn("sleep", "600")
    pid, monitor = facts(trivet, name)
    kill_hard(monitor)
    wait_for(lambda: gone(monitor))
    trivet.run("stop", "-t", "0", name)
    wait_for(lambda: gone(pid))
    trivet.run("start", name)
    assert trivet.status(name) == "running"


def test_the_name_is_free_again_after_a_crash(trivet):
    name = trivet.spawn("sleep", "600", options=["--name", "reused"])
    pid, monitor = facts(trivet, name)
    kill_hard(monitor)
    kill_hard(pid)
    wait_for(lambda: gone(monitor) and gone(pid))
    trivet.run("rm", "-f", "reused")
    trivet.spawn("true", options=["--name", "reused"])


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 10, 15, 20, 30, 45, 60, 90])
def test_a_caller_killed_at_any_moment_leaves_nothing_that_can_not_be_removed(trivet, delay_ms):
    before = HostState.take(trivet)
    process = trivet.start("run", "-d", "--name", "caught", "--network", "none", "busybox", "sleep", "600")
    time.sleep(delay_ms / 1000)
    process.kill()
    process.wait()
    trivet.run("ps", "-a")
    trivet.run("rm", "-f", "caught", check=False)
    time.sleep(0.3 * SLOW)  # a monitor on its way to the end
    trivet.run("rm", "-f", "-a")
    trivet.run("prune", "-f")

    def left():
        found = before.leftovers(HostState.take(trivet))
        if "PYTEST_XDIST_WORKER" in os.environ:
            found.pop("cgroups", None)
        return found

    try:
        wait_for(lambda: not left(), timeout=5)
    except AssertionError:
        pytest.fail(f"left behind: {left()}", pytrace=False)
    trivet.spawn("true", options=["--name", "caught"])


def test_garbage_in_the_state_does_not_stop_anything(trivet):
    trivet.spawn("sleep", "600", options=["--name", "good"])
    broken = trivet.data / "containers" / ("0" * 64)
    broken.mkdir()
    (broken / "record.json").write_text('{"id": "half a rec')
    half_made = trivet.data / "containers" / ("1" * 64)
    half_made.mkdir()
    (trivet.data / "names" / "dangling").symlink_to("2" * 64)
    half_removed = trivet.data / "removed" / ("3" * 64)
    half_removed.mkdir(parents=True)
    (half_removed / "config.json").write_text("{}")
    assert "good" in [row["Names"] for row in trivet.containers()]
    trivet.run("rm", "-f", "good")
    trivet.run("prune", "-f")
    assert not broken.exists() and not half_made.exists() and not half_removed.exists()
    trivet.spawn("true", options=["--name", "dangling"])
