"""Warm pools: what waits, who gets it, what of it can be chosen, how it goes."""

import os

import pytest

import wasm_harness
from harness import SLOW, free_port, kill_hard, processes_of, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

PRINT = ["sh", "-c", "echo ready; cat /proc/self/cgroup > /dev/null"]


class Pools:
    """Makes pools, and sees what is in them."""

    def __init__(self, trivet):
        self.trivet = trivet

    def create(self, name, *words, size=2, network="none", options=()):
        self.trivet.run("pool", "create", "--size", size, "--network", network, *options, name,
                        *(words or ("busybox", *PRINT)))

    def row(self, name):
        return self.trivet.run("pool", "inspect", name).json()[0]

    def ready(self, name):
        return self.row(name)["Ready"]

    def wait_until_full(self, name, size):
        wait_for(lambda: (row := self.row(name))["Ready"] == size and not row["Filling"], timeout=30,
                 what=f"{size} wait in {name}")

    def take(self, name, options=(), **settings):
        return self.trivet.run("pool", "run", *options, name, **settings)


@pytest.fixture
def pools(trivet):
    return Pools(trivet)


def monitors(trivet):
    """The monitors that hold a container which waits."""
    return [pid for pid, line in processes_of(trivet.base).items() if "--hold yes" in line
            and "trivet-monitor" in line]


# ---------------------------------------------------------------- what there is

def test_containers_wait_with_a_monitor_and_are_created(trivet, pools):
    pools.create("p", size=3)
    row = pools.row("p")
    assert (row["Size"], row["Ready"], len(row["Members"]), row["Error"]) == (3, 3, 3, "")
    assert row["MemoryBytes"] > 0
    rows = trivet.containers()
    assert {r["State"] for r in rows} == {"created"} and len(monitors(trivet)) == 3
    assert trivet.out("ps", "-q") == ""
    document = trivet.inspect(row["Members"][0])
    assert document["State"]["Running"] is False and document["State"]["Pid"] == 0
    # Nothing of the program has run.
    assert trivet.logs(row["Members"][0]) == ""


def test_listings(trivet, pools):
    assert trivet.run("pool", "ls").lines[0].split()[0] == "POOL"
    assert trivet.run("pool", "ls", "--format", "json").json() == []
    pools.create("b", size=1)
    pools.create("a", size=0)
    assert trivet.out("pool", "ls", "-q").split() == ["a", "b"]
    assert trivet.out("pool", "ls", "--format", "{{.Name}} {{.Ready}}").splitlines() == ["a 0", "b 1"]
    assert "1 of 1" in trivet.out("pool", "ls")


def test_a_pool_that_can_not_be_filled_leaves_nothing(trivet, pools):
    said = trivet.fails("pool", "create", "--network", "none", "p", "busybox", "/no/such").stderr
    assert '"p"' in said and "/no/such" in said
    assert trivet.out("pool", "ls", "-q") == "" and trivet.containers() == []


@pytest.mark.parametrize("options, word", [
    (["--name", "x"], "--name"), (["-d"], "--detach"), (["--rm"], "--rm"),
    (["--network", "pasta", "-p", f"{free_port()}:80"], "-p"),
    (["--network", "container:x"], "container:x"), (["--pid", "container:x"], "container:x"),
    (["--size", "100000"], "100000"), (["--size", "-1"], "-1")])
def test_what_can_not_be_all_containers_is_refused(trivet, options, word):
    result = trivet.fails("pool", "create", *options, "p", "busybox", "true")
    assert word in result.stderr
    assert trivet.out("pool", "ls", "-q") == "" and trivet.containers() == []


def test_names(trivet, pools):
    pools.create("p", size=0)
    assert "already" in trivet.fails("pool", "create", "p", "busybox", "true").stderr
    for bad in (".x", "a/b", "../x", "x" * 129):
        trivet.fails("pool", "create", "--size", "0", bad, "busybox", "true")
    for command in (["inspect"], ["run"], ["rm"]):
        said = trivet.fails("pool", *command, "absent").stderr
        assert "absent" in said and "trivet pool ls" in said
    assert "absent" in trivet.fails("pool", "resize", "absent", "1").stderr


# ---------------------------------------------------------------- taking one

def test_the_one_that_is_taken_is_one_that_waited(trivet, pools):
    pools.create("p", "busybox", "sleep", "600")
    before = set(pools.row("p")["Members"])
    identity = pools.take("p", options=["-d"]).stdout.strip()
    assert identity in before and trivet.status(identity) == "running"
    assert identity not in pools.row("p")["Members"]
    pools.wait_until_full("p", 2)


def test_output_exit_code_and_rm(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    result = trivet.fails("pool", "run", "--rm", "p", code=7)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    kept = trivet.fails("pool", "run", "--name", "kept", "p", code=7)
    assert kept.stdout == "out\n"
    assert [r["Names"] for r in trivet.containers() if r["State"] != "created"] == ["kept"]
    assert trivet.inspect("kept")["State"]["ExitCode"] == 7
    pools.wait_until_full("p", 2)


def test_large_output_is_whole(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "head -c 3000000 /dev/zero", size=1)
    assert len(pools.take("p", options=["--rm"]).stdout) == 3000000
    pools.wait_until_full("p", 1)


def test_stdin_is_the_taker_s(trivet, pools):
    pools.create("p", "busybox", "cat", size=1, options=["-i"])
    assert pools.take("p", options=["--rm"], stdin="from the taker\n").stdout == "from the taker\n"
    pools.wait_until_full("p", 1)


def test_a_terminal_is_the_taker_s(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "stty size; read x; echo got $x", size=1,
                 options=["-i", "-t"])
    terminal = trivet.spawn_tty("pool", "run", "--rm", "p", rows=33, columns=77)
    terminal.expect("33 77")
    terminal.send("word\n")
    terminal.expect("got word")
    assert terminal.wait() == 0
    pools.wait_until_full("p", 1)


def test_a_name_that_is_taken(trivet, pools):
    pools.create("p", "busybox", "sleep", "600")
    pools.take("p", options=["-d", "--name", "mine"])
    pools.wait_until_full("p", 2)
    assert "mine" in trivet.fails("pool", "run", "-d", "--name", "mine", "p", code=125).stderr
    assert pools.ready("p") == 2
    trivet.run("rm", "-f", "mine")
    pools.take("p", options=["-d", "--name", "mine"])
    assert trivet.status("mine") == "running"
    pools.wait_until_full("p", 2)


def test_one_that_was_taken_can_be_started_again(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "echo x >> /log; cat /log", size=1)
    assert pools.take("p", options=["--name", "n"]).stdout == "x\n"
    assert trivet.run("start", "-a", "n").stdout == "x\nx\n"
    pools.wait_until_full("p", 1)


def test_a_program_by_stdin(trivet, pools):
    pools.create("p", "busybox", "sh", "-s", size=1, options=["-i"])
    assert pools.take("p", options=["--rm"], stdin="echo $((6 * 7)); exit 3\n", check=False).lines == ["42"]
    pools.wait_until_full("p", 1)


def test_a_program_that_goes_before_it_is_taken(trivet, pools, tmp_path):
    """It was looked up when it was prepared; what became of it is told to whoever takes it."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    pools.create("p", "busybox", "/programs/program", size=2, options=["-v", f"{tmp_path}:/programs"])
    assert pools.take("p", options=["--rm"]).stdout == "here\n"
    pools.wait_until_full("p", 2)
    program.unlink()
    said = trivet.fails("pool", "run", "p", code=127).stderr
    assert "/programs/program" in said
    wait_for(lambda: pools.row("p")["Error"] and not pools.row("p")["Filling"], what="it can't be filled")
    assert "failed" in trivet.out("pool", "ls")
    assert {r["State"] for r in trivet.containers()} == {"created"}  # of that one nothing is left


def test_a_timeout_counts_from_the_start(trivet, pools):
    pools.create("p", "busybox", "sleep", "600", size=1)
    trivet.fails("pool", "run", "--rm", "--timeout", "300ms", "p", code=124, timeout=20)
    pools.wait_until_full("p", 1)


def test_options_are_those_of_run(trivet, pools, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("content\n")
    (tmp_path / "env").write_text("FROM_FILE=yes\n")
    trivet.run("pool", "create", "--network", "none", "-v", "./data:/data:ro", "--env-file", "env",
               "-e", "FROM_CALLER", "--pids-limit", "77", "-u", "1000", "-w", "/tmp", "p", "busybox",
               "sh", "-c", "cat /data/file; echo $FROM_FILE $FROM_CALLER; id -u; pwd",
               cwd=tmp_path, env={"FROM_CALLER": "then"})
    for _ in range(2):  # the second is made by somebody else, somewhere else
        assert pools.take("p", options=["--rm"], cwd="/").stdout == "content\nyes then\n1000\n/tmp\n"
        pools.wait_until_full("p", 1)


@pytest.mark.network
def test_each_has_a_network_and_a_port_of_its_own(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "ip -o addr | grep -c inet", network="pasta",
                 options=["-p", "80"])
    ports = {trivet.out("port", member) for member in pools.row("p")["Members"]}
    assert len(ports) == 2
    assert int(pools.take("p", options=["--rm"]).stdout) >= 2
    pools.wait_until_full("p", 2)


def test_an_image_stays_as_the_pool_has_it(trivet, pools):
    pools.create("p", "busybox", "echo", "same", size=0)
    assert "uses it" in trivet.fails("image", "rm", "busybox").stderr
    trivet.run("image", "rm", "-f", "busybox")
    trivet.run("image", "prune", "-a", "-f")
    trivet.run("pool", "resize", "p", "1")
    assert pools.take("p", options=["--rm"]).stdout == "same\n"
    pools.wait_until_full("p", 1)
    trivet.run("pool", "rm", "-f", "p")


# ---------------------------------------------------------------- an empty one

def test_an_empty_pool_makes_one_and_says_so(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "echo $A", size=0, options=["-e", "A=a"])
    result = pools.take("p", options=["--rm"])
    assert result.stdout == "a\n" and result.stderr.count("is ready") == 1
    said = trivet.fails("pool", "run", "--rm", "--wait", "p", code=125).stderr
    assert "resize" in said


def test_many_takers_each_get_their_own(trivet, pools):
    pools.create("p", "busybox", "sh", "-c", "cat /etc/hostname; sleep 1", size=5)
    waiting = {member[:12] for member in pools.row("p")["Members"]}
    takers = [trivet.start("pool", "run", "--rm", "p") for _ in range(20)]
    outcomes = [taker.communicate(timeout=60 * SLOW) for taker in takers]
    assert [taker.returncode for taker in takers] == [0] * 20
    hosts = [out.decode().strip() for out, _ in outcomes]
    assert len(set(hosts)) == 20 and waiting <= set(hosts)
    pools.wait_until_full("p", 5)


def test_takers_that_wait(trivet, pools):
    pools.create("p", "busybox", "cat", "/etc/hostname", size=1)
    takers = [trivet.start("pool", "run", "--rm", "--wait", "p") for _ in range(4)]
    hosts = {taker.communicate(timeout=60 * SLOW)[0] for taker in takers}
    assert [taker.returncode for taker in takers] == [0] * 4 and len(hosts) == 4
    pools.wait_until_full("p", 1)


# ---------------------------------------------------------------- how they go

def test_resize(trivet, pools):
    pools.create("p", size=1)
    for size in (3, 1, 0):
        trivet.run("pool", "resize", "p", size)
        assert pools.ready("p") == size and len(trivet.containers()) == size
    assert len(monitors(trivet)) == 0


def test_rm_keeps_what_was_taken(trivet, pools):
    pools.create("p", "busybox", "sleep", "600")
    identity = pools.take("p", options=["-d"]).stdout.strip()
    pools.wait_until_full("p", 2)
    assert "rm -f" in trivet.fails("pool", "rm", "p").stderr
    trivet.run("pool", "rm", "-f", "p")
    assert trivet.out("pool", "ls", "-q") == ""
    assert [r["ID"] for r in trivet.containers("--no-trunc")] == [identity]
    assert trivet.status(identity) == "running"


def test_what_waits_is_like_any_container_for_other_commands(trivet, pools):
    pools.create("p", "busybox", "echo", "hello", size=4)
    one, two, three, four = pools.row("p")["Members"]
    assert "created" in trivet.fails("exec", one, "true").stderr
    assert "created" in trivet.fails("pause", one).stderr
    assert "created" in trivet.fails("rm", one).stderr
    trivet.run("rm", "-f", one)
    trivet.run("stop", two)
    assert trivet.status(one) == "" and trivet.status(two) == ""
    assert trivet.run("start", "-a", three).stdout == "hello\n"
    trivet.run("rename", four, "renamed")
    trivet.run("start", "renamed")
    trivet.run("wait", "renamed")
    assert trivet.inspect("renamed")["Id"] == four
    assert pools.ready("p") == 0
    pools.take("p", options=["--rm"])
    pools.wait_until_full("p", 4)


def test_the_limit_of_containers_counts_them(trivet, pools):
    pools.create("p", size=2)
    assert len(trivet.containers()) == 2
    assert trivet.run("info", "--format", "json").json()


def test_prune_leaves_what_waits(trivet, pools):
    pools.create("p", size=2)
    trivet.run("prune", "-f")
    assert pools.ready("p") == 2


def test_a_monitor_that_is_killed(trivet, pools):
    """Its container ends with it; the next taker has the pool filled again."""
    pools.create("p", "busybox", "echo", "x", size=2)
    victim = monitors(trivet)[0]
    kill_hard(victim)
    wait_for(lambda: pools.ready("p") == 1, what="one is left")
    assert pools.take("p", options=["--rm"]).stdout == "x\n"
    pools.wait_until_full("p", 2)
    assert len(trivet.containers()) == 2


def test_prune_clears_away_what_died(trivet, pools):
    pools.create("p", size=2)
    for pid in monitors(trivet):
        kill_hard(pid)
    wait_for(lambda: pools.ready("p") == 0, what="none is left")
    trivet.run("prune", "-f")
    assert trivet.containers() == []
    trivet.run("pool", "resize", "p", "1")
    assert pools.ready("p") == 1


# ---------------------------------------------------------------- the other payloads

@pytest.mark.wasm
def test_wasm(trivet, pools, tmp_path):
    module = tmp_path / "p.wasm"
    module.write_bytes(wasm_harness.SMALLEST_COMMAND)
    trivet.run("pool", "create", "--size", "1", "--network", "none", "w", module)
    assert trivet.containers()[0]["State"] == "created"
    assert pools.take("w", options=["--name", "first"]).stdout == ""
    assert trivet.inspect("first")["State"]["ExitCode"] == 0
    pools.wait_until_full("w", 1)


@pytest.mark.wasm
def test_wasm_arguments_and_variables(wasm, trivet, pools):
    wasm("echo", "made")
    image, = [name for image in trivet.run("images", "--format", "json").json()
              for name in [f"{image['Repository']}:{image['Tag']}"] if "busybox" not in name]
    trivet.run("pool", "create", "--size", "2", "--network", "none", "-e", "A=pool", "w", image, "args",
               "of", "pool")
    assert pools.take("w", options=["--rm"]).stdout == "<of>\n<pool>\n"
    pools.wait_until_full("w", 2)


@pytest.mark.microvm
def test_microvm(trivet, pools):
    pools.create("v", "busybox", "sh", "-c", "uname -r; exit 5", size=1,
                 options=["--isolation", "microvm", "--experimental"])
    assert pools.ready("v") == 1
    result = trivet.run("pool", "run", "--rm", "v", check=False)
    assert result.returncode == 5 and result.stdout.strip() not in ("", os.uname().release)
    pools.wait_until_full("v", 1)
    trivet.run("pool", "rm", "-f", "v")
