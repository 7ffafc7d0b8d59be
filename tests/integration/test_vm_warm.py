"""Machines that are saved with their container made: the second start of a command makes one, later ones use it."""

import os
import re
import subprocess
import time

import pytest

from harness import SLOW, free_port, wait_for
from test_run_network import fetch

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left", "own_vm_dir")]


def saved_in(folder):
    root = folder / "warm"
    return sorted(entry for entry in root.iterdir() if re.fullmatch("[0-9a-f]{64}", entry.name)) \
        if root.is_dir() else []


class Warm:
    """One command line; the machine for it is saved by its second start."""

    def __init__(self, vm, folder, *command, options=("--network", "none")):
        self.vm, self.folder = vm, folder
        self.words = [*options, "busybox", *command]

    def run(self, **settings):
        return self.vm.run("run", "--rm", *self.words, **settings)

    def prepare(self):
        for _ in range(2):
            self.run()
        self.saved, = saved_in(self.folder)
        return self

    def used(self):
        return (self.saved / "template.json").stat().st_mtime_ns

    def hit(self, **settings):
        """A run that was restored from it."""
        before = self.used()
        result = self.run(**settings)
        assert self.used() > before
        return result

    def spawn(self, name, *options):
        before = self.used()
        self.vm.run("run", "-d", "--name", name, *options, *self.words)
        assert self.used() > before


@pytest.fixture
def warm(vm, own_vm_dir):
    def prepare(*command, **arguments):
        return Warm(vm, own_vm_dir, *command, **arguments).prepare()
    return prepare


def test_the_first_start_saves_nothing_and_the_second_does(vm, own_vm_dir):
    line = Warm(vm, own_vm_dir, "echo", "a")
    assert line.run().stdout == "a\n" and saved_in(own_vm_dir) == []
    assert line.run().stdout == "a\n" and len(saved_in(own_vm_dir)) == 1
    line.saved, = saved_in(own_vm_dir)
    assert line.hit().stdout == "a\n"
    listed = vm.run("vm", "info", "--format", "json").stdout
    assert "with a container" in listed


def test_other_commands_and_environments_have_others(vm, own_vm_dir, warm):
    warm("echo", "a")
    for _ in range(2):
        assert vm.box("echo", "b").stdout == "b\n"
        assert vm.box("sh", "-c", "echo $X", options=["-e", "X=1"]).stdout == "1\n"
    assert len(saved_in(own_vm_dir)) == 3


def test_without_templates_there_is_none(vm, own_vm_dir):
    for _ in range(3):
        assert vm.box("true", options=["--no-template"]).returncode == 0
    assert saved_in(own_vm_dir) == []


def test_clones_have_names_numbers_and_clocks_of_their_own(warm):
    script = ("grep -m1 stack /proc/self/maps; head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid; hostname; "
              "date +%s; echo $HOSTNAME; cat /etc/hostname; grep -c $(hostname) /etc/hosts")
    line = warm("sh", "-c", script)
    time.sleep(3)  # a clock that is the template's is behind by as much
    before = int(time.time()) - 1
    first, second = (line.hit().lines for _ in range(2))
    assert all(one != other for one, other in zip(first[:4], second[:4]))
    for lines in (first, second):
        assert before <= int(lines[4]) <= time.time() + 1
        assert lines[5] == lines[3] and lines[6] == lines[3] and lines[7] == "1"


def test_a_given_host_name_takes_the_place_of_another_of_its_length(vm, own_vm_dir):
    names = ["one", "two", "six"]
    lines = [vm.box("sh", "-c", "hostname; echo $HOSTNAME", options=["--hostname", name]).lines
             for name in names]
    assert lines == [[name, name] for name in names] and len(saved_in(own_vm_dir)) == 1


def test_the_writes_of_a_clone_are_its_own_and_are_read_after_a_restart(vm, warm):
    line = warm("sh", "-c", "cat /log 2>/dev/null; echo x >> /log; sync; cat /log")
    assert [line.hit().stdout for _ in range(2)] == ["x\n"] * 2
    line.vm.run("run", "--name", "again", *line.words)
    assert vm.run("start", "-a", "again").stdout == "x\nx\nx\n"


def test_large_writes_arrive(warm):
    line = warm("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null && sync && "
                "tr -d '\\0' < /big | wc -c; ls -l /big; ls /bin | wc -l")
    one, other = line.hit(), line.hit()
    assert one.stdout.replace(" ", "").startswith("0\n") and "314572800" in one.stdout
    assert one.lines[2] == other.lines[2]


def test_exec_stats_pause_logs_and_stop(vm, own_vm_dir):
    line = Warm(vm, own_vm_dir, "sh", "-c", "echo started; trap 'echo bye; exit 7' TERM; "
                "while :; do sleep 0.1; done")
    for _ in range(2):
        vm.run("rm", "-f", vm.out("run", "-d", *line.words))
    line.saved, = saved_in(own_vm_dir)
    line.spawn("box")
    vm.wait_for_log("box", "started", timeout=60)
    assert vm.out("exec", "box", "echo", "inside") == "inside"
    assert vm.out("exec", "box", "hostname") == vm.inspect("box")["Config"]["Hostname"]
    assert "box" in vm.out("stats", "--no-stream", "box")
    vm.run("pause", "box")
    assert vm.status("box") == "paused"
    vm.run("unpause", "box")
    vm.run("stop", "box")
    assert vm.out("logs", "box").splitlines() == ["started", "bye"]
    assert vm.inspect("box")["State"]["ExitCode"] == 7


def test_standard_input_is_passed_on(vm, own_vm_dir):
    words = ["run", "--rm", "-i", "--network", "none", "busybox", "cat"]
    for text in ("a", "b", "c"):
        assert vm.run(*words, stdin=text).stdout == text
    assert len(saved_in(own_vm_dir)) == 1


def test_limits_hold(vm, own_vm_dir):
    script = "cat /sys/fs/cgroup/pids.max 2>/dev/null; ulimit -n; id -u; touch /x 2>/dev/null || echo closed"
    options = ["--pids", "30", "--user", "1000", "--read-only", "--ulimit", "nofile=99"]
    texts = [vm.box("sh", "-c", script, options=options).stdout for _ in range(3)]
    assert len(saved_in(own_vm_dir)) == 1
    assert texts[0] == texts[1] == texts[2] and "99\n1000\nclosed" in texts[0]


@pytest.mark.network
def test_the_network_is_brought_up_after_the_restore(warm):
    line = warm("sh", "-c", "ip -4 addr show eth0; ip route; cat /etc/resolv.conf",
                options=("--network", "pasta"))
    text = line.hit().stdout
    assert "10.0.2.15/24" in text and "default via" in text and "nameserver" in text


def overwrite(path):
    with path.open("r+b") as file:
        file.write(b"\xa5" * 4096)


def test_one_whose_disk_was_changed_is_made_anew(warm, own_vm_dir):
    line = warm("echo", "works")
    with (line.saved / "memory").open("rb") as old:
        overwrite(line.saved / "disk")
        assert line.run().stdout == "works\n"
        assert saved_in(own_vm_dir) == [line.saved]
        assert (line.saved / "memory").stat().st_ino != os.fstat(old.fileno()).st_ino
    assert line.hit().stdout == "works\n"


def test_a_container_that_can_not_be_made_says_so_each_time(vm, own_vm_dir):
    texts = [vm.fails("run", "--rm", "--network", "none", "busybox", "/no-such", code=127).stderr
             for _ in range(4)]
    assert all("/no-such" in text for text in texts)
    assert saved_in(own_vm_dir) == []


def test_it_goes_with_its_image(vm, own_vm_dir, warm):
    warm("true")
    vm.run("image", "rm", "-f", "busybox")
    assert saved_in(own_vm_dir) == []


def test_three_at_once(vm, warm):
    line = warm("sh", "-c", "cat /proc/sys/kernel/random/uuid; read line; echo got $line",
                options=("-i", "--network", "none"))
    started = [vm.start("run", "--rm", *line.words, stdin=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.stdout.readline() for process in started}) == 3
    for number, process in enumerate(started):
        output, _ = process.communicate(f"{number}\n", timeout=60 * SLOW)
        assert output == f"got {number}\n" and process.returncode == 0


def test_what_is_saved_can_be_read_by_root_alone(warm):
    line = warm("sh", "-c", "true", options=("--network", "none", "-e", "SECRET=x"))
    for path in (line.saved, *line.saved.iterdir()):
        assert path.stat().st_mode & 0o077 == 0 and path.stat().st_uid == 0


def test_a_terminal(vm, own_vm_dir):
    for rows in (20, 30, 40):
        terminal = vm.spawn_tty("run", "--rm", "-it", "--network", "none", "busybox", "sh", rows=rows, columns=80)
        terminal.expect("/ # ")
        terminal.send("stty size; hostname\n")
        terminal.expect(f"{rows} 80\r\n[0-9a-f]{{12}}\r\n")
        terminal.send("exit 5\n")
        assert terminal.wait() == 5
    assert len(saved_in(own_vm_dir)) == 1


@pytest.mark.network
def test_published_ports_are_each_clone_s_own(vm, own_vm_dir):
    words = ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && httpd -f -p 8080 -h /www"]
    answers = {}
    for _ in range(4):
        port = free_port()
        name = vm.spawn(*words, network="pasta", options=["-p", f"127.0.0.1:{port}:8080"])
        answers[vm.inspect(name)["Config"]["Hostname"]] = wait_for(lambda port=port: fetch(f"127.0.0.1:{port}"))
    assert len(saved_in(own_vm_dir)) == 1
    assert {name: f"{name}\n" for name in answers} == answers and len(answers) == 4


def test_signals_and_the_processes_of_a_clone(vm, own_vm_dir):
    line = Warm(vm, own_vm_dir, "sh", "-c", "trap 'echo one' USR1; echo ready; while :; do sleep 0.1; done")
    for _ in range(2):
        vm.run("rm", "-f", vm.out("run", "-d", *line.words))
    line.saved, = saved_in(own_vm_dir)
    line.spawn("box")
    vm.wait_for_log("box", "ready", timeout=60)
    assert "sleep" in vm.out("top", "box")
    vm.run("kill", "-s", "USR1", "box")
    vm.wait_for_log("box", "one", timeout=60)
    vm.run("kill", "box")
    assert vm.out("wait", "box") == "137"


def test_two_second_starts_at_once_save_one(vm, own_vm_dir):
    line = Warm(vm, own_vm_dir, "sh", "-c", "read line; echo got $line", options=("-i", "--network", "none"))
    assert line.run(stdin="0\n").stdout == "got 0\n"
    started = [vm.start("run", "--rm", *line.words, stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for number, process in enumerate(started):
        output, _ = process.communicate(f"{number}\n", timeout=90 * SLOW)
        assert output == f"got {number}\n" and process.returncode == 0
    line.saved, = saved_in(own_vm_dir)
    assert line.hit(stdin="2\n").stdout == "got 2\n"
