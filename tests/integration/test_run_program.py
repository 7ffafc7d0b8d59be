"""`trivet run`: what the program gets, what comes out of it, and how it ends."""

import hashlib
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import SLOW, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


# ---------------------------------------------------------------- exit codes

@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_exit_code_is_the_programs(trivet, code):
    assert trivet.box("sh", "-c", f"exit {code}", check=False).returncode == code


def test_exit_code_of_a_signal_is_128_plus_its_number(trivet):
    process = trivet.start("run", "--network", "none", "--name", "victim", "busybox", "sleep", "60")
    trivet.wait_for_state("victim", "running")
    trivet.run("kill", "-s", "KILL", "victim")
    assert process.wait(20 * SLOW) == 128 + signal.SIGKILL
    assert trivet.inspect("victim")["State"]["ExitCode"] == 137


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", "/bin/no-such-interpreter"])
def test_a_missing_program_is_127(trivet, program):
    result = trivet.box(program, check=False)
    assert result.returncode == 127
    assert program in result.stderr
    assert re.search("executable file not found|no such file or directory", result.stderr, re.I)


@pytest.mark.parametrize("program", ["/bin/not-executable", "/etc", "/bin/not-a-program"])
def test_a_program_that_can_not_be_executed_is_126(trivet, program):
    result = trivet.box(program, check=False)
    assert result.returncode == 126
    assert program in result.stderr


def test_trivets_own_failure_is_125_with_one_line_of_reason(trivet):
    result = trivet.fails("run", "--no-such-option", "busybox", code=125)
    assert "--no-such-option" in result.stderr
    assert result.stdout == ""


def test_timeout_ends_it_with_124(trivet):
    begin = time.monotonic()
    result = trivet.box("sleep", "60", options=["--timeout", "1s", "--stop-timeout", "1s"],
                        check=False)
    assert result.returncode == 124
    assert time.monotonic() - begin < 15 * SLOW


# ---------------------------------------------------------------- streams

def test_stdout_and_stderr_stay_apart(trivet):
    result = trivet.box("sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_stdin_reaches_the_program_with_i(trivet):
    assert trivet.box("cat", options=["-i"], stdin="hello\nworld").stdout == "hello\nworld"


def test_stdin_is_empty_without_i(trivet):
    assert trivet.box("cat", stdin="not for you\n").stdout == ""


def test_much_input_and_output_pass_unchanged(trivet):
    data = os.urandom(3 << 20)
    result = trivet.box("sha256sum", options=["-i"], stdin=data)
    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()
    result = trivet.box("seq", "1", "200000")
    assert result.stdout == "".join(f"{n}\n" for n in range(1, 200001))


def test_a_reader_that_goes_away_ends_the_program(trivet):
    process = trivet.start("run", "--rm", "--network", "none", "busybox", "yes")
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    process.wait(20 * SLOW)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_the_callers_streams_may_be_closed(trivet, closed):
    command = trivet.command("run", "--rm", "--network", "none", "busybox", "sh", "-c",
                             "cat; echo out; echo err >&2; exit 3")
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], env=trivet.env,
                          capture_output=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout == (b"" if " >&-" in f" {closed}" else b"out\n")
    assert (b"err\n" in done.stderr) == ("2>&-" not in closed)


def test_the_monitor_does_not_show_the_callers_words(trivet):
    """In the foreground it is a copy of the caller."""
    process = trivet.start("run", "--rm", "-i", "--network", "none", "-e", "WORD=not-for-ps", "busybox",
                           "sh", "-c", "echo ready; cat", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    monitor = pathlib.Path("/proc") / str(trivet.monitor_pids()[0])
    assert b"not-for-ps" not in (monitor / "cmdline").read_bytes()
    assert (monitor / "comm").read_text() == "trivet-monitor\n"
    process.stdin.close()
    assert process.wait(20 * SLOW) == 0


# ---------------------------------------------------------------- signals

@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2"])
def test_signals_are_forwarded_in_the_foreground(trivet, name):
    script = f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    process = trivet.start("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.stdout.read() == f"got {name}\n".encode()
    assert process.wait(20 * SLOW) == 7


# ---------------------------------------------------------------- the program and its surroundings

def test_the_images_command_is_the_default(trivet):
    assert trivet.box(options=["-i"], stdin="echo from the shell\n").stdout == "from the shell\n"


def test_entrypoint_replaces_the_images(trivet):
    assert trivet.box("a", "b", options=["--entrypoint", "echo"]).stdout == "a b\n"


def test_the_environment_is_the_images_and_what_was_asked_for(trivet, tmp_path):
    (tmp_path / "variables").write_text("# a comment\nFROM_FILE=1\nPASSED_TOO\n")
    result = trivet.box("env", options=["-e", "GIVEN=a b", "-e", "PASSED", "--env-file",
                                        tmp_path / "variables"],
                        env={"PASSED": "through", "PASSED_TOO": "yes", "SECRET": "stays outside"})
    variables = dict(line.split("=", 1) for line in result.lines)
    assert variables.pop("HOSTNAME")
    assert variables.pop("container") == "trivet"
    assert variables == {"PATH": "/usr/bin:/bin", "HOME": "/root", "FROM_IMAGE": "yes",
                         "GIVEN": "a b", "PASSED": "through", "PASSED_TOO": "yes", "FROM_FILE": "1"}


def test_the_working_directory_is_made_when_missing(trivet):
    assert trivet.box("pwd", options=["-w", "/not/there/yet"]).stdout == "/not/there/yet\n"


@pytest.mark.parametrize("user,expected", [
    ("1000", "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
    ("app", "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"),
    ("1234:65534", "uid=1234 gid=65534(nogroup) groups=65534(nogroup)"),
    ("app:extra", "uid=1000(app) gid=2000(extra) groups=2000(extra)"),
])
def test_users_by_number_and_name(trivet, user, expected):
    assert trivet.out("run", "--rm", "--network", "none", "-u", user, "busybox", "id") == expected


def test_a_user_has_the_home_of_the_image(trivet):
    assert trivet.box("sh", "-c", "echo $HOME", options=["-u", "app"]).stdout == "/home/app\n"


def test_an_unknown_user_is_an_error(trivet):
    result = trivet.box("id", options=["-u", "nosuch"], check=False)
    assert result.returncode == 125
    assert "nosuch" in result.stderr


def test_group_add(trivet):
    assert trivet.box("id", "-G", options=["--group-add", "2000", "--group-add", "nogroup"]) \
        .stdout.split() == ["0", "2000", "65534"]


def test_the_host_name(trivet):
    assert trivet.box("hostname", options=["--hostname", "box.example"]).stdout == "box.example\n"
    name = trivet.spawn("sh", "-c", "hostname; cat /etc/hostname")
    trivet.run("wait", name)
    assert trivet.logs(name).split() == [name[:12]] * 2


def test_init_reaps_and_forwards(trivet):
    assert trivet.box("sh", "-c", "echo $$", options=["--init"]).stdout != "1\n"
    name = trivet.spawn("sleep", "60", options=["--init"])
    begin = time.monotonic()
    trivet.run("stop", "-t", "20", name)
    assert time.monotonic() - begin < 10 * SLOW
    assert trivet.inspect(name)["State"]["ExitCode"] == 128 + signal.SIGTERM


def test_command_after_two_dashes(trivet, busybox_rootfs):
    assert trivet.out("run", "--rm", "--network", "none", "--rootfs", busybox_rootfs, "--", "echo",
                      "-n", "x") == "x"


# ---------------------------------------------------------------- detached

def test_detached_prints_the_id_and_goes_on(trivet):
    name = trivet.spawn("sh", "-c", "sleep 0.5; exit 9", options=["--name", "job"])
    assert re.fullmatch("[0-9a-f]{64}", name)
    assert trivet.out("wait", "job") == "9"
    assert trivet.inspect("job")["Id"] == name


def test_detached_with_rm_leaves_nothing(trivet):
    name = trivet.spawn("true", options=["--rm"])
    wait_for(lambda: trivet.status(name) == "", what="it is removed")


def test_a_detached_program_that_is_missing_is_told_at_once(trivet):
    result = trivet.fails("run", "-d", "--network", "none", "busybox", "/no/such/program", code=127)
    assert "/no/such/program" in result.stderr


def test_many_at_the_same_time(trivet):
    processes = [trivet.start("run", "--rm", "--network", "none", "busybox", "echo", str(n))
                 for n in range(12)]
    outputs = [process.communicate(timeout=60 * SLOW) for process in processes]
    assert [out.decode().strip() for out, _ in outputs] == [str(n) for n in range(12)], outputs


def test_of_many_that_want_one_name_one_gets_it(trivet):
    processes = [trivet.start("run", "-d", "--name", "only", "--network", "none", "busybox", "sleep",
                              "60") for _ in range(6)]
    codes = []
    for process in processes:
        process.communicate(timeout=60 * SLOW)
        codes.append(process.returncode)
    assert sorted(codes) == [0] + [125] * 5
    assert len(trivet.containers()) == 1
