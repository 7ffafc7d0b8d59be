"""trivet-oci makes microVMs for engines: by annotation, option or name; their life, exec, terminals."""

import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

import harness
import vm_harness
from harness import SLOW, wait_for
from oci_harness import NAME

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm]


@pytest.fixture(autouse=True)
def nothing_stays(vm_oci):
    """No process of a machine outlives its container, however the test ends it."""
    yield
    if not vm_oci.root.exists():
        return
    trees = [vm_harness.tree_of(pid) for pid in
             (vm_oci.state(name)["pid"] for name in os.listdir(vm_oci.root)) if pid]
    for name in os.listdir(vm_oci.root):
        vm_oci("delete", "--force", name)
    for tree in trees:
        wait_for(lambda: not any(same_program(*row) for row in tree.items()),  # noqa: B023
                 what="the machine is gone")
    assert vm_oci.left() == []


def same_program(pid, program):
    try:
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe")).name == program
    except OSError:
        return False


def started(oci, *command, **process):
    oci.write(*command, **process)
    oci.create(NAME)
    oci("start", NAME)
    return oci.state(NAME)["pid"]


def stopped(oci):
    wait_for(lambda: oci.state(NAME)["status"] == "stopped", timeout=30, what="the end")


def lines_of(oci):
    """What the program wrote; not what create warns of."""
    return harness.without_emulation_warning(oci.output().replace("trivet-oci: warning", "trivet: warning"))


# ---------------------------------------------------------------- asking for one

def kernel_of(oci, *options):
    oci.write("uname", "-r")
    return oci("run", *options, "--bundle", oci.bundle, NAME).stdout.strip()


@pytest.mark.parametrize("annotations", [{"run.oci.handler": "krun"}, {"dev.trivet.isolation": "microvm"}])
def test_an_annotation_asks_for_it(vm_oci, annotations):
    vm_oci.config["annotations"] = {"dev.trivet.experimental": "true", **annotations}
    assert kernel_of(vm_oci) != os.uname().release


def test_an_option_asks_for_it(vm_oci):
    vm_oci.config["annotations"] = {}
    assert kernel_of(vm_oci, "--isolation", "microvm", "--experimental") != os.uname().release
    assert kernel_of(vm_oci) == os.uname().release


def test_the_name_krun_asks_for_it(vm_oci, tmp_path):
    (tmp_path / "krun").symlink_to(vm_oci.program)
    vm_oci.program = tmp_path / "krun"
    vm_oci.config["annotations"] = {"dev.trivet.experimental": "true"}
    assert kernel_of(vm_oci) != os.uname().release


def test_it_has_to_be_allowed(vm_oci):
    del vm_oci.config["annotations"]["dev.trivet.experimental"]
    vm_oci.write("true")
    error = vm_oci.run(code=1).stderr
    hint = error.split("hint: ")[1]
    for way in ("--experimental", "TRIVET_EXPERIMENTAL=1", "dev.trivet.experimental=true", "/etc/trivet/config.yml"):
        assert way in hint
    assert vm_oci.left() == []


@pytest.mark.parametrize("change,words", [
    (lambda config: config["linux"]["namespaces"].remove({"type": "pid"}), ["host's pid namespace"]),
    (lambda config: config["linux"]["namespaces"].remove({"type": "network"}), ["host's network namespace"]),
    (lambda config: config["linux"].update(devices=[{"path": "/dev/fuse", "type": "c", "major": 10,
                                                     "minor": 229}]), ["/dev/fuse"]),
    (lambda config: config["annotations"].update({"dev.trivet.vm.accel": "fast"}), ["fast"]),
])
def test_what_it_can_not_have_is_refused_and_nothing_is_left(vm_oci, change, words):
    change(vm_oci.config)
    vm_oci.write("true")
    error = vm_oci.run(code=1).stderr
    for word in words:
        assert word in error
    assert vm_oci.left() == []


# ---------------------------------------------------------------- life

def test_run_gives_output_and_the_exit_code(vm_oci):
    vm_oci.write("sh", "-c", "echo out; echo err >&2; exit 7")
    done = vm_oci.run(code=7)
    assert done.stdout == "out\n" and done.stderr.endswith("err\n")


def test_create_has_booted_and_start_starts_the_program(vm_oci, tmp_path):
    vm_oci.write("sh", "-c", "echo ran; sleep 100")
    vm_oci.create(NAME)
    state = vm_oci.state(NAME)
    assert state["status"] == "created" and state["bundle"] == str(vm_oci.bundle)
    assert state["rootfs"] == vm_oci.config["root"]["path"]
    assert vm_harness.QEMU in vm_harness.tree_of(state["pid"]).values()
    assert "ran" not in vm_oci.output()
    vm_oci("start", NAME)
    wait_for(lambda: lines_of(vm_oci) == "ran\n", what="the program's output")
    assert vm_oci.state(NAME)["status"] == "running"
    assert "running" in vm_oci("start", NAME, code=1).stderr


def test_state_goes_through_its_life(vm_oci):
    started(vm_oci, "sleep", "100")
    vm_oci("pause", NAME)
    assert vm_oci.state(NAME)["status"] == "paused"
    vm_oci("resume", NAME)
    assert vm_oci.state(NAME)["status"] == "running"
    assert "not stopped: running" in vm_oci("delete", NAME, code=1).stderr
    vm_oci("kill", NAME, "KILL")
    stopped(vm_oci)
    assert vm_oci.state(NAME)["pid"] == 0
    assert "container not running" in vm_oci("kill", NAME, "TERM", code=1).stderr
    vm_oci("delete", NAME)
    assert "does not exist" in vm_oci("state", NAME, code=1).stderr


def test_a_paused_machine_uses_no_time(vm_oci):
    pid = started(vm_oci, "sh", "-c", "while :; do :; done")
    vm_oci("pause", NAME)
    qemu = next(found for found, name in vm_harness.tree_of(pid).items() if name == vm_harness.QEMU)

    def ticks():
        fields = pathlib.Path(f"/proc/{qemu}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = wait_for(lambda: (lambda first: first if ticks() == first else 0)(ticks()))
    for _ in range(20):
        subprocess.run(["sleep", "0.1"], check=True)
    assert ticks() - before <= 2
    vm_oci("resume", NAME)
    wait_for(lambda: ticks() > before + 2, what="it runs again")


def test_delete_of_a_created_one_and_delete_force_of_a_running_one(vm_oci):
    vm_oci.write("sleep", "100")
    vm_oci.create(NAME)
    tree = vm_harness.tree_of(vm_oci.state(NAME)["pid"])
    vm_oci("delete", NAME)
    wait_for(lambda: not any(same_program(*row) for row in tree.items()), what="the machine is gone")
    tree = vm_harness.tree_of(started(vm_oci, "sleep", "100"))
    assert vm_harness.QEMU in tree.values()
    vm_oci("delete", "--force", NAME)
    wait_for(lambda: not any(same_program(*row) for row in tree.items()), what="the machine is gone")
    assert vm_oci.left() == []


@pytest.mark.parametrize("name", ["TERM", "USR1", "HUP", "INT", "WINCH"])
def test_signals_reach_the_program(vm_oci, name):
    number = getattr(signal, f"SIG{name}").value
    started(vm_oci, "sh", "-c", f"trap 'echo got; exit {number}' {name}; echo ready; "
            "while :; do sleep 0.1; done")
    wait_for(lambda: "ready\n" in vm_oci.output(), what="the trap is set")
    vm_oci("kill", NAME, name)
    wait_for(lambda: "got\n" in vm_oci.output(), what="the signal is there")
    stopped(vm_oci)


def test_run_forwards_signals(vm_oci):
    vm_oci.write("sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    child = subprocess.Popen([vm_oci.program, "--root", vm_oci.root, "run", "--bundle", vm_oci.bundle, NAME],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "got\n"
    assert child.wait(timeout=20 * SLOW) == 3
    child.stdout.close()


def test_the_pid_file_names_the_vmm(vm_oci):
    vm_oci.write("sleep", "100")
    with (vm_oci.base / "out").open("ab") as out:
        subprocess.run([vm_oci.program, "--root", vm_oci.root, "create", "--bundle", vm_oci.bundle,
                        "--pid-file", vm_oci.base / "pid", NAME], stdout=out, stderr=out, check=True)
    assert (vm_oci.base / "pid").read_text() == str(vm_oci.state(NAME)["pid"])


@pytest.mark.parametrize("program,text", [
    ("/no/such/file", "no such file or directory"), ("/etc", "is a directory"), ("no-such", "not found")])
def test_unusable_programs_are_found_out_at_create(vm_oci, program, text):
    vm_oci.write(program)
    assert text in vm_oci("create", "--bundle", vm_oci.bundle, NAME, code=1).stderr
    assert vm_oci.left() == []


# ---------------------------------------------------------------- exec, terminals

def test_exec_has_codes_streams_and_process_settings(vm_oci):
    started(vm_oci, "sleep", "100")
    assert vm_oci("exec", NAME, "sh", "-c", "exit 9", code=9).returncode == 9
    done = vm_oci("exec", NAME, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert vm_oci("exec", "--env", "X=y", "--cwd", "/tmp", NAME, "sh", "-c", "echo $X $PWD").stdout == \
        "y /tmp\n"
    assert vm_oci("exec", "--user", "12:34", NAME, "id", "-u").stdout == "12\n"
    killed = vm_oci("exec", NAME, "sh", "-c", "kill -9 $$; sleep 5", code=137)
    assert killed.stdout == ""
    assert "sleep 100" in vm_oci("exec", NAME, "ps").stdout


@pytest.mark.parametrize("program", ["no-such-program", "/etc/no-such-file", "/etc/passwd"])
def test_exec_of_an_unusable_program_fails_as_natively(vm_oci, program):
    """The error is the runtime's own and in its format; no pid file is written."""
    def failed():
        done = vm_oci("exec", "--pid-file", vm_oci.base / "pid", NAME, program, code=255)
        assert not (vm_oci.base / "pid").exists()
        return done.stdout, done.stderr

    started(vm_oci, "sleep", "100")
    virtual = failed()
    vm_oci("delete", "--force", NAME)
    del vm_oci.config["annotations"]
    started(vm_oci, "sleep", "100")
    assert virtual == failed()
    assert virtual[0] == "" and virtual[1].startswith("trivet-oci: ") and program in virtual[1]


def test_exec_takes_a_process_file(vm_oci):
    started(vm_oci, "sleep", "100")
    process = {**vm_oci.config["process"], "args": ["sh", "-c", "echo $A; id -u; pwd"], "env": ["A=b",
               "PATH=/bin"], "cwd": "/tmp", "user": {"uid": 5, "gid": 6}}
    (vm_oci.base / "process.json").write_text(json.dumps(process))
    done = vm_oci("exec", "--process", vm_oci.base / "process.json", NAME)
    assert done.stdout == "b\n5\n/tmp\n"


def test_the_terminal_goes_to_the_console_socket(vm_oci):
    vm_oci.write("sh", "-c", "tty; stty size; echo $((6*7)); read line; echo got $line", terminal=True,
                 consoleSize={"height": 33, "width": 77})
    path = str(vm_oci.base / "console.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        subprocess.run([vm_oci.program, "--root", vm_oci.root, "create", "--bundle", vm_oci.bundle,
                        "--console-socket", path, NAME], check=True, stderr=subprocess.DEVNULL)
        peer, _ = listener.accept()
    with peer:
        _, fds, _, _ = socket.recv_fds(peer, 100, 1)
    vm_oci("start", NAME)
    text = b""
    while b"got typed" not in text:
        try:
            chunk = os.read(fds[0], 1000)
        except OSError:
            break
        if b"42" in chunk:
            os.write(fds[0], b"typed\n")
        text += chunk
    os.close(fds[0])
    assert b"/dev/" in text and b"33 77" in text and b"42" in text and b"got typed" in text
    stopped(vm_oci)


def test_no_descriptor_leaks_to_the_machine(vm_oci):
    vm_oci.write("sh", "-c", "ls -l /proc/self/fd | grep -c -- '->'")
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    done = subprocess.run([vm_oci.program, "--root", vm_oci.root, "run", "--bundle", vm_oci.bundle, NAME],
                          pass_fds=[write_end], capture_output=True, text=True, check=True)
    os.close(write_end)
    assert os.read(read_end, 1) == b""  # nobody has the other end any more
    os.close(read_end)
    assert done.stdout.strip() == "3"


def test_hooks_run_on_the_host_and_start_container_hooks_in_the_guest(vm_oci):
    log = vm_oci.base / "hooks"
    vm_oci.config["hooks"] = {
        name: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {name} $(uname -r) >> {log}"]}]
        for name in ("prestart", "createRuntime", "poststart", "poststop")}
    vm_oci.write("true")
    vm_oci.run()
    rows = [line.split() for line in log.read_text().splitlines()]
    assert [row[0] for row in rows] == ["prestart", "createRuntime", "poststart", "poststop"]
    assert {row[1] for row in rows} == {os.uname().release}
