"""`trivet run -it` and `trivet exec -it`: a terminal as a person has it."""

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

# busybox asks where the cursor is, and clears the line after a change of the window's size.
PROMPT = r"/ # (\x1b\[6n|\x1b\[J)*$"
DETACH = "\x10\x11"  # ctrl-p, ctrl-q


def shell(trivet, *options, **size):
    terminal = trivet.spawn_tty("run", "-it", "--network", "none", *options, "busybox", "sh", **size)
    terminal.expect(PROMPT)
    return terminal


def exec_shell(trivet, name, *options, **size):
    terminal = trivet.spawn_tty("exec", "-it", *options, name, "sh", **size)
    terminal.expect(PROMPT)
    return terminal


def ask(terminal, command, pattern):
    terminal.send(f"{command}\n")
    return terminal.expect(pattern)


@pytest.fixture(params=["run", "exec"])
def session(request, trivet):
    """A shell on a terminal of 24 rows and 80 columns, in a new and in a running container."""
    if request.param == "run":
        return shell(trivet, "--rm", rows=24, columns=80)
    return exec_shell(trivet, trivet.spawn("sleep", "600"), rows=24, columns=80)


def test_it_is_a_terminal_in_raw_mode(session):
    ask(session, "test -t 0 && test -t 1 && test -t 2 && echo all-'three'", "all-three")
    ask(session, "tty", r"/dev/(pts/\d+|console)\r")
    assert session.is_raw()
    session.send("exit\n")
    assert session.wait() == 0


def test_the_exit_code_is_the_programs(session):
    session.send("exit 5\n")
    assert session.wait() == 5


def test_its_size_follows_the_window(session):
    ask(session, "stty size", "24 80\r")
    session.resize(40, 120)
    # The change travels as a signal: it may arrive after the first command.
    ask(session, "for i in 1 2 3 4 5 6 7 8 9; do stty size; sleep 0.2; done", "40 120\r")
    session.send("\nexit\n")
    session.wait()


def test_ctrl_c_reaches_the_program_not_trivet(session):
    ask(session, "sh -c 'echo be\"\"gun; exec sleep 100'", "begun\r")
    session.send("\x03")
    session.expect(PROMPT)
    ask(session, "echo still-'here'", "still-here")
    session.send("exit\n")
    session.wait()


def test_ctrl_d_ends_the_shell(session):
    session.send("\x04")
    assert session.wait() == 0


def test_job_control_works(session):
    assert "job control turned off" not in session.output
    session.send("exit\n")
    session.wait()


def test_detach_keys_leave_it_running_and_attach_comes_back(trivet):
    terminal = shell(trivet, "--name", "kept")
    ask(terminal, "marker=re''membered", PROMPT)
    terminal.send(DETACH)
    assert terminal.wait() == 0
    assert trivet.status("kept") == "running"

    terminal = trivet.spawn_tty("attach", "kept")
    ask(terminal, "\necho $marker", "remembered\r")
    terminal.send("exit 6\n")
    assert terminal.wait() == 6


def test_detach_keys_can_be_chosen(trivet):
    terminal = shell(trivet, "--name", "kept", "--detach-keys", "ctrl-a,x")
    terminal.send("\x10\x11")  # nothing special now
    terminal.send("\x01x")
    assert terminal.wait() == 0
    assert trivet.status("kept") == "running"


def test_exec_can_be_detached_from(trivet):
    name = trivet.spawn("sleep", "600")
    terminal = exec_shell(trivet, name)
    terminal.send(DETACH)
    assert terminal.wait() == 0
    assert trivet.status(name) == "running"


def test_the_callers_terminal_is_left_as_it_was(trivet):
    terminal = shell(trivet, "--rm")
    assert terminal.is_raw()
    terminal.send("exit\n")
    terminal.wait()
    assert not terminal.is_raw()


def test_term_is_passed_on(trivet):
    terminal = shell(trivet, "--rm")
    ask(terminal, "echo TERM=$TERM.", r"TERM=xterm\.")
    terminal.send("exit\n")
    terminal.wait()


def test_without_a_terminal_it_refuses(trivet):
    result = trivet.fails("run", "--rm", "-it", "busybox", "true", code=125, stdin="")
    assert "TTY" in result.stderr


def test_a_detached_terminal_can_be_attached_to(trivet):
    name = trivet.spawn("sh", options=["-it"])
    terminal = trivet.spawn_tty("attach", name)
    terminal.send("\n")
    terminal.expect(PROMPT)
    terminal.send("exit 3\n")
    assert terminal.wait() == 3
    assert trivet.inspect(name)["State"]["ExitCode"] == 3


def test_full_screen_output_arrives_whole(trivet):
    terminal = trivet.spawn_tty("run", "--rm", "-it", "--network", "none", "busybox", "seq", "1",
                                "5000")
    terminal.expect(r"\r\n5000\r\n")
    assert terminal.wait() == 0
    assert [int(line) for line in terminal.output.split()] == list(range(1, 5001))
