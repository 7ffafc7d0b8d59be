"""trivet-vminit in a virtual machine, driven through the agent protocol."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import time

import pytest

from agent import WINDOW, Failed, Monitor

CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]


def config(*args: str, terminal: bool = False, **process) -> dict:
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(args), "cwd": "/", "env": ["PATH=/bin"], "terminal": terminal,
                    "user": {"uid": 0, "gid": 0},
                    "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
                    **process},
        "root": {"path": "/run/trivet/share"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/etc/resolv.conf", "type": "bind", "source": "/run/trivet/files/resolv.conf",
             "options": ["bind", "ro"]}],
        "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "cgroup")],
                  "resources": {"memory": {"limit": 64 << 20}, "pids": {"limit": 64}}},
    }


RESOLV = {"name": "resolv.conf", "mode": 0o644, "content": b"nameserver 10.0.2.3\n"}


def create(machine, *args: str, **options):
    document = config(*args, **options.pop("process", {}))
    options.setdefault("files", [dict(RESOLV)])
    return machine.agent.create(config=document, lower_device="vda", scratch_device="vdb", **options)


def run(machine, *args: str, **options):
    session = create(machine, *args, **options)
    session.send("S")
    session.wait_done()
    return session


@pytest.fixture(scope="module")
def machine(boot):
    """A machine whose container sleeps: the tests enter it."""
    machine = boot()
    run(machine, "sh", "-c", "echo up; exec sleep 1000", hostname="box").wait_output(b"up")
    return machine


def output(machine, command: str, **process) -> str:
    session = machine.agent.exec("sh", "-c", command, **process)
    assert session.wait_exit() == 0, session.stderr
    return session.stdout.decode()


def test_a_program_runs_and_its_exit_code_comes_back(boot):
    machine = boot()
    session = run(machine, "sh", "-c", "echo out; echo err >&2; cat; exit 7")
    session.write(b"typed")
    session.end_input()
    assert session.wait_exit() == 7
    assert (session.stdout, session.stderr) == (b"out\ntyped", b"err\n")
    assert session.exit == (7, False)
    assert machine.agent.request("shutdown") == {}
    assert machine.wait_off() == 0
    # Everything was written back: the image is clean without its journal's being replayed.
    state = subprocess.run(["dumpe2fs", "-h", machine.scratch], capture_output=True, text=True, check=True)
    assert "needs_recovery" not in state.stdout


def test_a_missing_program_is_command_not_found(boot):
    machine = boot()
    with pytest.raises(Failed) as error:
        create(machine, "/nowhere")
    assert error.value.code == "command-not-found"
    assert "/nowhere" in str(error.value)
    assert machine.agent.request("shutdown") == {}
    assert machine.wait_off() == 0


def test_a_terminal(boot):
    machine = boot()
    session = create(machine, "sh", "-c", "stty size; cat", process={"terminal": True})
    session.resize(40, 123)
    session.send("S")
    session.wait_done()
    session.wait_output(b"40 123\r\n")
    session.write(b"hello\n")
    session.wait_output(b"hello\r\nhello\r\n")
    session.write(b"\x04")
    assert session.wait_exit() == 0
    assert session.stderr == b""


def test_one_that_takes_too_much_memory_is_killed(boot):
    machine = boot()
    session = run(machine, "sh", "-c", "exec tail -c 200m /dev/zero")
    assert session.wait_exit(60) == 137
    assert session.exit == (137, True)


def test_what_exec_sees(machine):
    assert output(machine, "hostname") == "box\n"
    assert output(machine, "cat /etc/resolv.conf") == "nameserver 10.0.2.3\n"
    assert output(machine, "echo $HOME; id -u", user={"uid": 1000, "gid": 1000}) == "/home/user\n1000\n"
    assert output(machine, "stat -c %a /") == "751\n"
    assert "sleep 1000" in output(machine, "ps")


def test_the_clock_is_the_hosts(machine):
    assert abs(int(output(machine, "date +%s")) - time.time()) < 5
    assert machine.agent.request("set-time", unix_ns=2_000_000_000 * 10**9) == {}
    assert 0 <= int(output(machine, "date +%s")) - 2_000_000_000 < 30
    machine.agent.wake()  # again and again
    assert abs(int(output(machine, "date +%s")) - time.time()) < 5


def test_exec_errors(machine):
    with pytest.raises(Failed) as error:
        machine.agent.exec("nothing-of-that-name")
    assert error.value.code == "command-not-found"
    with pytest.raises(Failed) as error:
        machine.agent.exec("/etc/passwd")
    assert error.value.code == "command-not-executable"


def test_an_exec_has_its_own_exit_code_and_signals(machine):
    assert machine.agent.exec("sh", "-c", "exit 42").wait_exit() == 42
    session = machine.agent.exec("sleep", "100")
    session.signal(signal.SIGTERM)
    assert session.wait_exit() == 143
    session = machine.agent.exec("sh", "-c", "trap 'echo got; exit 5' USR1; echo on; sleep 100 & wait")
    session.wait_output(b"on")
    session.signal(signal.SIGUSR1)
    assert session.wait_exit() == 5
    assert b"got" in session.stdout


def test_an_abandoned_exec_ends(machine):
    session = machine.agent.exec("sleep", "100")
    session.send("q")
    assert session.wait_exit() == 137


def test_a_detached_exec_has_no_streams(machine):
    session = machine.agent.exec("sh", "-c", "echo lost; cat; exit 3", detach=True)
    assert session.wait_exit() == 3
    assert session.stdout == b""


def test_an_exec_with_a_terminal(machine):
    session = machine.agent.exec("sh", "-c", "sleep 0.3; stty size; cat", terminal=True)
    session.resize(11, 22)
    session.wait_output(b"11 22\r\n")
    session.write(b"\x03")
    assert session.wait_exit() == 130


def test_much_output_and_much_input(machine):
    data = bytes(range(256)) * 8192  # 2 MiB, eight windows
    session = machine.agent.exec("sh", "-c", "cat; echo end >&2")
    session.write(data)
    session.end_input()
    assert session.wait_exit(60) == 0
    assert hashlib.sha256(session.stdout).digest() == hashlib.sha256(data).digest()
    assert session.stderr == b"end\n"


def test_output_stops_at_the_window_and_everything_else_goes_on(machine):
    session = machine.agent.exec("sh", "-c", "dd if=/dev/zero bs=64k count=16 2>/dev/null; echo done >&2")
    session.auto_credit = False
    machine.agent.wait(lambda: len(session.stdout) == WINDOW)
    for _ in range(3):
        assert machine.agent.request("ping") == {}
    time.sleep(0.3)
    machine.agent.request("ping")
    assert len(session.stdout) == WINDOW
    assert output(machine, "echo others") == "others\n"
    session.auto_credit = True
    session.credit("o", WINDOW)
    assert session.wait_exit() == 0
    assert len(session.stdout) == 1 << 20


def test_input_that_nobody_reads_is_credited_in_the_end(machine):
    session = machine.agent.exec("sleep", "1")
    session.write(b"x" * WINDOW)
    assert session.wait_exit() == 0
    assert session.input_window == WINDOW


def test_a_process_left_behind_does_not_keep_an_exec_open(machine):
    begun = time.monotonic()
    session = machine.agent.exec("sh", "-c", "sleep 30 & echo started")
    assert session.wait_exit() == 0
    assert session.stdout == b"started\n"
    assert time.monotonic() - begun < 15


def test_many_execs_at_once(machine):
    sessions = [machine.agent.open("E", {"process": json.dumps(
        {"args": ["sh", "-c", f"echo {number}; exit {number}"], "cwd": "/", "env": ["PATH=/bin"],
         "user": {"uid": 0, "gid": 0}})}) for number in range(20)]
    assert [session.wait_exit() for session in sessions] == list(range(20))
    assert [session.stdout for session in sessions] == [f"{number}\n".encode() for number in range(20)]


def test_statistics(machine):
    stats = machine.agent.request("stats")
    assert stats["pids"] >= 1 and stats["pids_limit"] == 64
    assert stats["memory_limit"] == 64 << 20
    assert 0 < stats["memory_usage"] < 64 << 20
    assert 100 << 20 < stats["memory_total"] < 256 << 20
    assert stats["cpu_usage_ns"] > 0


def test_processes(machine):
    session = machine.agent.exec("sleep", "77", user={"uid": 1000, "gid": 1000})
    rows = machine.agent.request("processes")["processes"]
    assert {(row["uid"], row["command"]) for row in rows} >= {(0, "sleep 1000"), (1000, "sleep 77")}
    session.signal(signal.SIGKILL)
    assert session.wait_exit() == 137


def test_a_frozen_container_stands_still(machine):
    session = machine.agent.exec("sh", "-c", "while :; do echo x; sleep 0.05; done")
    session.wait_output(b"x\nx\n")
    machine.agent.request("freeze")
    machine.agent.request("ping")
    before = len(session.stdout)
    time.sleep(0.5)
    machine.agent.request("ping")
    assert len(session.stdout) == before
    with pytest.raises(Failed) as error:
        machine.agent.exec("true")
    assert error.value.code == "wrong-state"
    machine.agent.request("thaw")
    machine.agent.wait(lambda: len(session.stdout) > before)
    session.signal(signal.SIGKILL)
    assert session.wait_exit() == 137


def test_limits_are_changed(machine):
    machine.agent.request("update", resources=json.dumps({"pids": {"limit": 33},
                                                          "memory": {"limit": 80 << 20}}))
    stats = machine.agent.request("stats")
    assert (stats["pids_limit"], stats["memory_limit"]) == (33, 80 << 20)


def test_unknown_operations_are_refused(machine):
    with pytest.raises(Failed) as error:
        machine.agent.request("dance")
    assert error.value.code == "unsupported"


def test_orphans_are_reaped(boot):
    machine = boot()
    document = config("sh", "-c", "(sleep 0.1 &); sleep 1; ps -o pid,stat,comm")
    document["linux"]["namespaces"] = [{"type": name} for name in ("mount", "ipc", "uts")]
    session = machine.agent.create(config=document, lower_device="vda", scratch_device="vdb",
                                   files=[dict(RESOLV)])
    session.send("S")
    session.wait_done()
    assert session.wait_exit() == 0
    assert b"init" in session.stdout and b" Z " not in session.stdout


def tar_of(*members: tuple[str, bytes | None], **attributes) -> bytes:
    """A pax stream: files, and directories where there is no content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode = 0o750
            info.mtime = 1_600_000_000
            info.size = len(content or b"")
            for key, value in attributes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def copy_in(machine, stream: bytes, path: str, source: str = ""):
    session = machine.agent.open("I", {"path": path, "source": source})
    session.write(stream)
    if not session.error:
        session.end_input()
    session.wait_done()


def copy_out(machine, path: str) -> tarfile.TarFile:
    session = machine.agent.open("U", {"path": path})
    assert session.wait_exit() == 0
    return tarfile.open(fileobj=io.BytesIO(session.stdout))


def test_copy_out(machine):
    tar = copy_out(machine, "/etc/deep")
    assert tar.getnames() == ["deep", "deep/er", "deep/er/file", "deep/link"]
    assert tar.extractfile("deep/er/file").read() == b"deep\n"
    assert tar.getmember("deep/link").linkname == "er/file"
    assert copy_out(machine, "/etc/deep/.").getnames()[:2] == [".", "./er"]
    assert b"Linux" in copy_out(machine, "/proc/version").extractfile("version").read()
    output(machine, "dd if=/dev/zero of=/tmp/large bs=64k count=48 2>/dev/null")
    assert copy_out(machine, "/tmp/large").getmember("large").size == 3 << 20
    with pytest.raises(Failed) as error:
        copy_out(machine, "/nowhere")
    assert error.value.code == "not-found"


def test_copy_in(machine):
    tree = tar_of(("tree", None), ("tree/file", b"content"), uid=1000, gid=1000)
    copy_in(machine, tree, "/tmp", "/home/me/tree")
    assert output(machine, "cat /tmp/tree/file; stat -c '%u %a %Y' /tmp/tree/file /tmp/tree") == \
        "content0 750 1600000000\n0 750 1600000000\n"
    copy_in(machine, tree, "/tmp/renamed", "/home/me/tree")
    copy_in(machine, tree, "/tmp/renamed", "/home/me/tree/.")
    assert output(machine, "ls /tmp/renamed") == "file\n"
    large = bytes(range(256)) * 4096
    copy_in(machine, tar_of(("large", large)), "/tmp", "large")
    assert output(machine, "sha256sum < /tmp/large").split()[0] == hashlib.sha256(large).hexdigest()


def test_copy_in_of_a_tar_stream_keeps_owners(machine):
    output(machine, "mkdir -p /tmp/real; ln -s real /tmp/way")
    copy_in(machine, tar_of(("way/file", b"x"), uid=1000, gid=1001), "/tmp")
    assert output(machine, "stat -c '%u %g' /tmp/real/file") == "1000 1001\n"


def test_copy_in_stays_in_the_container(machine):
    output(machine, "ln -s /../../../../etc /tmp/up")
    copy_in(machine, tar_of(("new", b"inside")), "/tmp/up", "new")
    assert output(machine, "cat /etc/new") == "inside"


def test_copies_that_fail_say_why(machine):
    with pytest.raises(Failed) as error:
        copy_in(machine, tar_of(("a", b"x" * 2_000_000)), "/nowhere/b", "a")
    assert error.value.code == "not-found" and "/nowhere" in str(error.value)
    with pytest.raises(Failed) as error:
        copy_in(machine, b"no tar at all" * 100, "/tmp", "a")
    assert error.value.code == "corrupt"
    session = machine.agent.open("I", {"path": "/tmp", "source": "a"})
    session.send("q")
    with pytest.raises(Failed) as error:
        session.wait_done()
    assert error.value.code == "canceled"


def test_a_mount_point_is_overwritten(machine):
    output(machine, "mkdir /tmp/m; touch /tmp/m/file /tmp/other; mount --bind /tmp/other /tmp/m/file",
           capabilities={name: CAPABILITIES for name in ("bounding", "effective", "permitted")})
    copy_in(machine, tar_of(("file", b"over")), "/tmp/m", "file")
    assert output(machine, "cat /tmp/other") == "over"


def test_a_signal_ends_the_container_and_all_in_it(boot):
    machine = boot()
    session = run(machine, "sh", "-c", "trap 'exit 9' TERM; echo on; sleep 100 & wait")
    session.wait_output(b"on")
    inner = machine.agent.exec("sleep", "100")
    session.signal(signal.SIGTERM)
    assert session.wait_exit() == 9
    assert inner.wait_exit() == 137
    with pytest.raises(Failed) as error:
        machine.agent.exec("true")
    assert error.value.code == "wrong-state"


VIRTIOFSD = pathlib.Path("/usr/lib/qemu/virtiofsd")


@pytest.mark.skipif(not VIRTIOFSD.exists(), reason="virtiofsd is missing")
def test_the_share_is_a_root_and_has_bind_mounts(boot, images, tmp_path):
    shutil.copytree(images / "root", tmp_path / "share/root", symlinks=True)
    (tmp_path / "share/volume").mkdir()
    (tmp_path / "share/volume/file").write_text("of the host\n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "fs.sock"))
    listener.listen()
    daemon = subprocess.Popen([VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={tmp_path / 'share'}", "-o",
                               "cache=auto", "-o", "sandbox=chroot"], pass_fds=[listener.fileno()],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        machine = boot(machine=",memory-backend=mem",
                       extra=["-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-chardev",
                              f"socket,id=fs,path={tmp_path / 'fs.sock'}", "-device",
                              "vhost-user-fs-device,queue-size=1024,chardev=fs,tag=trivet"])
        document = config("sh", "-c", "cat /mnt/file; echo back > /mnt/new; echo $HOME; echo x > /written")
        document["root"]["path"] = "/run/trivet/share/root"
        document["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/run/trivet/share/volume",
                                   "options": ["rbind", "rw"]})
        session = machine.agent.create(config=document, share=True, files=[dict(RESOLV)])
        session.send("S")
        session.wait_done()
        assert session.wait_exit() == 0, session.stderr
        assert session.stdout == b"of the host\n/root\n"
        assert machine.agent.request("shutdown") == {}
        assert machine.wait_off() == 0
    finally:
        daemon.kill()
        daemon.wait()
    assert (tmp_path / "share/volume/new").read_text() == "back\n"
    assert (tmp_path / "share/root/written").read_text() == "x\n"


@pytest.mark.skipif(shutil.which("mkfs.erofs") is None, reason="mkfs.erofs is missing")
def test_an_erofs_image(boot, images, tmp_path):
    subprocess.run(["mkfs.erofs", "--quiet", tmp_path / "lower.erofs", images / "root"], check=True,
                   stdout=subprocess.DEVNULL)
    with (tmp_path / "lower.erofs").open("ab") as image:
        image.truncate(-(-image.tell() // 512) * 512)
    machine = boot(lower=tmp_path / "lower.erofs")
    session = run(machine, "sh", "-c", "cat /etc/deep/link; mount | grep ' / '")
    assert session.wait_exit() == 0, session.stderr
    assert session.stdout.startswith(b"deep\noverlay on / type overlay")


def test_a_restored_template_is_somebody_of_its_own(boot, tmp_path):
    """The guest is saved after kReady and before kWake; two machines continue from there."""
    memory = tmp_path / "memory"

    def machine(sharing: str, **options):
        monitor = Monitor()
        backend = f"memory-backend-file,id=mem,size=256M,mem-path={memory},share={sharing}"
        started = boot(machine=",memory-backend=mem", pass_fds=[monitor.theirs.fileno(), *options.pop("fds", [])],
                       extra=["-object", backend, *monitor.arguments, *options.pop("extra", [])], **options)
        monitor.begin()
        return started, monitor

    template, monitor = machine("on")
    monitor.run("stop")
    monitor.run("migrate", uri=f"exec:cat > {tmp_path / 'state'}")
    monitor.wait_migrated()
    monitor.run("quit")
    template.wait_off()
    seen = []
    for _ in range(2):
        with (tmp_path / "state").open("rb") as state:
            clone, monitor = machine("off", restored=True, fds=[state.fileno()], extra=["-incoming", "defer"])
            monitor.run("migrate-incoming", uri=f"fd:{state.fileno()}")
            monitor.wait_migrated()
        monitor.run("cont")
        clone.agent.wake()
        session = run(clone, "sh", "-c", "head -c 16 /dev/urandom; date +%s")
        assert session.wait_exit() == 0
        seen.append(session.stdout[:16])
        assert abs(int(session.stdout[16:]) - time.time()) < 5
        assert clone.agent.request("shutdown") == {}
        assert clone.wait_off() == 0
    assert seen[0] != seen[1]


def test_a_container_is_adopted_under_another_name(boot):
    machine = boot()
    script = "hostname; echo $HOSTNAME; cat /etc/resolv.conf"
    process = {"process": {"env": ["PATH=/bin", "HOSTNAME=box-one"]}}
    create(machine, "sh", "-c", script, hostname="box-one", **process)
    new = {**RESOLV, "content": b"nameserver 192.0.2.7\n"}
    session = create(machine, "unused", kind="D", hostname="box-two", files=[new])
    session.send("S")
    assert session.wait_exit() == 0, session.stderr
    assert session.stdout == b"box-two\nbox-two\nnameserver 192.0.2.7\n"


def test_an_adoption_that_fails_says_why(boot):
    machine = boot()
    with pytest.raises(Failed, match="no container to adopt") as error:
        create(machine, "unused", kind="D")
    assert error.value.code == "wrong-state"
    create(machine, "hostname", hostname="box")
    with pytest.raises(Failed, match='"longer" can\'t take the place of "box"'):
        create(machine, "unused", kind="D", hostname="longer")
    with pytest.raises(Failed, match="no network device"):
        create(machine, "unused", kind="D", interfaces=[{"mac": "52:54:00:00:00:09", "name": "net0", "mtu": 1500,
                                                         "addresses": ["10.0.2.15/24"]}])
    assert machine.agent.request("shutdown") == {}
    assert machine.wait_off() == 0


def test_the_network(boot):
    ours, theirs = socket.socketpair()
    machine = boot(network=["-netdev", f"stream,id=n0,server=off,addr.type=fd,addr.str={theirs.fileno()}",
                            "-device", "virtio-net-device,netdev=n0,mac=52:54:00:00:00:01"],
                   pass_fds=[theirs.fileno()])
    run(machine, "sleep", "100", interfaces=[
        {"mac": "52:54:00:12:34:56", "name": "net7", "mtu": 9000, "addresses": ["10.0.2.15/24", "fd00::15/64"],
         "routes": [{"destination": "0.0.0.0/0", "gateway": "10.0.2.2"},
                    {"destination": "192.0.2.0/24"},
                    {"destination": "198.51.100.0/24", "gateway": "203.0.113.1"}]}])
    # The gateway is asked for at once: whoever has the other end learns who the guest is.
    ours.settimeout(10)
    while True:
        size = struct.unpack(">I", ours.recv(4, socket.MSG_WAITALL))[0]
        packet = ours.recv(size, socket.MSG_WAITALL)
        if packet[12:14] == b"\x08\x06":
            break
    assert packet[6:12] == bytes.fromhex("525400123456")
    assert packet[38:42] == socket.inet_aton("10.0.2.2")
    shown = output(machine, "ip addr show net7; ip route; ip -6 addr")
    for text in ("52:54:00:12:34:56", "mtu 9000", "10.0.2.15/24", "fd00::15/64", "default via 10.0.2.2",
                 "192.0.2.0/24 dev net7", "198.51.100.0/24 via 203.0.113.1"):
        assert text in shown


def test_a_violation_of_the_protocol_powers_off(boot):
    machine = boot()
    machine.agent.send("C", 77)
    assert machine.wait_off() == 0


def test_without_a_host_it_powers_off(boot):
    machine = boot()
    machine.agent.port.shutdown(socket.SHUT_RDWR)
    machine.agent.port.close()
    assert machine.wait_off(40) == 0
