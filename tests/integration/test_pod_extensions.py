"""Extensions of pods: the two that come with trivet, those of others, and those that misbehave."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

import harness
import vm_harness

# A guest has nothing to load: its programs are static, which sanitized ones can't be.
in_machines = pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="no sanitized guests")
pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.network]

PAGE = harness.ROOT / "docs/extensions.md"


def container(name: str, script: str = "exec sleep 600", **fields) -> dict:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


def pod(*containers: dict, name: str = "p", settings: dict[str, str] | None = None, **spec) -> str:
    annotations = {f"dev.trivet.extension/{key}": value for key, value in (settings or {}).items()}
    return json.dumps({"apiVersion": "v1", "kind": "Pod",
                       "metadata": {"name": name, "annotations": annotations},
                       "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                                "containers": list(containers), **spec}})


@pytest.fixture
def run_pod(trivet, nothing_left):
    """Runs a manifest with extensions; afterwards nothing may be left."""

    def run(manifest: str, *extensions: object, check: bool = True) -> harness.Result:
        options = [word for extension in extensions for word in ("--extension", extension)]
        return trivet.run("pod", "run", "--experimental", *options, "-", stdin=manifest, check=check)

    return run


def inspect(trivet, name: str = "p") -> dict:
    value = trivet.run("pod", "inspect", name).json()
    return value[0] if isinstance(value, list) else value


def program(directory: pathlib.Path, text: str, name: str = "extension") -> pathlib.Path:
    path = directory / name
    path.write_text(text)
    path.chmod(0o755)
    return path


# ---------------------------------------------------------------- dns


def test_containers_find_each_other_by_name(trivet, run_pod):
    run_pod(pod(container("app"), container("db", "while :; do echo I am db | nc -l -p 7000; done")),
            "dns")
    found = trivet.out("pod", "exec", "-c", "app", "p", "nslookup", "-type=a", "db")
    assert "127.0.0.11" in found and re.search(r"Address: *127\.0\.0\.1\b", found), found
    asked = trivet.out("pod", "exec", "-c", "app", "p", "sh", "-c",
                       "until nc db 7000 2>/dev/null; do sleep 0.1; done")  # it may not listen yet
    assert asked == "I am db"
    resolver = trivet.out("pod", "exec", "-c", "app", "p", "cat", "/etc/resolv.conf")
    assert resolver.startswith("nameserver 127.0.0.11"), resolver


def test_other_names_are_asked_of_the_servers_in_the_settings(trivet, run_pod):
    # One that is not there: the answer is a failure, and soon.
    run_pod(pod(container("app"), settings={"dns": "127.0.0.1#1"}), "dns")
    failed = trivet.run("pod", "exec", "-c", "app", "p", "nslookup", "-type=a", "elsewhere.example",
                        check=False)
    assert failed.returncode != 0 and "SERVFAIL" in failed.stdout + failed.stderr


def test_settings_that_are_none_keep_the_pod_from_starting(run_pod):
    failed = run_pod(pod(container("app"), settings={"dns": "nobody"}), "dns", check=False)
    assert failed.returncode != 0
    assert 'extension "dns": settings: "nobody" is no server' in failed.stderr, failed.stderr


# ---------------------------------------------------------------- metrics


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        return answer.read().decode()


def value_of(text: str, sample: str, **labels: str) -> float:
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    match = re.search(rf"^{sample}{{{re.escape(wanted)}}} (\S+)$", text, re.MULTILINE)
    assert match, f"no {sample} of {wanted} in\n{text}"
    return float(match[1])


def test_metrics_are_on_a_port_of_the_host(trivet, run_pod):
    port = harness.free_port()
    run_pod(pod(container("app", resources={"limits": {"memory": "64Mi"}}),
                container("short", "sleep 1; exit 3"), settings={"metrics": f"{port}:9402"}), "metrics")
    text = scrape(port)
    assert text.endswith("# EOF\n")
    assert value_of(text, "trivet_container_running", container="app") == 1
    assert value_of(text, "trivet_container_memory_limit_bytes", container="app") == 64 << 20
    assert value_of(text, "trivet_container_memory_usage_bytes", container="app") > 0
    assert value_of(text, "trivet_container_tasks", container="app") >= 1
    assert value_of(text, "trivet_container_healthy", container="app") == 1
    identity = inspect(trivet).get("id") or inspect(trivet)["Id"]
    assert f'id="{identity}",name="p"' in text
    harness.wait_for(lambda: value_of(scrape(port), "trivet_container_exits_total",
                                      container="short") == 1)
    text = scrape(port)
    assert value_of(text, "trivet_container_last_exit_code", container="short") == 3
    assert value_of(text, "trivet_container_running", container="short") == 0


def test_a_port_of_an_extension_that_is_taken_keeps_the_pod_from_starting(run_pod):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run_pod(pod(container("app"), settings={"metrics": str(port)}), "metrics",
                         check=False)
    assert failed.returncode != 0
    assert 'extension "metrics"' in failed.stderr and str(port) in failed.stderr, failed.stderr


def test_a_port_of_an_extension_is_shown(trivet, run_pod):
    run_pod(pod(container("app")), "metrics")
    assert "9402/tcp" in trivet.out("pod", "ps")
    port = int(re.search(r":(\d+)->9402/tcp", trivet.out("pod", "ps"))[1])
    assert "trivet_pod_info" in scrape(port)


def test_metrics_of_a_pod_in_the_hosts_network(run_pod):
    port = harness.free_port()
    run_pod(pod(container("app"), hostNetwork=True, settings={"metrics": str(port)}), "metrics")
    assert "trivet_pod_info" in scrape(port)


# ---------------------------------------------------------------- in a microVM


@pytest.mark.microvm
@in_machines
def test_the_same_run_in_a_microvm(trivet, run_pod):
    port = harness.free_port()
    published = {"ports": [{"containerPort": 9402, "hostPort": port}]}
    run_pod(pod(container("app", **published),
                container("db", "while :; do echo I am db | nc -l -p 7000; done"),
                runtimeClassName="trivet-microvm", settings={"metrics": ":9402"}), "dns", "metrics")
    assert trivet.out("pod", "exec", "-c", "app", "p", "nc", "db", "7000") == "I am db"
    text = scrape(port)
    assert value_of(text, "trivet_container_running", container="app") == 1
    assert value_of(text, "trivet_container_healthy", container="db") == 1


@pytest.mark.microvm
@in_machines
def test_a_port_of_an_extension_leads_into_a_machine(trivet, run_pod):
    port = harness.free_port()
    run_pod(pod(container("app"), runtimeClassName="trivet-microvm", settings={"metrics": f"{port}:9402"}), "metrics")
    assert f"0.0.0.0:{port}->9402/tcp" in trivet.out("pod", "ps")
    assert value_of(scrape(port), "trivet_container_running", container="app") == 1


@pytest.mark.microvm
@in_machines
def test_a_taken_port_keeps_a_machine_from_being_a_pod(trivet, run_pod):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run_pod(pod(container("app"), runtimeClassName="trivet-microvm", settings={"metrics": str(port)}),
                         "metrics", check=False)
    assert failed.returncode != 0
    assert 'extension "metrics"' in failed.stderr
    assert f"port {port}/tcp is already in use" in failed.stderr, failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == []


@pytest.mark.microvm
@in_machines
def test_without_its_supervisor_nothing_of_a_machine_with_ports_is_left(trivet, run_pod):
    run_pod(pod(container("app"), runtimeClassName="trivet-microvm"), "metrics")
    supervisor = inspect(trivet)["MonitorPid"]
    seen = {(pid, vm_harness.stat_of(pid)[2]): name for pid, name in vm_harness.tree_of(supervisor).items()}
    assert any(name.startswith("passt") for name in seen.values()), seen
    harness.kill_hard(supervisor)
    harness.wait_for(lambda: inspect(trivet)["Phase"] == "failed", 20, "the pod has failed")

    def alive() -> list[str]:
        return [name for (pid, started), name in seen.items()
                if (now := vm_harness.stat_of(pid)) and now[0] != "Z" and now[2] == started]
    harness.wait_for(lambda: not alive(), what="all its processes are gone")


# ---------------------------------------------------------------- those of others

READY = 'read start; echo \'{"type":"ready"}\'\n'


def test_a_program_hears_what_happens(trivet, run_pod, tmp_path):
    # It says what it heard by ending: its last words are shown.
    script = program(tmp_path, "#!/bin/sh\n" + READY + """
while read line; do
  case $line in *exited*) echo "heard $line" >&2; exit 7;; esac
done
""")
    run_pod(pod(container("app"), container("short", "sleep 1; exit 3")), f"own={script}")
    message = harness.wait_for(lambda: re.search(r'extension \\?"own\\?": [^\n]*',
                                                 trivet.out("pod", "inspect", "p")))
    assert "ended with exit code 7" in message[0] and "short" in message[0], message[0]
    # The pod goes on without it.
    assert trivet.out("pod", "exec", "-c", "app", "p", "echo", "here") == "here"


def test_extensions_see_a_read_only_root_and_no_capabilities(run_pod, tmp_path):
    script = program(tmp_path, r"""#!/bin/sh
read start
caps=$(while read name value; do [ "$name" = CapEff: ] && echo $value; done < /proc/self/status)
touch /x /usr/x 2> /dev/null && writable=yes || writable=no
if mount -t tmpfs x /tmp 2> /dev/null; then mounted=yes; else mounted=no; fi
echo "{\"type\":\"failed\",\"message\":\"caps $caps writable $writable mounted $mounted pid $(ls /proc | grep -c '^[0-9]')\"}"
""")
    failed = run_pod(pod(container("app")), f"own={script}", check=False)
    # CAP_NET_BIND_SERVICE alone; PID 1, this one, and its ls and grep.
    assert re.search(r'extension "own": caps 0000000000000400 writable no mounted no pid [2-6]\b',
                     failed.stderr), failed.stderr


@pytest.mark.parametrize("body, words", [
    pytest.param("read start; echo no room >&2; exit 3", "ended with exit code 3: no room", id="ends"),
    pytest.param("read start; kill -SEGV $$", "ended with exit code 139", id="crashes"),
    pytest.param("read start; echo hello; sleep 100", "sent a line that is no message", id="garbage"),
    pytest.param("read start; tr '\\0' x < /dev/zero", "a line is longer than 262144 bytes", id="flood"),
    pytest.param("read start; echo '{\"type\":\"failed\",\"message\":\"I will not\"}'", "I will not",
                 id="fails"),
])
def test_one_that_misbehaves_on_start_keeps_the_pod_from_starting(run_pod, tmp_path, body, words):
    script = program(tmp_path, f"#!/bin/sh\n{body}\n")
    failed = run_pod(pod(container("app")), "dns", f"own={script}", check=False)
    assert failed.returncode != 0
    assert f'extension "own": {words}' in failed.stderr, failed.stderr


def test_one_that_is_no_program_keeps_the_pod_from_starting(run_pod, tmp_path):
    path = tmp_path / "text"
    path.write_text("hello\n")
    failed = run_pod(pod(container("app")), f"own={path}", check=False)
    assert failed.returncode != 0 and '"own"' in failed.stderr, failed.stderr
    missing = run_pod(pod(container("app")), f"own={tmp_path}/nowhere", check=False)
    assert missing.returncode != 0 and "nowhere" in missing.stderr, missing.stderr


@pytest.mark.parametrize("body", ["read event; echo garbage; sleep 100", "read event; kill -9 $$",
                                  "exec sleep 100"], ids=["garbage", "crash", "deaf"])
def test_one_that_misbehaves_later_does_not_end_the_pod(trivet, run_pod, tmp_path, body):
    script = program(tmp_path, "#!/bin/sh\n" + READY + body + "\n")
    run_pod(pod(container("app")), f"own={script}")
    if not body.startswith("exec"):
        harness.wait_for(lambda: "own" in trivet.out("pod", "inspect", "p").split('"message"')[-1]
                         or re.search(r'extension \\"own\\"', trivet.out("pod", "inspect", "p")))
    assert trivet.out("pod", "exec", "-c", "app", "p", "echo", "here") == "here"
    trivet.run("pod", "stop", "--time", "1", "p")


# It answers by TCP with what it was told of its ports, and which datagrams have come.
PORTS = r"""#!/usr/bin/python3
import json, socket, sys, threading

def ask(**request):
    print(json.dumps({"type": "request_port", "id": 1, **request}), flush=True)
    while True:
        answer = json.loads(sys.stdin.readline())
        if answer["type"] != "event":
            return answer

start = json.loads(sys.stdin.readline())
taken, own, echo = (int(word) for word in start["settings"].split())
stream = socket.create_server(("", 7000))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", echo))
told = [ask(protocol="tcp", host=0, guest=7000), ask(protocol="udp", host=echo, guest=echo),
        ask(protocol="tcp", host=taken, guest=7000), ask(protocol="tcp", host=own, guest=7000),
        ask(protocol="udp", host=echo, guest=echo)]
print('{"type":"ready"}', flush=True)

def hear():
    while True:
        told.append({"datagram": datagrams.recv(2000).decode()})

def tell():
    while True:
        with stream.accept()[0] as client:
            client.sendall(json.dumps(told).encode())

for serve in (hear, tell):
    threading.Thread(target=serve, daemon=True).start()
sys.stdin.readline()  # the first event
told.append(ask(protocol="tcp", host=0, guest=7001))
for line in sys.stdin:
    pass
"""


@pytest.mark.parametrize("runtime", [
    "trivet", pytest.param("trivet-microvm", marks=[pytest.mark.microvm, in_machines])])
def test_a_program_is_told_which_ports_it_has(trivet, run_pod, tmp_path, runtime):
    own, echo = harness.free_port(), harness.free_port()
    script = program(tmp_path, PORTS)
    with socket.create_server(("0.0.0.0", 0)) as other:
        taken = other.getsockname()[1]
        run_pod(pod(container("app", ports=[{"containerPort": 80, "hostPort": own}]), runtimeClassName=runtime,
                    settings={"ports": f"{taken} {own} {echo}"}), f"ports={script}")

        def told() -> list[dict]:
            with socket.create_connection(("127.0.0.1", published(trivet, 7000)), timeout=10) as connection:
                return json.loads(connection.makefile().read() or "[]")
        answers = harness.wait_for(lambda: len(found := told()) > 5 and found, what="a late request is answered")

        def heard() -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", ("127.0.0.1", echo))
            return {"datagram": "hello"} in told()
        harness.wait_for(heard, what="a datagram has come")
    assert answers[0]["port"] == published(trivet, 7000) and answers[1]["port"] == echo
    for answer, port in zip(answers[2:5], (f"{taken}/tcp", f"{own}/tcp", f"{echo}/udp")):
        assert f"port {port} is already in use" in answer["message"], answers
    assert "in on_start only" in answers[5]["message"]
    assert f"0.0.0.0:{echo}->{echo}/udp" in trivet.out("pod", "ps")


# ---------------------------------------------------------------- one that never gets ready


@pytest.fixture
def stuck(trivet, tmp_path):
    """`pod run`, which waits for an extension that asks for a port, to be seen, and then waits for ever."""
    script = program(tmp_path, """#!/bin/sh
read start
echo '{"type":"request_port","id":1,"protocol":"tcp","host":0,"guest":7000}'
read port
exec sleep 1000
""")

    def start(**fields) -> subprocess.Popen:
        path = tmp_path / "pod.json"
        path.write_text(pod(container("app"), **fields))
        process = trivet.start("pod", "run", "--experimental", "--extension", f"own={script}", path)
        harness.wait_for(lambda: "->7000/tcp" in trivet.out("pod", "ps"), 60, "the extension waits")
        return process
    return start


def expect_end(trivet, process: subprocess.Popen, words: str) -> None:
    _, errors = process.communicate(timeout=20 * harness.SLOW)
    assert process.returncode != 0 and words in errors.decode(), errors
    harness.wait_for(lambda: trivet.run("pod", "ps", "--format", "json").json() == [], what="the pod is gone")
    assert trivet.containers() == []


@pytest.mark.parametrize("command", [["stop"], ["rm", "-f"]], ids=["stop", "rm"])
def test_a_pod_can_be_ended_while_its_extension_starts(trivet, nothing_left, stuck, command):
    process = stuck()
    begun = time.monotonic()
    trivet.run("pod", *command, "p")
    expect_end(trivet, process, "the pod was stopped while it started")
    assert time.monotonic() - begun < 5 * harness.SLOW


def test_an_interrupt_ends_the_start_of_a_pod(trivet, nothing_left, stuck):
    process = stuck()
    process.send_signal(signal.SIGINT)
    expect_end(trivet, process, "")


@pytest.mark.microvm
@in_machines
def test_a_machine_that_is_lost_while_its_extension_starts(trivet, nothing_left, stuck):
    process = stuck(runtimeClassName="trivet-microvm")
    processes = vm_harness.tree_of(inspect(trivet)["InfraPid"])
    harness.kill_hard(next(pid for pid, name in processes.items() if name.startswith("qemu")))
    expect_end(trivet, process, "virtual machine ended")


def test_without_its_infra_container_no_extension_is_waited_for(trivet, nothing_left, stuck):
    process = stuck()
    processes = vm_harness.tree_of(inspect(trivet)["MonitorPid"])
    harness.kill_hard(next(pid for pid, name in processes.items() if name == "trivet-infra"))
    expect_end(trivet, process, "the infra container has ended")


# ---------------------------------------------------------------- the examples of docs/extensions.md


def example(name: str) -> str:
    """The code block of docs/extensions.md that follows the words `NAME`:"""
    text = PAGE.read_text()
    match = re.search(rf"`{re.escape(name)}`[^\n]*\n\n```\w+\n(.*?)\n```", text, re.DOTALL)
    assert match, f"no example {name} in {PAGE}"
    return match[1] + "\n"


def published(trivet, port: int) -> int:
    """The port of the host that leads to a port of the pod."""
    return int(re.search(rf":(\d+)->{port}/tcp", trivet.out("pod", "ps"))[1])


def test_the_example_in_cxx_is_built_and_runs(trivet, run_pod, tmp_path):
    source = tmp_path / "greeter.cc"
    source.write_text(example("greeter.cc"))
    library = tmp_path / "greeter.so"
    subprocess.run(["g++", "-std=c++23", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                    "-I", harness.ROOT / "include", source, "-o", library], check=True)
    run_pod(pod(container("app"), container("short", "sleep 1"), settings={"greeter": "Hello"}),
            f"greeter={library}")

    def greet() -> str:
        address = ("127.0.0.1", published(trivet, 7070))
        with socket.create_connection(address, timeout=10) as connection:
            return connection.makefile().read()

    assert re.fullmatch(r"Hello from p: [012] containers run\n", greet())
    harness.wait_for(lambda: greet() == "Hello from p: 1 containers run\n", what="one has ended")


def test_the_example_in_python_runs(trivet, run_pod, tmp_path):
    script = program(tmp_path, example("watch.py"), "watch.py")
    run_pod(pod(container("app"), container("short", "sleep 1; exit 3")), f"watch={script}")

    def history() -> list[str]:
        url = f"http://127.0.0.1:{published(trivet, 7071)}/"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode().splitlines()

    harness.wait_for(lambda: "exited short 3" in history())
    assert "started app" in history() and "healthy app" in history(), history()


def test_the_example_in_shell_runs(trivet, run_pod, tmp_path):
    script = program(tmp_path, example("log.sh"), "log.sh")
    run_pod(pod(container("app")), f"log={script}")
    pids = subprocess.run(["pgrep", "-f", "^/bin/sh /extensions/log$"], capture_output=True,
                          text=True, check=True).stdout.split()
    events = harness.wait_for(lambda: next(
        (path.read_text() for path in (pathlib.Path(f"/proc/{pid}/root/tmp/events") for pid in pids)
         if path.exists()), ""))
    assert '"container":"app","event":"started"' in events, events
