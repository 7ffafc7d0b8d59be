"""Several containers in one guest, driven through the agent protocol: those of a pod."""

from __future__ import annotations

import signal
import time

import pytest

from agent import Failed
from test_vminit import config, create

VOLUMES = [{"name": "data", "mode": 0o777, "directories": ["sub"]},
           {"name": ".shm", "mode": 0o1777, "in_memory": True, "size": 1 << 20}]


def member(*args: str, **options) -> dict:
    """The configuration of a further container."""
    document = config(*args, **options)
    document["mounts"] = document["mounts"][:3] + [
        {"destination": "/data", "type": "bind", "source": "/run/trivet/volumes/data/sub", "options": ["bind"]},
        {"destination": "/dev/shm", "type": "bind", "source": "/run/trivet/volumes/.shm", "options": ["bind"]}]
    return document


class Pod:
    """A machine whose own container holds the namespaces."""

    def __init__(self, machine):
        self.machine = machine
        self.agent = machine.agent
        self.holder = create(machine, "sh", "-c", "echo up; exec sleep 1000", hostname="pod", volumes=VOLUMES)
        self.holder.send("S")
        self.holder.wait_done()

    def create(self, number: int, *args: str, joins=("ipc", "uts"), **options):
        return self.agent.create(container=number, config=member(*args, **options), lower_device="vda",
                                 joins=list(joins))

    def run(self, number: int, *args: str, **options):
        session = self.create(number, *args, **options)
        session.send("S")
        session.wait_done()
        return session

    def output(self, number: int, command: str) -> str:
        session = self.agent.exec("sh", "-c", command, container=number)
        assert session.wait_exit() == 0, session.stderr
        return session.stdout.decode()


@pytest.fixture(scope="module")
def pod(boot):
    return Pod(boot())


def test_two_containers_have_what_a_pod_shares_and_nothing_else(pod):
    first = pod.run(1, "sh", "-c", "echo one > /data/file; echo shm > /dev/shm/file; echo mine > /tmp/mine; "
                    "echo ready; exec nc -l -p 8080 -e echo served")
    first.wait_output(b"ready")
    second = pod.run(2, "sh", "-c", "cat /data/file /dev/shm/file; ls /tmp; nc 127.0.0.1 8080; hostname; exit 3")
    assert second.wait_exit() == 3, second.stderr
    assert second.stdout == b"one\nshm\nserved\npod\n", second.stderr
    assert first.wait_exit() == 0


def test_their_namespaces(pod):
    sessions = [pod.run(number, "sleep", "1000") for number in (1, 2)]
    inodes = {name: [pod.output(number, f"readlink /proc/self/ns/{name}") for number in (0, 1, 2)]
              for name in ("net", "ipc", "uts", "pid", "mnt", "cgroup")}
    for name in ("net", "ipc", "uts"):
        # The machine's own configuration in this test names no network namespace: it is the guest's.
        assert len(set(inodes[name])) == 1, inodes
    for name in ("pid", "mnt", "cgroup"):
        assert len(set(inodes[name])) == 3, inodes
    assert "sleep 1000" in pod.output(1, "ps") and "trivet" not in pod.output(1, "ps")
    for session in sessions:
        session.signal(signal.SIGKILL)
        assert session.wait_exit() == 137


def test_a_shared_pid_namespace(pod):
    session = pod.run(1, "sh", "-c", "readlink /proc/1/exe; exec ps", joins=("ipc", "uts", "pid"))
    assert session.wait_exit() == 0
    assert b"sleep 1000" in session.stdout


def test_requests_and_limits_are_each_container_s_own(pod):
    sessions = [pod.run(number, "sh", "-c", "exec sleep 1000") for number in (1, 2)]
    pod.agent.request("freeze", container=1)
    assert pod.agent.request("stats", container=2)["pids"] == 1
    assert [row["command"] for row in pod.agent.request("processes", container=2)["processes"]] == ["sleep 1000"]
    pod.agent.request("thaw", container=1)
    hungry = pod.run(3, "sh", "-c", "exec tail -c 200m /dev/zero")
    assert hungry.wait_exit(60) == 137 and hungry.exit == (137, True)
    for session in sessions:
        assert session.exit is None
        session.signal(signal.SIGTERM)
        session.signal(signal.SIGKILL)
        assert session.wait_exit() == 137


def test_one_that_was_frozen_is_killed(pod):
    session = pod.run(1, "sleep", "1000")
    pod.agent.request("freeze", container=1)
    session.signal(signal.SIGKILL)
    assert session.wait_exit() == 137


def test_what_a_container_wrote_is_there_when_it_is_made_again(pod):
    assert pod.run(4, "sh", "-c", "echo kept > /kept").wait_exit() == 0
    again = pod.run(4, "cat", "/kept")
    assert again.wait_exit() == 0 and again.stdout == b"kept\n"
    other = pod.run(5, "cat", "/kept")
    assert other.wait_exit() == 1


def test_one_takes_the_place_of_what_is_left(pod):
    old = pod.run(1, "sleep", "1000")
    new = pod.run(1, "echo", "new")
    assert old.wait_exit() == 137
    assert new.wait_exit() == 0 and new.stdout == b"new\n"


def test_abandoned_before_it_was_started(pod):
    session = pod.create(1, "sleep", "1000")
    session.send("q")
    session.wait_exit()
    with pytest.raises(Failed) as error:
        pod.agent.request("stats", container=1)
    assert error.value.code == "wrong-state"


def test_what_can_not_be_made_leaves_nothing(pod):
    with pytest.raises(Failed) as error:
        pod.create(1, "/nowhere")
    assert error.value.code == "command-not-found"
    session = pod.run(1, "true")
    assert session.wait_exit() == 0


def connect(pod, port: int, host: str = "127.0.0.1"):
    session = pod.agent.open("T", {"host": host, "port": port})
    session.wait_done()
    return session


def connect_soon(pod, port: int):
    """To what may not listen yet."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return connect(pod, port)
        except Failed:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_connection_from_outside(pod):
    server = pod.run(1, "nc", "-l", "-p", "9000", "-e", "cat")
    with pytest.raises(Failed) as error:
        connect(pod, 9001)
    assert "refused" in str(error.value)
    with pytest.raises(Failed):
        connect(pod, 9000, "nowhere")
    session = connect_soon(pod, 9000)
    data = b"there and back" * 50000
    session.write(data)
    pod.agent.wait(lambda: len(session.stdout) == len(data))
    assert session.stdout == data
    session.end_input()
    assert session.wait_exit() == 0
    assert server.wait_exit() == 0


def test_an_abandoned_connection_is_closed(pod):
    server = pod.run(1, "nc", "-l", "-p", "9000", "-e", "cat")
    session = connect_soon(pod, 9000)
    session.send("q")
    pod.agent.wait(lambda: session.error)
    assert server.wait_exit() == 0


def test_the_whole_pod_is_written_back(boot):
    pod = Pod(boot())
    pod.run(1, "sh", "-c", "echo up; exec sleep 1000").wait_output(b"up")
    assert pod.agent.request("shutdown") == {}
    assert pod.machine.wait_off() == 0


def test_a_further_container_needs_the_first(boot):
    machine = boot()
    with pytest.raises(Failed) as error:
        machine.agent.create(container=1, config=member("true"), lower_device="vda")
    assert error.value.code == "wrong-state"
