"""Limits that really limit."""

import time

import pytest

from harness import SLOW, cgroup_directory, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

BUSY = ("sh", "-c", "while :; do :; done")


def init_pid(trivet, name):
    return trivet.inspect(name)["State"]["Pid"]


def limit_of(trivet, name, controller, v1_file, v2_file):
    folder = cgroup_directory(init_pid(trivet, name), controller)
    path = folder / v1_file if (folder / v1_file).exists() else folder / v2_file
    return path.read_text().split()


def test_too_much_memory_is_killed_and_inspect_says_so(trivet):
    result = trivet.run("run", "--network", "none", "--name", "hog", "--memory", "32m", "busybox",
                        "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1", check=False)
    assert result.returncode == 137
    state = trivet.inspect("hog")["State"]
    assert state["OOMKilled"] is True
    assert state["ExitCode"] == 137


def test_the_same_program_runs_with_enough_memory(trivet):
    trivet.run("run", "--network", "none", "--name", "fits", "--memory", "256m", "busybox", "dd",
               "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1")
    assert trivet.inspect("fits")["State"]["OOMKilled"] is False


@pytest.mark.parametrize("text,size", [("64m", 64 << 20), ("67108864", 64 << 20), ("0.5g", 512 << 20)])
def test_memory_sizes(trivet, text, size):
    name = trivet.spawn("sleep", "60", options=["--memory", text])
    assert limit_of(trivet, name, "memory", "memory.limit_in_bytes", "memory.max") == [str(size)]
    assert trivet.inspect(name)["HostConfig"]["Memory"] == size


def test_very_little_memory_is_an_end_and_not_a_hang(trivet):
    result = trivet.run("run", "--rm", "--network", "none", "--memory", "1m", "busybox", "true",
                        check=False, timeout=30)
    assert result.returncode in (0, 125, 137)


def test_too_many_processes_fail_to_fork(trivet):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 & done; wait"
    result = trivet.box("sh", "-c", script, options=["--pids", "10"], check=False)
    assert "fork" in result.stderr.lower()
    result = trivet.box("sh", "-c", "sleep 0.1 & sleep 0.1 & wait", options=["--pids", "10"])
    assert result.stderr == ""


def cpu_seconds(pid):
    folder = cgroup_directory(pid, "cpuacct")
    if (folder / "cpuacct.usage").exists():
        return int((folder / "cpuacct.usage").read_text()) / 1e9
    usage = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    return int(usage["usage_usec"]) / 1e6


def measured_share(trivet, names, seconds=3.0):
    """The share of one CPU that each of these containers had, over the same time."""
    pids = [init_pid(trivet, name) for name in names]
    time.sleep(0.5)  # past the first period
    start = time.monotonic()
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    return [(cpu_seconds(pid) - old) / elapsed for pid, old in zip(pids, before)]


def test_cpu_time_is_the_share_that_was_given(trivet):
    limited = trivet.spawn(*BUSY, options=["--cpus", "0.2"])
    free = trivet.spawn(*BUSY)
    limited_share, free_share = measured_share(trivet, [limited, free])
    # However busy the host is, a quota is never exceeded; and the other one is not held back by it.
    assert 0.02 < limited_share < 0.2 * 1.25
    assert free_share > limited_share


def test_cpu_quota_and_period(trivet):
    name = trivet.spawn("sleep", "60", options=["--cpu", "50000 200000"])
    folder = cgroup_directory(init_pid(trivet, name), "cpu")
    if (folder / "cpu.max").exists():
        assert (folder / "cpu.max").read_text().split() == ["50000", "200000"]
    else:
        assert (folder / "cpu.cfs_quota_us").read_text().strip() == "50000"
        assert (folder / "cpu.cfs_period_us").read_text().strip() == "200000"


def test_cpuset(trivet):
    assert trivet.box("nproc", options=["--cpuset-cpus", "0"]).stdout == "1\n"


def test_ulimits(trivet):
    result = trivet.box("sh", "-c", "ulimit -Sn; ulimit -Hn", options=["--ulimit", "nofile=100:200"])
    assert result.stdout.split() == ["100", "200"]


def test_shared_memory_has_its_size(trivet):
    write = "dd if=/dev/zero of=/dev/shm/x bs=1M count=3 2>/dev/null; wc -c < /dev/shm/x"
    assert trivet.box("sh", "-c", write, options=["--shm-size", "1m"]).stdout.strip() == str(1 << 20)
    assert trivet.box("sh", "-c", write).stdout.strip() == str(3 << 20)


def test_limits_hold_for_exec_too(trivet):
    name = trivet.spawn("sleep", "600", options=["--memory", "32m"])
    result = trivet.run("exec", name, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1",
                        check=False)
    assert result.returncode == 137
    assert trivet.status(name) == "running"


def test_stats_measure_against_the_limits(trivet):
    name = trivet.spawn(*BUSY, options=["--name", "busy", "--memory", "64m", "--pids", "50", "--cpus",
                                        "0.5"])
    wait_for(lambda: cpu_seconds(init_pid(trivet, name)) > 0.1)
    row, = trivet.run("stats", "--no-stream", "--format", "json", "busy").json()
    assert row["Name"] == "busy"
    assert row["MemoryLimit"] == 64 << 20 and 0 < row["MemoryBytes"] < 64 << 20
    assert row["PIDsLimit"] == 50 and row["PIDs"] == 1
    # A guest's clock goes on while its processor is throttled: all of it may count as used.
    assert row["CPUNanoseconds"] > 0 and 0 < row["CPUPercent"] <= 100
    table = trivet.out("stats", "--no-stream")
    assert "busy" in table and "64" in table


@pytest.mark.parametrize("options", [
    ["--memory", "banana"], ["--memory", "-5"], ["--cpus", "-1"], ["--cpus", "many"],
    ["--cpu", "1"], ["--pids", "none"], ["--ulimit", "nofile"], ["--ulimit", "nosuch=1"],
    ["--cpuset-cpus", "4000"], ["--shm-size", "x"],
])
def test_bad_limits_are_errors_that_name_the_value(trivet, options):
    result = trivet.box("true", options=options, check=False)
    assert result.returncode == 125
    assert options[0] in result.stderr or options[1] in result.stderr
    assert trivet.containers() == []


def test_a_limit_does_not_slow_the_start_down(trivet):
    begin = time.monotonic()
    trivet.box("true", options=["--memory", "64m", "--pids", "50", "--cpus", "0.5"])
    assert time.monotonic() - begin < 5 * SLOW
