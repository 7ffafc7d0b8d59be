"""Seeing and managing containers: ps, inspect, top, stop, kill, pause, restart, wait, rename, prune."""

import os
import re
import signal
import time

import pytest

from harness import SLOW, kill_hard, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def polite(trivet, exit_on="TERM", code=0, **options):
    """A container that ends itself on a signal, which a shell alone ignores as process 1."""
    name = trivet.spawn("sh", "-c", f"trap 'exit {code}' {exit_on}; echo ready; "
                        "while :; do sleep 0.05; done", **options)
    trivet.wait_for_log(name, "ready")
    return name


def init_pid(trivet, name):
    return trivet.inspect(name)["State"]["Pid"]


# ---------------------------------------------------------------- names

def test_a_container_answers_to_its_name_its_id_and_a_prefix(trivet):
    identity = trivet.spawn("sleep", "600", options=["--name", "some"])
    for name in ("some", identity, identity[:12], identity[:6]):
        assert trivet.inspect(name)["Id"] == identity


@pytest.mark.parametrize("name", ["-x", ".x", "a/b", "../x", "a b", "x" * 129, "ü"])
def test_bad_names_are_refused(trivet, name):
    result = trivet.fails("run", "-d", "--network", "none", f"--name={name}", "busybox", "true",
                          code=125)
    assert "name" in result.stderr
    assert trivet.containers() == []


def test_a_name_that_is_taken_is_refused(trivet):
    trivet.spawn("sleep", "600", options=["--name", "mine"])
    result = trivet.fails("run", "-d", "--network", "none", "--name", "mine", "busybox", "true",
                          code=125)
    assert "mine" in result.stderr
    assert len(trivet.containers()) == 1


def test_an_unknown_name_is_an_error_everywhere(trivet):
    for command in (["inspect"], ["stop"], ["kill"], ["rm"], ["pause"], ["unpause"], ["start"],
                    ["restart"], ["wait"], ["top"], ["port"], ["stats", "--no-stream"], ["attach"]):
        result = trivet.fails(*command, "absent")
        assert "absent" in result.stderr, command
    assert "absent" in trivet.fails("rename", "absent", "other").stderr


def test_rename(trivet):
    trivet.spawn("sleep", "600", options=["--name", "old"])
    trivet.spawn("sleep", "600", options=["--name", "taken"])
    trivet.run("rename", "old", "new")
    assert trivet.inspect("new")["Name"] == "new"
    assert trivet.status("old") == ""
    assert "taken" in trivet.fails("rename", "new", "taken").stderr
    trivet.spawn("sleep", "600", options=["--name", "old"])


# ---------------------------------------------------------------- listings

def test_ps_shows_what_runs_and_with_a_everything(trivet):
    running = trivet.spawn("sleep", "600", options=["--name", "up", "-l", "tier=web"])
    ended = trivet.spawn("sh", "-c", "exit 4", options=["--name", "down"])
    trivet.run("wait", ended)
    table = trivet.out("ps").splitlines()
    assert table[0].split()[:2] == ["CONTAINER", "ID"]
    assert len(table) == 2 and running[:12] in table[1] and "up" in table[1] and "busybox" in table[1]
    rows = {row["Names"]: row for row in trivet.containers()}
    assert set(rows) == {"up", "down"}
    assert rows["up"]["State"] == "running" and rows["up"]["Pid"] == init_pid(trivet, "up")
    assert rows["up"]["Labels"] == {"tier": "web", "org.example.kind": "test"}
    assert rows["up"]["Command"] == ["sleep", "600"]
    assert rows["down"]["ExitCode"] == 4 and rows["down"]["Pid"] == 0
    assert trivet.out("ps", "-q") == running[:12]
    assert trivet.out("ps", "-aq", "--no-trunc", "-f", "name=down") == ended
    assert trivet.out("ps", "-aq", "-f", "label=tier") == running[:12]


def test_inspect_says_what_it_is(trivet):
    trivet.spawn("sleep", "600", options=["--name", "seen", "--memory", "64m", "-e", "A=b"])
    document = trivet.inspect("seen")
    assert document["Path"] == "sleep" and document["Args"] == ["600"]
    assert document["State"]["Running"] is True and document["State"]["Status"] == "running"
    assert "A=b" in document["Config"]["Env"]
    assert document["HostConfig"]["Memory"] == 64 << 20
    assert document["ImageName"].endswith("busybox:latest") or document["ImageName"] == "busybox"


def test_top_lists_the_processes_of_the_container_alone(trivet):
    trivet.spawn("sh", "-c", "sleep 601 & sleep 602; true", options=["--name", "two"])
    wait_for(lambda: trivet.out("top", "two").count("sleep 60") >= 2)
    rows = trivet.out("top", "two").splitlines()
    assert len(rows) == 4  # a header, the shell, two sleeps
    assert str(init_pid(trivet, "two")) in rows[1] + rows[2] + rows[3]
    assert "602" in trivet.out("top", "two", "-eo", "pid,args")


# ---------------------------------------------------------------- the end

def test_stop_asks_first(trivet):
    name = polite(trivet)
    begin = time.monotonic()
    trivet.run("stop", "-t", "20", name)
    assert time.monotonic() - begin < 10 * SLOW
    state = trivet.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_stop_insists(trivet):
    name = trivet.spawn("sleep", "600")  # process 1 without a handler: deaf to SIGTERM
    begin = time.monotonic()
    trivet.run("stop", "-t", "1", name)
    assert 0.9 < time.monotonic() - begin < 10 * SLOW
    assert trivet.inspect(name)["State"]["ExitCode"] == 137


def test_stopping_twice_is_fine(trivet):
    name = polite(trivet)
    trivet.run("stop", name)
    trivet.run("stop", name)


def test_a_stop_signal_of_ones_own(trivet):
    name = polite(trivet, "USR1", 11, options=["--stop-signal", "USR1"])
    trivet.run("stop", "-t", "20", name)
    assert trivet.inspect(name)["State"]["ExitCode"] == 11


def test_kill_sends_any_signal(trivet):
    name = trivet.spawn("sh", "-c", "trap 'echo again' HUP; echo up; while :; do sleep 0.05; done")
    trivet.wait_for_log(name, "up")
    trivet.run("kill", "-s", "HUP", name)
    trivet.wait_for_log(name, "again")
    trivet.run("kill", name)
    trivet.wait_for_state(name, "exited")
    assert trivet.inspect(name)["State"]["ExitCode"] == 128 + signal.SIGKILL
    assert "not running" in trivet.fails("kill", name).stderr
    assert "NOSUCH" in trivet.fails("kill", "-s", "NOSUCH", name).stderr


def test_wait_gives_the_exit_code_of_several(trivet):
    first = trivet.spawn("sh", "-c", "sleep 0.3; exit 3")
    second = trivet.spawn("sh", "-c", "exit 4")
    assert trivet.out("wait", first, second).split() == ["3", "4"]
    forever = trivet.spawn("sleep", "600")
    assert trivet.fails("wait", "-t", "500ms", forever, code=1).stderr


def test_pause_and_unpause(trivet):
    name = trivet.spawn("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    trivet.wait_for_log(name, "3\n")
    trivet.run("pause", name)
    assert trivet.status(name) == "paused"
    time.sleep(0.2)
    count = len(trivet.logs(name))
    time.sleep(0.5)
    assert len(trivet.logs(name)) == count
    assert "paused" in trivet.fails("pause", name).stderr
    trivet.run("unpause", name)
    wait_for(lambda: len(trivet.logs(name)) > count)
    assert trivet.status(name) == "running"


def test_a_paused_container_can_be_stopped_and_removed(trivet):
    name = polite(trivet)
    trivet.run("pause", name)
    trivet.run("stop", "-t", "5", name)
    name = trivet.spawn("sleep", "600")
    trivet.run("pause", name)
    trivet.run("rm", "-f", name)
    assert trivet.status(name) == ""


def test_rm_wants_force_for_what_runs(trivet):
    name = trivet.spawn("sleep", "600", options=["--name", "busy"])
    result = trivet.fails("rm", "busy")
    assert "running" in result.stderr
    assert trivet.status(name) == "running"
    begin = time.monotonic()
    trivet.run("rm", "-f", "busy")
    assert time.monotonic() - begin < 5 * SLOW  # SIGKILL, at once
    assert trivet.containers() == []
    trivet.run("rm", "-f", "busy")  # already gone


# ---------------------------------------------------------------- create, start, restart

def test_create_then_start(trivet):
    name = trivet.out("create", "--network", "none", "--name", "later", "busybox", "echo", "now")
    assert trivet.status(name) == "created"
    assert trivet.inspect(name)["State"]["Pid"] == 0
    assert trivet.out("start", "-a", "later") == "now"
    assert trivet.status(name) == "exited"
    trivet.run("start", name)
    trivet.run("wait", name)


def test_starting_what_runs_is_fine_or_told(trivet):
    name = trivet.spawn("sleep", "600")
    pid = init_pid(trivet, name)
    trivet.run("start", name, check=False)
    assert init_pid(trivet, name) == pid


def test_restart(trivet):
    name = polite(trivet)
    pid = init_pid(trivet, name)
    trivet.run("restart", "-t", "5", name)
    assert trivet.status(name) == "running"
    assert init_pid(trivet, name) != pid
    trivet.run("stop", name)
    trivet.run("restart", name)
    assert trivet.status(name) == "running"


def test_attach_sees_the_output_and_the_exit_code(trivet):
    name = trivet.spawn("sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; echo last; exit 8")
    process = trivet.start("attach", "--no-stdin", name)
    time.sleep(0.5)
    trivet.run("exec", name, "touch", "/go")
    assert process.communicate(timeout=20 * SLOW)[0] == b"last\n"
    assert process.returncode == 8


# ---------------------------------------------------------------- restart policies

def test_on_failure_tries_so_many_times(trivet):
    name = trivet.spawn("sh", "-c", "echo run; exit 5", options=["--restart", "on-failure:2"])
    trivet.wait_for_state(name, "exited", timeout=30)
    wait_for(lambda: trivet.inspect(name)["RestartCount"] == 2)
    assert trivet.logs(name) == "run\n" * 3
    assert trivet.out("wait", name) == "5"


def test_on_failure_leaves_a_success_alone(trivet):
    name = trivet.spawn("sh", "-c", "echo run", options=["--restart", "on-failure"])
    trivet.wait_for_state(name, "exited")
    assert trivet.inspect(name)["RestartCount"] == 0


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_starts_again_until_it_is_stopped(trivet, policy):
    name = trivet.spawn("sh", "-c", "echo run; sleep 0.2", options=["--restart", policy])
    wait_for(lambda: trivet.inspect(name)["RestartCount"] >= 2, timeout=30)
    trivet.run("stop", "-t", "0", name)
    trivet.wait_for_state(name, "exited")
    count = trivet.inspect(name)["RestartCount"]
    time.sleep(1)
    assert trivet.status(name) == "exited"
    assert trivet.inspect(name)["RestartCount"] == count


def test_a_restart_policy_survives_the_callers_end(trivet):
    name = trivet.spawn("sleep", "600", options=["--restart", "always"])
    pid = init_pid(trivet, name)
    trivet.run("exec", name, "kill", "-9", "1", check=False)
    kill_hard(pid)
    wait_for(lambda: init_pid(trivet, name) not in (0, pid), timeout=20)


@pytest.mark.parametrize("policy", ["sometimes", "on-failure:x", "on-failure:-1", "always:3"])
def test_unknown_policies_are_errors(trivet, policy):
    result = trivet.box("true", options=["--restart", policy], check=False)
    assert result.returncode == 125
    assert "restart" in result.stderr


# ---------------------------------------------------------------- prune

def test_prune_removes_what_has_ended_and_nothing_else(trivet):
    running = trivet.spawn("sleep", "600")
    created = trivet.out("create", "--network", "none", "busybox", "true")
    ended = [trivet.spawn("true") for _ in range(3)]
    for name in ended:
        trivet.run("wait", name)
    result = trivet.run("prune", "-f", "--format", "json").json()
    assert running not in str(result)
    left = {row["ID"] for row in trivet.containers()}
    assert running in left and not left & set(ended)
    assert left <= {running, created}


def test_the_monitor_is_small(trivet):
    if "ASAN_OPTIONS" in os.environ:
        pytest.skip("a sanitized program is not small")
    name = trivet.spawn("sleep", "600")
    pid = trivet.inspect(name)["Trivet"]["MonitorPid"]

    def resident() -> int:
        text = open(f"/proc/{pid}/status", encoding="utf-8").read()
        return int(re.search(r"VmRSS:\s*(\d+) kB", text)[1])
    # It gives back what it needed for the start once the container has run for a moment. How much of
    # the program's file a page fault maps depends on how that file came into the page cache.
    wait_for(lambda: resident() <= 1280, what="about 1 MiB is resident")
