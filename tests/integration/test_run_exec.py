"""`trivet exec`."""

import hashlib
import os
import re
import signal
import time

import pytest

from harness import SLOW, cgroup_directory, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def box(trivet):
    """A running container."""
    return trivet.spawn("sleep", "600", options=["--name", "box", "-e", "FROM_RUN=1", "-w", "/www"])


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_codes(trivet, box, code):
    assert trivet.run("exec", box, "sh", "-c", f"exit {code}", check=False).returncode == code


def test_exit_code_of_a_signal(trivet, box):
    assert trivet.run("exec", box, "sh", "-c", "kill -9 $$", check=False).returncode == 137


def test_a_missing_program_is_127_and_one_that_is_none_126(trivet, box):
    result = trivet.fails("exec", box, "no-such-program", code=127)
    assert "no-such-program" in result.stderr
    assert trivet.fails("exec", box, "/bin/not-executable", code=126).stderr
    assert trivet.status(box) == "running"


def test_streams(trivet, box):
    result = trivet.run("exec", box, "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert trivet.run("exec", "-i", box, "cat", stdin="a\nb").stdout == "a\nb"
    assert trivet.run("exec", box, "cat", stdin="not for you").stdout == ""
    data = os.urandom(2 << 20)
    result = trivet.run("exec", "-i", box, "sha256sum", stdin=data)
    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_environment_user_and_directory(trivet, box):
    result = trivet.run("exec", "-e", "MINE=2", "-u", "app", "-w", "/home/app", box, "sh", "-c",
                        "echo $FROM_IMAGE $FROM_RUN $MINE $HOME; id -u; id -G; pwd")
    assert result.stdout.splitlines() == ["yes 1 2 /home/app", "1000", "1000 2000", "/home/app"]
    assert trivet.out("exec", box, "pwd") == "/www"


def test_detached(trivet, box):
    begin = time.monotonic()
    trivet.run("exec", "-d", box, "sh", "-c", "sleep 1; touch /tmp/done")
    assert time.monotonic() - begin < 1 * SLOW + 0.5
    wait_for(lambda: trivet.run("exec", box, "test", "-e", "/tmp/done", check=False).returncode == 0)


def test_signals_are_forwarded(trivet, box):
    process = trivet.start("exec", box, "sh", "-c",
                           "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * SLOW) == 9


def test_it_is_inside(trivet, box):
    pid = trivet.inspect(box)["State"]["Pid"]
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
        inside = trivet.out("exec", box, "readlink", f"/proc/self/ns/{kind}")
        assert inside == os.readlink(f"/proc/{pid}/ns/{kind}")
    assert trivet.out("exec", box, "hostname") == box[:12]
    process = trivet.start("exec", box, "sleep", "30")
    folder = cgroup_directory(pid, "pids")
    wait_for(lambda: len((folder / "cgroup.procs").read_text().split()) == 2,
             what="the program is in the container's cgroup")
    process.kill()


def test_it_ends_with_the_container(trivet, box):
    process = trivet.start("exec", box, "sleep", "600")
    wait_for(lambda: "sleep 600" in trivet.out("top", box).replace("  ", " ")
             and trivet.out("top", box).count("sleep") == 2)
    trivet.run("kill", box)
    assert process.wait(20 * SLOW) == 137


def test_many_at_once(trivet, box):
    processes = [trivet.start("exec", box, "echo", str(n)) for n in range(10)]
    assert [process.communicate(timeout=60)[0].decode().strip() for process in processes] == \
        [str(n) for n in range(10)]


def test_only_in_a_running_container(trivet):
    name = trivet.spawn("true")
    trivet.run("wait", name)
    result = trivet.fails("exec", name, "true", code=125)
    assert "not running" in result.stderr
    assert "absent" in trivet.fails("exec", "absent", "true", code=125).stderr


def test_not_in_a_paused_container(trivet, box):
    trivet.run("pause", box)
    result = trivet.fails("exec", box, "true", code=125)
    assert "paused" in result.stderr
    trivet.run("unpause", box)
    trivet.run("exec", box, "true")


def test_privileged_adds_capabilities(trivet, box):
    plain = trivet.out("exec", box, "grep", "CapEff", "/proc/self/status")
    more = trivet.out("exec", "--privileged", box, "grep", "CapEff", "/proc/self/status")
    number = [int(re.search(r"([0-9a-f]{16})", text)[1], 16) for text in (plain, more)]
    assert number[1] & number[0] == number[0] and number[1] > number[0]


def test_a_dead_caller_does_not_take_the_container_along(trivet, box):
    process = trivet.start("exec", box, "sleep", "30")
    wait_for(lambda: trivet.out("top", box).count("sleep") == 2)
    process.kill()
    process.wait()
    assert trivet.status(box) == "running"
    trivet.run("exec", box, "true")


def test_a_command_has_its_time(trivet, box):
    result = trivet.fails("exec", "--timeout", "500ms", box, "sleep", "1234", code=124)
    assert "its time" in result.stderr
    stubborn = 'trap "" TERM; while :; do sleep 0.2; done; : 1234'
    trivet.fails("exec", "--timeout", "500ms", box, "sh", "-c", stubborn, code=124)
    # Nor does what it has started survive it.
    trivet.fails("exec", "--timeout", "500ms", box, "sh", "-c", 'trap "" TERM; sleep 1234; true', code=124)
    trivet.fails("exec", "--timeout", "500ms", box, "sh", "-c", "sleep 1234 & wait", code=124)
    # Not those of this look at them.
    wait_for(lambda: "1234" not in trivet.out("exec", box, "sh", "-c", "ps | grep -v grep | grep 12[3]4 || true"),
                     what="all have ended")
    assert trivet.out("exec", "--timeout", "1m", box, "echo", "in time") == "in time"


def test_nobody_waits_for_a_detached_command(trivet, box):
    trivet.fails("exec", "-d", "--timeout", "1s", box, "true", code=125)
