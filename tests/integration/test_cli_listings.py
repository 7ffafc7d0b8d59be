"""Listings: tables that line up, JSON that parses, filters and templates, and names to complete."""

import json
import re

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def three(trivet):
    """A running, an ended and a created container, oldest first."""
    trivet.spawn("sleep", "1000", options=["--name", "running", "-l", "kind=a"])
    trivet.run("run", "--network", "none", "--name", "ended", "-l", "kind=b", "busybox", "sh", "-c",
               "exit 3", check=False)
    trivet.run("create", "--network", "none", "--name", "created", "busybox", "true")
    return trivet


def names(trivet, *options):
    return trivet.out("ps", "--format", "{{.Names}}", *options).split()


def test_ps_shows_what_runs_and_with_a_everything_newest_first(three):
    assert names(three) == ["running"]
    assert names(three, "-a") == ["created", "ended", "running"]
    assert names(three, "-l") == ["created"]
    assert names(three, "-n", "2") == ["created", "ended"]


def test_the_columns_line_up(three):
    lines = three.out("ps", "-a", "-s").splitlines()
    for title in ("IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES", "SIZE"):
        column = lines[0].index(title)
        for line in lines[1:]:
            assert line[column - 1] == " " and line[column] != " ", line
    assert "Exited (3)" in lines[2] and "Up " in lines[3] and "Created" in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_json_has_everything(three):
    rows = json.loads(three.out("ps", "-a", "-s", "--format", "json"))
    by_name = {row["Names"]: row for row in rows}
    assert by_name["running"]["State"] == "running" and by_name["running"]["Pid"] > 0
    assert by_name["ended"]["ExitCode"] == 3 and by_name["ended"]["Pid"] == 0
    assert by_name["running"]["Labels"]["kind"] == "a"
    assert by_name["ended"]["Command"] == ["sh", "-c", "exit 3"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", row["ID"]) and "Size" in row for row in rows)


def test_ids(three):
    short = three.out("ps", "-aq").split()
    whole = three.out("ps", "-aq", "--no-trunc").split()
    assert [len(word) for word in short] == [12] * 3
    assert [word[:12] for word in whole] == short
    assert three.out("inspect", "-f", "{{.Name}}", short[0]).strip("/") == "created"


@pytest.mark.parametrize("options, expected", [
    (["status=exited"], ["ended"]), (["status=created"], ["created"]), (["name=unn"], ["running"]),
    (["label=kind"], ["ended", "running"]), (["label=kind=a"], ["running"]),
    (["exited=3"], ["ended"]), (["ancestor=busybox"], ["created", "ended", "running"]),
    (["name=ended", "name=created"], ["created", "ended"]),
    (["status=running", "name=ended"], []),
])
def test_filters(three, options, expected):
    words = [word for option in options for word in ("-f", option)]
    assert names(three, "-a", *words) == expected


def test_images_and_volumes_list_in_three_forms(trivet):
    assert trivet.out("images").splitlines()[0].split()[:2] == ["REPOSITORY", "TAG"]
    image = json.loads(trivet.out("images", "--format", "json"))[0]
    assert image["Repository"].endswith("busybox") and image["Tag"] == "latest"
    assert trivet.out("images", "-q") in image["ID"]
    assert trivet.out("image", "ls", "--format", "{{.ID}}") == image["ID"]
    assert json.loads(trivet.out("images", "--format", "json", "absent")) == []
    trivet.run("volume", "create", "data")
    assert trivet.out("volume", "ls", "-q") == "data"
    volume = json.loads(trivet.out("volume", "inspect", "data"))[0]
    assert volume["Name"] == "data" and volume["Mountpoint"].startswith("/")
    assert json.loads(trivet.out("volume", "ls", "--format", "json"))[0]["Name"] == "data"
    trivet.run("volume", "rm", "data")


def test_inspect_is_an_array_and_finds_images_too(three):
    found = json.loads(three.out("inspect", "running", "busybox"))
    assert len(found) == 2
    assert three.out("inspect", "-f", "{{.State.Status}}", "ended") in ("exited", "stopped")
    result = three.fails("inspect", "running", "absent", code=1)
    assert len(json.loads(result.stdout)) == 1
    assert "absent" in result.stderr
    assert "did you mean" in three.fails("inspect", "-f", "{{.Stat}}", "running").stderr


def test_stats_and_top_and_port_in_json(three):
    stats = json.loads(three.out("stats", "--no-stream", "--format", "json"))
    assert [row["Name"] for row in stats] == ["running"]
    assert stats[0]["PIDs"] == 1 and stats[0]["MemoryBytes"] > 0
    assert "running" in three.out("stats", "--no-stream", "running")
    assert "sleep 1000" in three.out("top", "running")
    assert len(json.loads(three.out("top", "--format", "json", "running"))) == 1
    assert json.loads(three.out("port", "--format", "json", "running")) == []


def test_info_is_text_and_json(trivet):
    assert isinstance(json.loads(trivet.out("info", "--format", "json")), dict)
    assert ":" in trivet.out("info").splitlines()[0]


def test_start_attached_misses_nothing_and_ends_with_the_exit_code(trivet):
    trivet.run("create", "--network", "none", "--name", "job", "busybox", "sh", "-c",
               "echo first; echo bad >&2; exit 9")
    for _ in range(3):
        result = trivet.fails("start", "-a", "job", code=9)
        assert (result.stdout, result.stderr) == ("first\n", "bad\n")


def test_start_attached_with_stdin(trivet):
    trivet.run("create", "-i", "--network", "none", "--name", "echo", "busybox", "cat")
    assert trivet.run("start", "-ai", "echo", stdin="over\nand out").stdout == "over\nand out"


def test_names_for_the_shell(three):
    assert sorted(three.out("__complete", "containers").split()) == ["created", "ended", "running"]
    assert "busybox:latest" in three.out("__complete", "images").split()
    assert three.out("__complete", "volumes") == ""


def test_each_of_several_names_is_done_and_each_failure_told(three):
    result = three.fails("stop", "-t", "0", "absent", "running", "missing", code=1)
    assert result.lines == ["running"]
    assert [line for line in result.stderr.splitlines() if line.startswith("trivet: ")] == \
        [line for line in result.stderr.splitlines() if "absent" in line or "missing" in line]
    assert three.out("wait", "running", "ended").split()[1] == "3"


def test_forced_removal_of_what_is_not_there_is_no_failure(trivet):
    assert trivet.run("rm", "-f", "absent").stderr.startswith("note: ")
    assert trivet.fails("rm", "absent", code=1)


def test_a_terminal_that_is_not_there(trivet):
    result = trivet.fails("run", "--rm", "-it", "--network", "none", "busybox", "true", code=125)
    assert "the input device is not a TTY" in result.stderr


def test_detached_runs_print_the_id_and_foreground_runs_nothing(trivet):
    assert re.fullmatch(r"[0-9a-f]{64}", trivet.spawn("sleep", "1000"))
    result = trivet.box("true")
    assert (result.stdout, result.stderr) == ("", "")
