"""containerd's runc shim with trivet-oci as its binary, through ctr."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import pytest

import engines
import harness

pytestmark = pytest.mark.containerd


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_exit_code_is_the_program_s(containerd, code):
    done = containerd.box("one", "sh", "-c", f"echo out; echo err >&2; exit {code}", code=code)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("program,words", [("no-such-program", "executable file not found in $PATH"),
                                           ("/no/such", "no such file or directory"),
                                           ("/bin/not-executable", "permission denied")])
def test_a_program_that_cannot_run(containerd, program, words):
    failed = containerd.box("one", program, check=False)
    assert failed.returncode != 0 and "OCI runtime create failed" in failed.stderr
    assert words in failed.stderr


def test_a_terminal(containerd):
    terminal = containerd.terminal("run", "--rm", "--tty", *containerd.runtime, containerd.image, "one", "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("42")
    engines.resize(terminal, 33, 77)
    terminal.send("exit 5\n")
    assert terminal.wait() == 5
    terminal.close()


def test_environment_directory_and_mounts(containerd):
    folder = containerd.base / "shared"
    folder.mkdir()
    (folder / "x").write_text("bound\n")
    done = containerd.box("one", "sh", "-c", "echo $A; pwd; cat /v/x; ! touch /v/y",
                          options=["--env", "A=b c", "--cwd", "/www", "--mount",
                                   f"type=bind,src={folder},dst=/v,options=rbind:ro"])
    assert done.lines == ["b c", "/www", "bound"]


def test_limits_and_metrics(containerd):
    containerd.spawn("one", "sleep", "100", options=["--memory-limit", str(64 << 20), "--cpus", "0.5"])
    pid = int(containerd.out("task", "ls").splitlines()[1].split()[1])
    folder = harness.cgroup_directory(pid, "memory")
    limit = next(folder / file for file in ("memory.limit_in_bytes", "memory.max") if (folder / file).exists())
    assert limit.read_text().strip() == str(64 << 20)
    metrics = containerd.out("task", "metrics", "one")
    assert "pids.current" in metrics or "memory" in metrics


def test_exec(containerd):
    containerd.spawn("one", "sleep", "100")
    both = containerd.run("task", "exec", "--exec-id", "e1", "one", "sh", "-c",
                          "echo out; echo err >&2; exit 6", code=6)
    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    assert containerd.out("task", "exec", "--exec-id", "e2", "--cwd", "/www", "--user", "1000", "one",
                          "sh", "-c", "pwd; id -u").split() == ["/www", "1000"]
    failed = containerd.run("task", "exec", "--exec-id", "e3", "one", "no-such-program", check=False)
    assert failed.returncode != 0 and "executable file not found in $PATH" in failed.stderr
    assert "sleep" in containerd.out("task", "exec", "--exec-id", "e4", "one", "ps")


def test_exec_on_a_terminal(containerd):
    containerd.spawn("one", "sleep", "100")
    terminal = containerd.terminal("task", "exec", "--tty", "--exec-id", "t", "one", "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/")
    terminal.expect("42")
    terminal.send("exit 8\n")
    assert terminal.wait() == 8
    terminal.close()


def test_pause_resume_kill_and_delete(containerd):
    containerd.spawn("one", "sleep", "100")
    assert containerd.status("one") == "RUNNING"
    containerd.run("task", "pause", "one")
    assert containerd.status("one") == "PAUSED"
    containerd.run("task", "resume", "one")
    assert containerd.status("one") == "RUNNING"
    assert str(os.getpid()) not in containerd.out("task", "ps", "one").split()
    containerd.run("task", "kill", "--signal", "KILL", "one")
    harness.wait_for(lambda: containerd.status("one") == "STOPPED", what="the end")
    assert "exit code 137" in containerd.run("task", "delete", "one").stderr
    containerd.run("container", "delete", "one")


def test_kill_all_and_exec_id(containerd):
    containerd.spawn("one", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done")
    containerd.run("task", "exec", "--detach", "--exec-id", "side", "one", "sleep", "77")
    containerd.run("task", "kill", "--exec-id", "side", "--signal", "KILL", "one")
    harness.wait_for(lambda: processes("sleep 77") == 0, what="the exec is gone")
    assert containerd.status("one") == "RUNNING"
    containerd.run("task", "exec", "--detach", "--exec-id", "other", "one", "sleep", "78")
    containerd.run("task", "kill", "--all", "--signal", "KILL", "one")
    harness.wait_for(lambda: containerd.status("one") == "STOPPED", what="the end")
    assert processes("sleep 78") == 0


def processes(line: str) -> int:
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return listing.splitlines().count(line)


def test_events(containerd):
    log = containerd.base / "events"
    daemon = engines.Daemon([*containerd.words, "events"], log, containerd.env)
    time.sleep(0.3)
    try:
        containerd.box("one", "true")
        topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
        harness.wait_for(lambda: all(topic in log.read_text() for topic in topics), what="the events")
    finally:
        daemon.close()
    assert '"exit_status"' not in [line for line in log.read_text().splitlines() if "/tasks/exit" in line][0]


def test_out_of_memory_is_an_event(containerd):
    log = containerd.base / "oom"
    daemon = engines.Daemon([*containerd.words, "events"], log, containerd.env)
    time.sleep(0.3)
    try:
        containerd.box("one", "sh", "-c", "sh -c 'x=a; while :; do x=$x$x; done'; sleep 0.5; exit 4",
                       options=["--memory-limit", str(16 << 20)], code=4)
        harness.wait_for(lambda: "/tasks/oom" in log.read_text(), what="the event")
    finally:
        daemon.close()


def test_seccomp_and_privileged(containerd):
    assert "Seccomp:\t2" in containerd.box("one", "cat", "/proc/self/status", options=["--seccomp"]).stdout
    done = containerd.box("two", "sh", "-c", "mount -t tmpfs x /tmp && echo mounted", options=["--privileged"])
    assert done.stdout == "mounted\n"


def test_the_shim_s_list_of_processes(containerd):
    containerd.spawn("one", "sh", "-c", "sleep 100 & wait")
    pids = [line.split()[0] for line in containerd.out("task", "ps", "one").splitlines()[1:]]
    names = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    assert names == {"sh", "sleep"}


def test_nothing_is_left(containerd):
    containerd.spawn("one", "sleep", "100")
    containerd.remove_all()
    left = [folder for folder in (containerd.base / "state").glob("io.containerd.runtime.v2.task/default/*")]
    assert left == []
    assert list(pathlib.Path("/run/containerd/runc").glob("default/*")) == []
    assert [f for f in pathlib.Path("/sys/fs/cgroup").glob("*/default/one") if f.is_dir()] == []
