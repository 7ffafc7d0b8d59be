"""A WebAssembly container between its start and its end: what is seen of it, exec, how it is confined."""

import os
import pathlib
import re
import socket
import threading
import time

import pytest

import harness
from harness import wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]

FOREVER = ["echo", "up", ",", "sleep", "100000000"]


@pytest.fixture
def running(trivet, programs):
    """The name of a container that waits."""
    trivet.spawn(*FOREVER, image=programs.probe, options=["--name", "one"])
    trivet.wait_for_log("one", "up")
    return "one"


def pid_of(trivet, name: str) -> int:
    return trivet.inspect(name)["State"]["Pid"]


def status_of(pid: int) -> dict[str, str]:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


# ---------------------------------------------------------------- what is seen of it

def test_inspect_says_what_it_is_and_what_it_used(trivet, programs):
    trivet.run("run", "--name", "seen", "--network", "none", programs.probe, "echo", "x", ",", "exit", "7",
               check=False)
    document = trivet.inspect("seen")
    own = document["Trivet"]
    assert own["Isolation"] == "wasm"
    assert own["Wasm"]["Outcome"] == "exited" and own["Wasm"]["FuelUsed"] > 0
    assert own["Wasm"]["MemoryBytes"] % 65536 == 0 and own["Wasm"]["MemoryBytes"] > 0
    assert document["State"]["ExitCode"] == 7 and document["Path"] == f"/{programs.probe.name}"


def test_a_trap_is_explained_by_inspect(trivet, programs):
    trivet.run("run", "--name", "seen", "--network", "none", programs.probe, "trap", check=False)
    wasm = trivet.inspect("seen")["Trivet"]["Wasm"]
    assert wasm["Outcome"] == "trap" and "unreachable" in wasm["Message"]


def test_logs_have_both_streams_and_the_trap(trivet, programs):
    name = trivet.spawn("echo", "out", ",", "err", "wrong", ",", "trap", image=programs.probe)
    assert trivet.out("wait", name) == "134"
    done = trivet.run("logs", name)
    assert done.stdout == "out\n" and done.stderr.startswith("wrong\ntrivet-wasm: trap: ")


def test_top_and_ps_show_one_process(trivet, running):
    rows = trivet.out("top", running).splitlines()
    assert len(rows) == 2 and str(pid_of(trivet, running)) in rows[1]
    [row] = trivet.containers()
    assert row["State"] == "running" and row["Command"][0].startswith("/c-")


def test_stats(trivet, programs):
    trivet.spawn("fill", "40", ",", *FOREVER, image=programs.probe, options=["--name", "one"])
    trivet.wait_for_log("one", "up")
    rows = trivet.run("stats", "--no-stream", "--format", "json", "one").json()
    row = rows[0] if isinstance(rows, list) else rows
    assert "one" in str(row)
    memory = harness.cgroup_directory(pid_of(trivet, "one"), "memory")
    usage = next(memory / file for file in ("memory.usage_in_bytes", "memory.current") if (memory / file).exists())
    assert 40 << 20 <= int(usage.read_text()) < 100 << 20


def test_pause_freezes_and_unpause_goes_on(trivet, programs):
    name = trivet.spawn("tick", image=programs.probe, options=["--fuel", "off"])
    trivet.wait_for_log(name, "tick 1")
    trivet.run("pause", name)
    frozen = trivet.logs(name)
    time.sleep(0.4)
    assert trivet.logs(name) == frozen and trivet.status(name) == "paused"
    trivet.run("unpause", name)
    wait_for(lambda: trivet.logs(name) != frozen, what="it goes on")


def test_wait_gives_the_exit_code(trivet, programs):
    name = trivet.spawn("sleep", "200", ",", "exit", "42", image=programs.probe)
    assert trivet.out("wait", name) == "42"


def test_restart_and_start_again(trivet, programs):
    trivet.spawn(*FOREVER, image=programs.probe, options=["--name", "one"])
    trivet.wait_for_log("one", "up")
    before = pid_of(trivet, "one")
    trivet.run("restart", "-t", "5", "one")
    wait_for(lambda: trivet.logs("one").count("up") == 2, what="it says so again")
    assert pid_of(trivet, "one") != before


def test_the_restart_policy_holds_for_traps(trivet, programs):
    name = trivet.spawn("echo", "again", ",", "trap", image=programs.probe, options=["--restart", "on-failure:2"])
    assert trivet.out("wait", name) == "134"
    assert trivet.logs(name).count("again") == 3
    assert trivet.inspect(name)["Trivet"]["Wasm"]["Outcome"] == "trap"


def test_attach(trivet, programs):
    trivet.spawn("upper", image=programs.probe, options=["-i", "--name", "one"])
    assert trivet.run("attach", "one", stdin="typed\n").stdout == "TYPED\n"


# ---------------------------------------------------------------- exec

def test_exec_runs_a_module_on_the_same_files(trivet, programs, running):
    program = f"/{programs.probe.name}"
    done = trivet.run("exec", running, program, "write", "/made", "by exec", ",", "read", "/made", ",", "env")
    assert done.lines[:2] == ["write ok", "by exec"]
    assert "TRIVET" not in done.stdout
    assert trivet.run("exec", "-i", running, program, "upper", stdin="abc").stdout == "ABC"
    assert trivet.run("exec", "-e", "X=y", running, program, "env").lines.count("X=y") == 1
    for code in (0, 1, 126, 200):
        assert trivet.run("exec", running, program, "exit", code, check=False).returncode == code


def test_exec_of_what_is_no_module(trivet, running):
    assert trivet.fails("exec", running, "/absent", code=127).stderr
    assert "no WebAssembly module" in trivet.fails("exec", running, "/etc/hosts", code=126).stderr
    trivet.fails("exec", running, "sh", "-c", "true", code=127)


def test_exec_is_limited_as_the_container_is(trivet, programs, running):
    failed = trivet.fails("exec", running, f"/{programs.probe.name}", "spin", code=152)
    assert "out of fuel" in failed.stderr
    assert trivet.status(running) == "running"


def test_exec_is_confined(trivet, programs, running):
    process = trivet.start("exec", running, f"/{programs.probe.name}", "sleep", "1000000")
    init = pid_of(trivet, running)

    def others():
        return [int(row.split()[1]) for row in trivet.out("top", running).splitlines()[1:]
                if row.split()[1] != str(init)]
    [pid] = wait_for(others, what="the exec'd program")
    wait_for(lambda: status_of(pid)["Seccomp"] == "2", what="its filter")
    status = status_of(pid)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16 and status["NoNewPrivs"] == "1"
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{init}/ns/mnt")
    process.kill()


def test_exec_of_an_export(trivet, programs):
    module = programs.wat('(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) '
                          '(result i32))) (memory (export "memory") 1) (func (export "serve") '
                          '(i64.store (i32.const 24) (i64.const 100000000000000)) (i32.store (i32.const 16) (i32.const 1))'
                          '(drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))))'
                          '(func (export "double") (param i32) (result i32) '
                          '(i32.mul (local.get 0) (i32.const 2))))')
    trivet.spawn(image=module, options=["--name", "one", "--annotation", "dev.trivet.wasm.invoke=serve"])
    assert trivet.run("exec", "--invoke", "double", "one", f"/{module.name}", "21").stdout == "42\n"
    # The annotation is for the container's own program.
    assert '"_start"' in trivet.fails("exec", "one", f"/{module.name}", code=126).stderr
    assert '"absent"' in trivet.fails("exec", "--invoke", "absent", "one", f"/{module.name}", code=126).stderr
    assert trivet.status("one") == "running"


# ---------------------------------------------------------------- confinement

def test_the_host_has_no_privileges(trivet, running):
    status = status_of(pid_of(trivet, running))
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert int(status["Seccomp_filters"]) >= 1


def test_no_option_gives_it_privileges(trivet, programs):
    trivet.spawn(*FOREVER, image=programs.probe,
                 options=["--name", "one", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined"])
    trivet.wait_for_log("one", "up")
    status = status_of(pid_of(trivet, "one"))
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"


def test_it_has_namespaces_of_its_own(trivet, running):
    pid = pid_of(trivet, running)
    for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
    assert not re.search(r" - (proc|sysfs|cgroup2?|mqueue) ", mounts)


def test_it_runs_the_installed_host_and_can_not_write_to_it(trivet, running):
    pid = pid_of(trivet, running)
    host = harness.BIN_DIR / "trivet-wasm"
    before = host.stat().st_mtime_ns
    assert pathlib.Path(f"/proc/{pid}/exe").read_bytes() == host.read_bytes()
    with pytest.raises(OSError):
        with open(f"/proc/{pid}/exe", "r+b"):
            pass
    assert host.stat().st_mtime_ns == before


def test_nothing_of_the_host_is_open_in_it(trivet, running):
    folder = pathlib.Path(f"/proc/{pid_of(trivet, running)}/fd")
    opened = {name: os.readlink(folder / name) for name in os.listdir(folder)}
    own = ("pipe:", "anon_inode:", "socket:", "/dev/null", "/dev/urandom")
    [code] = [name for name, target in opened.items() if not target.startswith(own) and target != "/"]
    assert opened[code].endswith(".cwasm")
    flags = re.search(r"flags:\t(\d+)", (folder.parent / "fdinfo" / code).read_text()).group(1)
    assert int(flags, 8) & os.O_ACCMODE == os.O_RDONLY


def test_the_compiled_code_is_not_writable_in_memory(trivet, running):
    lines = pathlib.Path(f"/proc/{pid_of(trivet, running)}/maps").read_text().splitlines()
    executable = [line for line in lines if "x" in line.split()[1]]
    assert executable and not [line for line in executable if "w" in line.split()[1]]
    assert any(".cwasm" in line for line in executable)


# ---------------------------------------------------------------- the network

def test_a_module_without_sockets_sees_none(trivet, programs):
    """Preview 1 can't open sockets: a module that asks for one does not start."""
    failed = trivet.fails("run", "--rm", "--network", "none", programs.wat(
        '(module (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32))) '
        '(func (export "_start")))'), code=126)
    assert "sock_open" in failed.stderr


CLIENT = """
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words[1].as_str() {
        "connect" => match TcpStream::connect(&words[2]) {
            Ok(mut stream) => {
                stream.write_all(b"hello\\n").unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                print!("{text}");
            }
            Err(error) => { println!("connect: {error}"); std::process::exit(1) }
        },
        "serve" => {
            let listener = TcpListener::bind(&words[2]).unwrap();
            println!("listening");
            let (mut stream, _) = listener.accept().unwrap();
            let mut first = [0u8; 6];
            stream.read_exact(&mut first).unwrap();
            stream.write_all(b"served ").unwrap();
            stream.write_all(&first).unwrap();
        }
        "resolve" => match words[2].to_socket_addrs() {
            Ok(found) => println!("{}", found.map(|a| a.ip().to_string()).collect::<Vec<_>>().join(" ")),
            Err(error) => { println!("resolve: {error}"); std::process::exit(1) }
        },
        _ => std::process::exit(2),
    }
}
"""


@pytest.mark.wasip2
@pytest.mark.network
def test_a_component_serves_on_a_published_port(trivet, programs):
    port = harness.free_port()
    name = trivet.spawn("serve", "0.0.0.0:8080", image=programs.rust(CLIENT), network="pasta",
                        options=["-p", f"127.0.0.1:{port}:8080", "--fuel", "off"])
    trivet.wait_for_log(name, "listening")

    def ask():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"hello\n")
                return client.recv(100)
        except OSError:
            return None
    assert wait_for(ask, what="an answer").startswith(b"served")


@pytest.mark.wasip2
def test_a_component_reaches_nothing_without_a_network(trivet, programs):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        heard = []
        server.settimeout(1)

        def listen():
            try:
                heard.append(server.accept())
            except TimeoutError:
                pass
        thread = threading.Thread(target=listen)
        thread.start()
        done = trivet.box("connect", f"127.0.0.1:{port}", image=programs.rust(CLIENT), check=False)
        thread.join()
    assert done.returncode == 1 and done.stdout.startswith("connect: ") and heard == []


@pytest.mark.wasip2
def test_names_of_the_container_s_hosts_file(trivet, programs):
    done = trivet.box("resolve", "friend:80", image=programs.rust(CLIENT), options=["--add-host", "friend:10.9.8.7"],
                      check=False)
    assert done.stdout == "10.9.8.7\n", done.stderr
