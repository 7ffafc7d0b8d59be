"""podman: what happens to a container between its creation and its removal."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time

import pytest

import engines
import harness

pytestmark = pytest.mark.podman


def test_create_init_start_wait_remove(podman):
    name = podman.out("create", "--network", "none", "box", "sh", "-c", "sleep 0.2; exit 3")
    assert podman.status(name) == "created"
    podman.run("init", name)
    assert podman.status(name) == "initialized"
    podman.run("start", name)
    assert podman.out("wait", name) == "3"
    state = podman.inspect(name)["State"]
    assert state["Status"] == "exited" and state["ExitCode"] == 3
    podman.run("rm", name)
    podman.run("container", "exists", name, code=1)


def test_start_attached_gives_output_and_exit_code(podman):
    name = podman.out("create", "--network", "none", "box", "sh", "-c", "echo attached; exit 4")
    assert podman.run("start", "--attach", name, code=4).stdout == "attached\n"


def test_stop_asks_then_kills(podman):
    polite = podman.spawn("sh", "-c", "trap 'echo bye; exit 9' TERM; while :; do sleep 0.1; done")
    deaf = podman.spawn("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    harness.wait_for(lambda: "trap" in podman.out("top", polite, "args"), what="the shell")
    time.sleep(0.2)
    podman.run("stop", "--time", "10", polite)
    assert podman.inspect(polite)["State"]["ExitCode"] == 9
    assert podman.out("logs", polite) == "bye"
    podman.run("stop", "--time", "1", deaf)
    assert podman.inspect(deaf)["State"]["ExitCode"] == 137


def test_kill_with_a_signal(podman):
    name = podman.spawn("sh", "-c", "trap 'echo usr1' USR1; trap 'exit 5' HUP; echo up;"
                        "while :; do sleep 0.05; done")
    harness.wait_for(lambda: "up" in podman.out("logs", name), what="the shell")
    podman.run("kill", "--signal", "USR1", name)
    harness.wait_for(lambda: "usr1" in podman.out("logs", name), what="the handler")
    podman.run("kill", "--signal", "HUP", name)
    assert podman.out("wait", name) == "5"
    assert podman.run("kill", name, check=False).returncode != 0


def test_pause_and_unpause(podman):
    name = podman.spawn("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    podman.run("pause", name)
    assert podman.status(name) == "paused"
    before = podman.out("logs", name)
    time.sleep(0.4)
    assert podman.out("logs", name) == before
    podman.run("unpause", name)
    harness.wait_for(lambda: podman.out("logs", name) != before, what="it goes on")


def test_a_paused_container_can_be_removed(podman):
    name = podman.spawn("sleep", "100")
    podman.run("pause", name)
    podman.run("rm", "--force", "--time", "0", name)


def test_restart(podman):
    name = podman.spawn("sh", "-c", "echo started; sleep 100")
    podman.run("restart", "--time", "0", name)
    harness.wait_for(lambda: podman.out("logs", name).split() == ["started", "started"], what="twice")


def test_a_restart_policy(podman):
    name = podman.spawn("sh", "-c", "echo run; exit 1", options=["--restart", "on-failure:2"])
    harness.wait_for(lambda: podman.out("logs", name).count("run") == 3, what="three runs")
    podman.wait_for_status(name, "exited")


def test_logs_of_both_streams(podman):
    name = podman.spawn("sh", "-c", "echo one; echo two >&2; echo three")
    podman.run("wait", name)
    logs = podman.run("logs", name)
    assert (logs.stdout, logs.stderr) == ("one\nthree\n", "two\n")


def test_exec(podman):
    name = podman.spawn("sleep", "100", options=["--env", "A=1"])
    assert podman.out("exec", name, "cat", "/proc/1/cmdline").replace("\0", " ").strip() == "sleep 100"
    assert podman.out("exec", "--env", "B=2", name, "sh", "-c", "echo $A$B") == "12"
    assert podman.out("exec", "--workdir", "/www", name, "pwd") == "/www"
    assert podman.out("exec", "--user", "app", name, "id", "-u") == "1000"
    assert podman.run("exec", "-i", name, "cat", stdin="through\n").stdout == "through\n"
    both = podman.run("exec", name, "sh", "-c", "echo out; echo err >&2; exit 6", code=6)
    assert (both.stdout, both.stderr.splitlines()[0]) == ("out\n", "err")


@pytest.mark.parametrize("words,code", [
    (["sh", "-c", "exit 125"], 125), (["sh", "-c", "kill -9 $$"], 137),
    (["no-such-program"], 127), (["/no/such"], 127), (["/bin/not-executable"], 126), (["/etc"], 126),
])
def test_the_exit_code_of_exec(podman, words, code):
    name = podman.spawn("sleep", "100")
    podman.run("exec", name, *words, code=code)


def test_exec_on_a_terminal(podman):
    name = podman.spawn("sleep", "100")
    terminal = podman.terminal("exec", "-it", name, "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/")
    terminal.expect("42")
    engines.resize(terminal, 33, 77)
    terminal.send("exit 8\n")
    assert terminal.wait() == 8
    terminal.close()


def test_exec_detached(podman):
    name = podman.spawn("sleep", "100")
    podman.run("exec", "--detach", name, "sh", "-c", "echo there > /tmp/mark; sleep 50")
    harness.wait_for(lambda: podman.run("exec", name, "cat", "/tmp/mark", check=False).stdout == "there\n",
                     what="the mark")
    assert "sleep 50" in podman.out("top", name, "args")


def test_exec_of_a_privileged_process_and_its_capabilities(podman):
    name = podman.spawn("sleep", "100", options=["--cap-drop", "all"])
    status = podman.out("exec", name, "grep", "CapEff", "/proc/self/status")
    assert int(status.split()[1], 16) == 0
    status = podman.out("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status")
    assert int(status.split()[1], 16) != 0


def test_exec_in_a_container_that_has_ended(podman):
    name = podman.spawn("true")
    podman.run("wait", name)
    assert podman.run("exec", name, "true", check=False).returncode != 0


def test_top_and_stats(podman):
    name = podman.spawn("sh", "-c", "sleep 100 & wait", options=["--memory", "50m"])
    listing = podman.out("top", name, "pid", "args")
    assert "sh -c" in listing and "sleep 100" in listing
    row = podman.run("stats", "--no-stream", "--format", "json", name).json()[0]
    assert row["pids"] == "2" and "52.43MB" in row["mem_usage"]


def test_copy_in_and_out(podman):
    name = podman.spawn("sleep", "100")
    source = podman.base / "copied"
    source.write_text("to and fro\n")
    podman.run("cp", source, f"{name}:/tmp/x")
    podman.run("cp", f"{name}:/tmp/x", f"{source}.back")
    assert pathlib.Path(f"{source}.back").read_text() == "to and fro\n"


def test_update(podman):
    name = podman.spawn("sleep", "100", options=["--cpus", "0.5"])
    podman.run("update", "--cpus", "0.25", "--memory", "96m", name)
    pid = podman.inspect(name)["State"]["Pid"]
    folder = harness.cgroup_directory(pid, "memory")
    limit = next(folder / file for file in ("memory.limit_in_bytes", "memory.max")
                 if (folder / file).exists())
    assert limit.read_text().strip() == str(96 << 20)


def test_a_health_check(podman):
    name = podman.spawn("sleep", "100", options=["--health-cmd", "test -e /tmp/well", "--health-interval",
                                                 "disable", "--health-retries", "1"])
    podman.run("healthcheck", "run", name, code=1)
    podman.run("exec", name, "touch", "/tmp/well")
    podman.run("healthcheck", "run", name)


def test_attach(podman):
    name = podman.spawn("sh", "-c", "read x; echo got $x; exit 3", options=["-i"])
    assert "got word" in podman.run("attach", name, stdin="word\n").stdout
    assert podman.out("wait", name) == "3"


def test_commit(podman):
    name = podman.spawn("sh", "-c", "echo made > /made; sleep 100")
    harness.wait_for(lambda: podman.run("exec", name, "test", "-e", "/made", check=False).returncode == 0,
                     what="the file")
    podman.run("commit", "--quiet", name, "made-image")
    assert podman.out("run", "--rm", "--network", "none", "made-image", "cat", "/made") == "made"
    podman.run("rmi", "--force", "made-image")


def test_build(podman):
    folder = podman.base / "build"
    folder.mkdir()
    (folder / "Containerfile").write_text(
        "FROM box\nRUN echo built > /built && test $(id -u) = 0\nUSER app\nWORKDIR /www\n"
        "RUN id -un > /tmp/who\nCMD [\"sh\", \"-c\", \"cat /built /tmp/who; pwd\"]\n")
    podman.run("build", "--network", "none", "--pull=never", "-t", "built", folder)
    assert podman.out("run", "--rm", "--network", "none", "built").split() == ["built", "app", "/www"]
    podman.run("rmi", "--force", "built")


def test_the_death_of_the_monitor_s_child_is_noticed(podman):
    name = podman.spawn("sleep", "100")
    os.kill(podman.inspect(name)["State"]["Pid"], signal.SIGKILL)
    assert podman.out("wait", name) == "137"
    podman.run("rm", name)


def test_what_the_engine_shows_of_the_runtime(podman):
    runtime = podman.run("info", "--format", "json").json()["host"]["ociRuntime"]
    assert runtime["name"] == "trivet-oci" and "trivet-oci version" in runtime["version"]


def test_nothing_is_left_of_containers(podman):
    def processes() -> list[str]:
        return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout \
            .count("conmon")

    before = harness.mounts_of(podman.base)
    podman.spawn("sleep", "100")
    podman.box("true")
    podman.box("no-such-program", code=127)
    podman.remove_all()
    harness.wait_for(lambda: harness.mounts_of(podman.base) == before and not processes(),
                     what="mounts and monitors gone")
    left = [str(folder) for folder in pathlib.Path("/sys/fs/cgroup").glob("*/libpod_parent/libpod-*")]
    assert left == []


def test_checkpoint_and_restore(podman):
    if harness.criu_directory() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs criu: scripts/setup-newer fetches one")
    path = f"{harness.criu_directory()}:{podman.env['PATH']}"
    with_criu = engines.Client(podman.words, {**podman.env, "PATH": path})
    count = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done"
    name = podman.spawn("sh", "-c", count, options=["--name", "moving"])
    harness.wait_for(lambda: "tick 3" in podman.out("logs", name), what="it counts")
    with_criu.run("container", "checkpoint", name)
    assert podman.status(name) == "exited"
    before = len(podman.run("logs", name).lines)
    with_criu.run("container", "restore", name)
    assert podman.status(name) == "running"
    harness.wait_for(lambda: len(podman.run("logs", name).lines) > before + 3, what="it counts on")
    ticks = [int(line.split()[1]) for line in podman.run("logs", name).lines]
    assert ticks == list(range(1, len(ticks) + 1))
    assert "sleep" in podman.out("exec", name, "ps")
    archive = podman.base / "moving.tar.gz"
    with_criu.run("container", "checkpoint", "--export", archive, name)
    podman.run("rm", name)
    with_criu.run("container", "restore", "--import", archive, "--name", "moved")
    assert podman.status("moved") == "running"
    podman.run("rm", "--force", "--time", "0", "moved")
