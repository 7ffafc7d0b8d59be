"""What a container printed: kept apart, timed, rotated, followed."""

import datetime
import re
import time

import pytest

from harness import SLOW, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def finished(trivet, *command, options=()):
    name = trivet.spawn(*command, options=options)
    trivet.run("wait", name)
    return name


def test_stdout_and_stderr_are_kept_apart_and_in_order(trivet):
    name = finished(trivet, "sh", "-c", "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three")
    result = trivet.run("logs", name)
    assert result.stdout == "one\nthree\n"
    assert result.stderr == "two\n"


def test_tail(trivet):
    name = finished(trivet, "seq", "1", "100")
    assert trivet.logs(name, "--tail", "3") == "98\n99\n100\n"
    assert trivet.logs(name, "-n", "0") == ""
    assert trivet.logs(name, "--tail", "all").count("\n") == 100
    assert "--tail" in trivet.fails("logs", "--tail", "few", name).stderr


def test_timestamps(trivet):
    before = datetime.datetime.now(datetime.timezone.utc)
    name = finished(trivet, "echo", "line")
    match = re.fullmatch(r"(\S+) line\n", trivet.logs(name, "-t"))
    stamp = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", match[1]).replace("Z", "+00:00"))
    assert before - datetime.timedelta(seconds=1) < stamp < before + datetime.timedelta(seconds=60)


def test_since_and_until(trivet):
    name = finished(trivet, "sh", "-c", "echo early; sleep 2; echo late")
    stamps = [line.split()[0] for line in trivet.logs(name, "-t").splitlines()]
    assert trivet.logs(name, "--since", stamps[1]) == "late\n"
    assert trivet.logs(name, "--until", stamps[0]) == "early\n"
    assert trivet.logs(name, "--since", "1h") == "early\nlate\n"
    assert trivet.fails("logs", "--since", "teatime", name).stderr


def test_follow_shows_lines_as_they_come_and_ends_with_the_container(trivet):
    name = trivet.spawn("sh", "-c", "echo 1; while [ ! -e /go ]; do sleep 0.1; done; "
                        "echo 2; echo err >&2; sleep 0.2; echo 3")
    # Unbuffered: what readline() has taken too much of, communicate() does not find.
    process = trivet.start("logs", "-f", name, bufsize=0)
    assert process.stdout.readline() == b"1\n"
    trivet.run("exec", name, "touch", "/go")
    assert process.stdout.readline() == b"2\n"
    out, err = process.communicate(timeout=20 * SLOW)
    assert (out, err) == (b"3\n", b"err\n")
    assert process.returncode == 0


def test_follow_with_tail_starts_late(trivet):
    name = trivet.spawn("sh", "-c", "seq 1 50; while [ ! -e /go ]; do sleep 0.1; done; echo end")
    trivet.wait_for_log(name, "50\n")
    process = trivet.start("logs", "-f", "--tail", "1", name, bufsize=0)
    assert process.stdout.readline() == b"50\n"
    trivet.run("exec", name, "touch", "/go")
    assert process.communicate(timeout=20 * SLOW)[0] == b"end\n"


def test_a_line_without_an_end_and_a_very_long_one(trivet):
    name = finished(trivet, "printf", "no end")
    assert trivet.logs(name).rstrip("\n") == "no end"
    name = finished(trivet, "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo after")
    assert trivet.logs(name) == "x" * 200000 + "\nafter\n"


def test_bytes_that_are_no_text_pass(trivet):
    name = finished(trivet, "printf", r"\377\376 quote\042 back\134slash \001\n")
    process = trivet.start("logs", name)
    assert process.communicate()[0] == b'\xff\xfe quote" back\\slash \x01\n'


def test_rotation_by_size_keeps_the_newest(trivet):
    name = finished(trivet, "seq", "1", "50000", options=["--log-max-size", "64k", "--log-max-files",
                                                         "3"])
    used = sum(file.stat().st_size for file in (trivet.data / "containers" / name / "logs").iterdir())
    assert used <= 3 * 64 * 1024 + 4096
    lines = trivet.logs(name).split()
    assert lines[-1] == "50000"
    assert lines == [str(n) for n in range(50001 - len(lines), 50001)]
    assert 1000 < len(lines) < 50000


def test_following_across_rotations_loses_nothing(trivet):
    name = trivet.spawn("sh", "-c", "while [ ! -e /go ]; do sleep 0.1; done; for i in $(seq 1 3000); do "
                        "echo $i; [ $((i % 100)) = 0 ] && sleep 0.05; done",
                        options=["--log-max-size", "32k", "--log-max-files", "8"])
    process = trivet.start("logs", "-f", name)
    trivet.run("exec", name, "touch", "/go")
    out, _ = process.communicate(timeout=60 * SLOW)
    assert out.decode().split() == [str(n) for n in range(1, 3001)]


def test_a_writer_is_not_held_up_when_nobody_reads(trivet):
    name = trivet.spawn("sh", "-c", "seq 1 300000; echo done >&2")
    begin = time.monotonic()
    assert trivet.out("wait", name, timeout=60) == "0"
    assert time.monotonic() - begin < 30 * SLOW
    # The two pipes are read side by side, so which comes last is open.
    result = trivet.run("logs", "--tail", "2", name)
    assert result.stdout.endswith("300000\n") and result.stderr in ("done\n", "")
    assert trivet.run("logs", name).stderr == "done\n"


def test_logs_of_every_run_are_kept(trivet):
    name = finished(trivet, "echo", "again")
    trivet.run("start", name)
    trivet.run("wait", name)
    wait_for(lambda: trivet.logs(name) == "again\nagain\n")


def test_logs_of_nothing_are_an_error(trivet):
    assert "absent" in trivet.fails("logs", "absent").stderr
