"""trivet-vmm in a shell, as the engine sees it: create, start, exit codes, stdio, signals, exec, ends."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import fcntl
import time

import pytest

from shell import GO, KEEP, PAYLOAD_FAILED, READY, receive


def finish(machine, text: bytes | None = None, timeout: float = 60) -> tuple[int, bytes, bytes]:
    machine.start()
    out, err = machine.process.communicate(text, timeout=timeout)
    return machine.process.returncode, out, err


# ---- the life of a container


def test_output_and_exit_code_are_those_of_the_program(start_vm):
    machine = start_vm("sh", "-c", "hostname; echo to stderr >&2; exit 7")
    assert finish(machine) == (7, b"box\n", b"to stderr\n")
    report = machine.read_report()
    assert report["boot_us"] > 0 and report["create_us"] > 0 and not report["lost"]
    assert report["kernel"].startswith("6.")


def test_stdin_goes_to_the_program_to_its_end(start_vm):
    data = os.urandom(3 << 20)
    machine = start_vm("sh", "-c", "sha256sum; cat /dev/null", stdin=subprocess.PIPE)
    code, out, _ = finish(machine, data)
    assert code == 0 and out.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_output_waits_for_a_slow_reader_and_is_complete(start_vm):
    machine = start_vm("sh", "-c", "head -c 3000000 /dev/zero; echo end >&2; exit 3")
    machine.start()
    time.sleep(2)
    out, err = machine.process.communicate(timeout=60)
    assert (machine.process.returncode, len(out), err) == (3, 3000000, b"end\n")


def test_a_file_as_stdio(start_vm, tmp_path):
    (tmp_path / "in").write_bytes(b"x" * 500000)
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as target:
        target.write(b"before\n")
        target.flush()
        machine = start_vm("sh", "-c", "wc -c; echo err >&2", stdin=source, stdout=target, stderr=subprocess.STDOUT)
        assert finish(machine)[0] == 0
    assert (tmp_path / "out").read_text().split() == ["before", "500000", "err"]


def test_a_program_that_is_not_there_is_an_error_of_create_or_start(start_vm):
    machine = start_vm("nope", wait=False)
    kind, words = machine.receive()
    if kind == READY:
        machine.send(GO)
        kind, words = machine.receive()
    assert kind == PAYLOAD_FAILED
    error = json.loads(words)
    assert error["code"] == "command-not-found" and "executable file not found" in error["message"]
    assert machine.wait(10) == 1


def test_another_process_starts_what_its_creator_keeps(start_vm):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0trivet-vmm-test-{os.getpid()}")
    listener.listen(8)
    machine = start_vm("sh", "-c", "echo started", job={"listener": listener.fileno()}, fds=(listener.fileno(),))
    address = listener.getsockname()
    listener.close()
    machine.send(KEEP)
    time.sleep(0.2)
    machine.sync.close()

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(address)
        return connection

    connect().close()  # only asks whether it waits
    starter = connect()
    machine.send(GO, starter)
    assert starter.recv(20) == b""
    with pytest.raises(ConnectionRefusedError):
        connect()
    out, _ = machine.process.communicate(timeout=30)
    assert (machine.process.returncode, out) == (0, b"started\n")


def test_a_creator_that_goes_takes_the_machine_along(start_vm):
    machine = start_vm("sleep", "1000")
    machine.sync.close()
    assert machine.wait(10) == 1


def test_signals_reach_the_program(start_vm):
    machine = start_vm("sh", "-c", "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo up; "
                                   "while :; do sleep 0.1; done")
    machine.start()
    assert machine.process.stdout.readline() == b"up\n"
    os.kill(machine.init, signal.SIGUSR1)
    assert machine.process.stdout.readline() == b"usr1\n"
    os.kill(machine.init, signal.SIGTERM)
    assert machine.process.stdout.readline() == b"term\n"
    assert machine.wait(30) == 9


def test_sigkill_ends_everything(start_vm):
    machine = start_vm("sleep", "1000")
    machine.start()
    os.kill(machine.init, signal.SIGKILL)
    assert machine.wait(10) == 128 + signal.SIGKILL


# ---- exec


def qemu_of(machine) -> int:
    return int(open(f"/proc/{machine.init}/task/{machine.init}/children").read().split()[0])


def test_exec(sleeper):
    assert sleeper.exec("sh", "-c", "cat; echo e >&2; exit 4", input=b"in") == (4, b"in", b"e\n")


def test_exec_many_at_once(sleeper):
    processes = [sleeper.exec_process("sh", "-c", f"sleep 0.{n}; echo {n}; exit {n}") for n in range(8)]
    for number, process in enumerate(processes):
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (number, f"{number}\n".encode())


def test_exec_of_a_program_that_is_not_there(sleeper):
    error = sleeper.failed_exec("nope")
    assert error["code"] == "command-not-found" and "executable file not found" in error["message"]


def test_exec_after_the_end_of_the_program_says_so(start_vm):
    """The machine has gone, but trivet-vmm still has output that nobody has read."""
    machine = start_vm("sh", "-c", "head -c 200000 /dev/zero")
    qemu = qemu_of(machine)
    machine.start()
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{qemu}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert machine.process.poll() is None
    error = machine.failed_exec("true")
    assert (error["code"], error["message"]) == ("wrong-state", "container not running: it is stopped")
    assert len(machine.process.stdout.read()) == 200000
    assert machine.wait() == 0


def test_exec_moves_much_data_both_ways(sleeper):
    data = os.urandom(5 << 20)
    code, out, _ = sleeper.exec("cat", input=data)
    assert code == 0 and hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_a_pipe_that_nobody_reads_ends_the_writer(sleeper):
    process = sleeper.exec_process("yes")
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(30) == 128 + signal.SIGPIPE


def test_the_signal_of_an_exec_reaches_its_program(sleeper):
    process = sleeper.exec_process("sh", "-c", "trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done")
    assert process.stdout.readline() == b"up\n"
    for child in open(f"/proc/{process.pid}/task/{process.pid}/children").read().split():
        os.kill(int(child), signal.SIGTERM)
    assert process.wait(20) == 8


def test_a_proxy_that_is_killed_takes_its_program_along(sleeper):
    process = sleeper.exec_process("sh", "-c", "echo up; exec sleep 4321")
    assert process.stdout.readline() == b"up\n"
    for child in open(f"/proc/{process.pid}/task/{process.pid}/children").read().split():
        os.kill(int(child), signal.SIGKILL)
    process.wait(10)
    deadline = time.monotonic() + 20
    while b"sleep 4321" in sleeper.exec("ps")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


# ---- terminals


class Terminal:
    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.text = b""

    def resize(self, rows: int, columns: int):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: bytes, timeout: float = 30):
        deadline = time.monotonic() + timeout
        while text not in self.text:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], self.text
            self.text += os.read(self.master, 4096)

    def control(self):
        """What the stage does: the terminal becomes the controlling one of the session."""
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_exec_with_a_terminal(sleeper):
    terminal = Terminal()
    terminal.resize(33, 77)
    process = sleeper.exec_process("sh", terminal=True, stdin=terminal.slave, stdout=terminal.slave,
                                   stderr=terminal.slave, preexec_fn=terminal.control)
    os.close(terminal.slave)
    terminal.wait_for(b"# ")
    os.write(terminal.master, b"stty size; echo a''b\r")
    terminal.wait_for(b"33 77\r\nab\r\n")
    terminal.resize(20, 50)
    time.sleep(0.5)
    os.write(terminal.master, b"stty size\r")
    terminal.wait_for(b"20 50\r\n")
    os.write(terminal.master, b"sleep 100\r")
    time.sleep(0.5)
    os.write(terminal.master, b"\x03")
    os.write(terminal.master, b"exit 6\r")
    assert process.wait(20) == 6


def test_a_container_with_a_terminal(start_vm):
    terminal = Terminal()
    terminal.resize(24, 80)
    machine = start_vm("sh", "-c", "stty size; tty; read line; echo got $line; exit 5", terminal=True,
                       stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave)
    machine.start()
    terminal.wait_for(b"24 80\r\n")
    terminal.wait_for(b"/dev/pts/0\r\n")
    os.write(terminal.master, b"word\r")
    terminal.wait_for(b"got word\r\n")
    assert machine.wait(30) == 5


# ---- ends that are none of the program's


def test_a_panic_of_the_guest_is_told(start_vm):
    machine = start_vm("sh", "-c", "echo up; echo c > /proc/sysrq-trigger; sleep 100")
    code, out, err = finish(machine)
    assert (code, out) == (134, b"up\n")
    assert b"the virtual machine ended unexpectedly: the guest's kernel panicked: sysrq triggered crash" in err
    assert machine.read_report()["lost"] == 1


def test_the_end_of_qemu_is_told(start_vm):
    machine = start_vm("sh", "-c", "echo up; sleep 1000")
    machine.start()
    assert machine.process.stdout.readline() == b"up\n"
    children = open(f"/proc/{machine.init}/task/{machine.init}/children").read().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    _, err = machine.process.communicate(timeout=10)
    assert machine.process.returncode == 134
    assert b"the virtual machine ended unexpectedly: QEMU was ended by SIGKILL" in err


def test_a_machine_that_does_not_boot_is_told(start_vm):
    machine = start_vm("true", job={"bootTimeoutMs": 50}, wait=False)
    kind, words = machine.receive()
    assert kind == PAYLOAD_FAILED and json.loads(words)["code"] == "timeout"


def test_qemu_that_refuses_its_arguments_is_told(start_vm):
    machine = start_vm("true", job={"vcpus": 100000}, wait=False)
    kind, words = machine.receive()
    assert kind == PAYLOAD_FAILED and "QEMU ended with exit code 1" in words and "smp" in words.lower()


# ---- confinement


def status_of(pid: int) -> dict[str, str]:
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_what_runs_has_no_rights(sleeper):
    qemu = qemu_of(sleeper)
    for pid, uid in ((sleeper.init, "0"), (qemu, "65534")):
        status = status_of(pid)
        assert status["CapEff"] == status["CapPrm"] == "0" * 16
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status["Uid"].split() == [uid] * 4
    assert status_of(qemu)["Groups"] == ""
    fds = {os.readlink(f"/proc/{qemu}/fd/{fd}") for fd in os.listdir(f"/proc/{qemu}/fd")}
    assert not [fd for fd in fds if "SEQPACKET" in fd or "report" in fd]


# ---- clients of the control socket


def test_a_client_that_keeps_no_rules_is_cut_off(sleeper):
    header = struct.Struct("<IIB3x")
    for frame in (header.pack(0, 1, ord("S")), header.pack(0, 2, ord("?")), b"\xff" * 64,
                  header.pack(4, 1, ord("s")) + b"\x09\0\0\0", header.pack(100 << 20, 2, ord("Q"))):
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"/proc/{sleeper.init}/root/run/vmm/control.sock")
        client.send(frame)
        client.settimeout(10)
        assert client.recv(100) == b""
    assert sleeper.exec("true")[0] == 0


# ---- templates


@pytest.fixture(scope="module")
def make_template(start_vm, tmp_path_factory):
    """make_template(**job): descriptors of the memory and the state of a machine that was saved; read-only."""
    def make(fds: tuple[int, ...] = (), **job) -> dict:
        work = tmp_path_factory.mktemp("template")
        paths = [work / "memory", work / "state"]
        paths[0].write_bytes(b"")
        os.truncate(paths[0], 256 << 20)
        paths[1].write_bytes(b"")
        for path in paths:
            path.chmod(0o600)
        blanks = []
        for name, size in (("lower", 1 << 40), ("scratch", 32 << 20)):
            (work / name).write_bytes(b"")
            os.truncate(work / name, size)
            blanks.append((work / name, name == "lower"))
        opened = [os.open(path, os.O_RDWR) for path in paths]
        machine = start_vm("true", job={"mode": "makeTemplate", "sync": -1, "saved": dict(zip(("memory", "state"), opened)),
                                     **job}, fds=(*opened, *fds), disks=blanks, wait=False)
        _, err = machine.process.communicate(timeout=90)
        assert machine.process.returncode == 0, err
        for fd in opened:
            os.close(fd)
        return dict(zip(("memory", "state"), (os.open(path, os.O_RDONLY) for path in paths)))

    return make


@pytest.fixture(scope="module")
def template(make_template):
    return make_template()


def test_a_machine_out_of_a_template_is_like_any_other(start_vm, template):
    first, second = (start_vm("sh", "-c", "hostname; date +%s; cat /proc/sys/kernel/random/uuid; echo x > /file; df -k / "
                                          "| tail -n 1; read line; exit 5", job={"saved": template},
                              fds=tuple(template.values()), stdin=subprocess.PIPE) for _ in range(2))
    uuids = set()
    for machine in (first, second):
        code, out, err = finish(machine, b"\n")
        lines = out.decode().split("\n")
        assert (code, lines[0]) == (5, "box"), err
        assert abs(int(lines[1]) - time.time()) < 60
        uuids.add(lines[2])
        # The size of the scratch disk is that of this machine's: 64 MiB, not the template's 32.
        assert int(lines[3].split()[1]) > 40000
        report = machine.read_report()
        assert report["from_template"] == 1 and report["boot_us"] > 0
    assert len(uuids) == 2


def test_what_a_template_is_stays_as_it_was(start_vm, template):
    before = hashlib.sha256(os.pread(template["memory"], 256 << 20, 0)).hexdigest()
    machine = start_vm("sh", "-c", "head -c 30000000 /dev/urandom > /tmp/x; sleep 1000", job={"saved": template},
                       fds=tuple(template.values()))
    machine.start()
    qemu = int(open(f"/proc/{machine.init}/task/{machine.init}/children").read().split()[0])
    for fd in os.listdir(f"/proc/{qemu}/fd"):
        if os.readlink(f"/proc/{qemu}/fd/{fd}").endswith("/memory"):
            flags = open(f"/proc/{qemu}/fdinfo/{fd}").read()
            assert int(flags.split("flags:")[1].split()[0], 8) & os.O_ACCMODE == os.O_RDONLY
    machine.kill()
    assert hashlib.sha256(os.pread(template["memory"], 256 << 20, 0)).hexdigest() == before


def test_a_template_that_does_not_fit_is_told_by_its_code(start_vm, template):
    for job in ({"disks": []}, {"memoryMib": 128}, {"saved": {**template, "state": template["memory"]}}):
        machine = start_vm("true", job={"saved": template, **job}, fds=tuple(template.values()), wait=False)
        kind, words = machine.receive()
        assert kind == PAYLOAD_FAILED
        error = json.loads(words)
        assert error["code"] == "corrupt" and "template" in error["message"]
        assert machine.wait(10) == 1


# ---- networks


NETWORK = r"""
mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
ip link add eth0 address 02:11:22:33:44:55 type veth peer name peer
ip link set eth0 mtu 1400
ip addr add 10.9.0.2/24 dev eth0
ip -6 addr add fd00:9::2/64 dev eth0 nodad
ip link set eth0 up
"""


# The other end of the veth pair, in a namespace of its own, with a server.
OUTSIDE = r"""
unshare -n sleep 1000 & outside=$!
sleep 0.3
ip link set peer netns $outside
nsenter -t $outside -n sh -c 'ip link set lo up; ip addr add 10.9.0.1/24 dev peer; ip -6 addr add fd00:9::1/64 dev peer nodad; ip link set peer up; ip link set peer mtu 1400; (while :; do echo pong | busybox nc -l -p 7777; done) > /dev/null 2>&1 &' 
ip route add default via 10.9.0.1
ip -6 route add default via fd00:9::1
"""


def test_a_tap_takes_over_the_interface(start_vm):
    machine = start_vm("sh", "-c", "ip -o addr show dev eth0; ip link show dev eth0; ip route; "
                                   "for address in 10.9.0.1 fd00:9::1; do nc $address 7777 > /out & "
                                   "until grep pong /out; do sleep 0.1; done; done",
                       job={"network": {"kind": "tap", "fd": -1}}, prepare=NETWORK + OUTSIDE)
    code, out, err = finish(machine)
    text = out.decode()
    assert code == 0, (text, err)
    for word in ("10.9.0.2/24", "fd00:9::2/64", "mtu 1400", "02:11:22:33:44:55", "default via 10.9.0.1", "pong"):
        assert word in text, (word, text)


@pytest.mark.parametrize("kind", ["stream", "tap"])
def test_a_template_gets_the_interface_of_the_namespace(start_vm, make_template, kind):
    ours, theirs = socket.socketpair()
    fd = ours.fileno() if kind == "stream" else -1
    template = make_template(network={"kind": "tap", "fd": fd}, fds=(ours.fileno(),))
    script = ("ip -o addr show dev eth0; cat /sys/class/net/eth0/address; nc 10.9.0.1 7777 > /out & "
              "until grep pong /out; do sleep 0.1; done")
    machine = start_vm("sh", "-c", script.replace("cat /sys/class/net/eth0/address", "ip link show dev eth0"),
                       job={"network": {"kind": "tap", "fd": -1}, "saved": template},
                       fds=tuple(template.values()), prepare=NETWORK + OUTSIDE)
    code, out, err = finish(machine)
    assert code == 0 and b"10.9.0.2/24" in out and b"02:11:22:33:44:55" in out, (out, err)
    assert theirs


def test_without_an_interface_a_tap_network_is_none(start_vm):
    machine = start_vm("ip", "-o", "link", job={"network": {"kind": "tap", "fd": -1}})
    code, out, _ = finish(machine)
    assert code == 0 and b"eth0" not in out


def test_passt(start_vm, tmp_path):
    ours, theirs = socket.socketpair()
    server = socket.create_server(("127.0.0.1", 0))
    passt = subprocess.Popen(["passt", "-f", "-q", "-F", str(theirs.fileno()), "-a", "10.0.2.15", "-n", "24", "-g",
                              "10.0.2.2", "-m", "65520", "-t", "none", "-u", "none"], pass_fds=[theirs.fileno()],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    theirs.close()
    interfaces = [{"name": "eth0", "mtu": 65520, "addresses": ["10.0.2.15/24"],
                   "routes": [{"destination": "0.0.0.0/0", "gateway": "10.0.2.2"}]}]
    machine = start_vm("sh", "-c", f"nc 10.0.2.2 {server.getsockname()[1]} > /out & "
                                   "until grep . /out; do sleep 0.1; done",
                       job={"network": {"kind": "passt", "fd": ours.fileno()}},
                       create={"interfaces": interfaces}, fds=(ours.fileno(),))
    ours.close()
    machine.start()
    server.settimeout(30)
    connection, _ = server.accept()
    connection.sendall(b"hello from outside\n")
    connection.close()
    out, _ = machine.process.communicate(timeout=30)
    assert (machine.process.returncode, out) == (0, b"hello from outside\n")
    assert passt.wait(10) == 0


# ---- what the guest gets from the host


def test_a_shared_directory(start_vm, tmp_path, images):
    share = tmp_path / "share"
    subprocess.run(["cp", "-a", images / "root", tmp_path / "root"], check=True)
    (share / "root").mkdir(parents=True)
    (share / "data").mkdir()
    subprocess.run(["cp", "-a", *(images / "root").iterdir(), share / "root"], check=True)
    from shell import container
    config = container("sh", "-c", "echo from the guest > /data/file; chown 1000:1000 /data/file; mkfifo /data/fifo; "
                                   "cat /data/in; ls -la /data", root="/run/trivet/share/root")
    config["mounts"].append({"destination": "/data", "type": "bind", "source": "/run/trivet/share/data",
                             "options": ["bind", "rw"]})
    (share / "data/in").write_text("from the host\n")
    machine = start_vm(config=config, disks=[], job={"share": True}, create={"share": True}, share=share)
    code, out, err = finish(machine)
    assert code == 0 and b"from the host\n" in out, (out, err, machine.console.read_text()[-3000:])
    assert (share / "data/file").read_text() == "from the guest\n"
    assert (share / "data/file").stat().st_uid == 1000
