"""A pod of five containers whose start fails at one step after the other, or is killed at one entry of
its journal after the other: an error that names the first cause, and nothing is left.

strace(1) strikes at the journal's entries: the only writev(2) of the library and of the supervisor.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

import harness
import vm_harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.network]


def busybox(name: str, script: str = "exec sleep 600", **fields) -> dict:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


def five() -> dict:
    """An init container, a sidecar, three others; volumes of each kind."""
    mounts = [{"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"},
              {"name": "settings", "mountPath": "/settings"}]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "five"},
        "spec": {
            "restartPolicy": "Never",
            "initContainers": [
                busybox("first", "echo from first > /scratch/x; echo first is done", volumeMounts=mounts),
                busybox("side", restartPolicy="Always")],
            "containers": [busybox("one", "cat /scratch/x; exec sleep 600", volumeMounts=mounts),
                           busybox("two"), busybox("three")],
            "volumes": [{"name": "scratch", "emptyDir": {}},
                        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                        {"name": "settings", "configMap": {"name": "settings"}}]}}


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
              "data": {"a": "b"}}


class Pod:
    """The manifest of five() for a test to spoil, and what becomes of it."""

    def __init__(self, trivet, directory: pathlib.Path):
        self.trivet = trivet
        self.path = directory / "pod.yaml"
        self.manifest = five()
        self.config_map = json.loads(json.dumps(CONFIG_MAP))
        self.before = harness.HostState.take(trivet)

    @property
    def spec(self) -> dict:
        return self.manifest["spec"]

    def container(self, name: str) -> dict:
        everything = self.spec["initContainers"] + self.spec["containers"]
        return next(container for container in everything if container["name"] == name)

    def write(self) -> pathlib.Path:
        self.path.write_text(f"{json.dumps(self.manifest)}\n---\n{json.dumps(self.config_map)}\n")
        return self.path

    def run(self) -> None:
        self.trivet.run("pod", "run", self.write())

    def start(self) -> subprocess.Popen:
        return self.trivet.start("pod", "run", self.write())

    def refused(self) -> str:
        return self.trivet.fails("pod", "run", self.write()).stderr

    def leftovers(self) -> dict:
        found = self.before.leftovers(harness.HostState.take(self.trivet))
        if "PYTEST_XDIST_WORKER" in os.environ:
            # Others make some as well; the session's end looks at all of them.
            found.pop("cgroups", None)
            found.pop("network_devices", None)
        return found

    def is_gone(self) -> None:
        """Also without another command of trivet, unless the supervisor was killed."""
        try:
            harness.wait_for(lambda: not self.leftovers())
        except AssertionError:
            pytest.fail(f"left behind: {self.leftovers()}", pytrace=False)

    def status(self) -> dict:
        """Of the supervisor's file, or nothing yet: trivet itself would say so only when it runs."""
        for path in self.trivet.data.glob("pods/*/status.json"):
            return json.loads(path.read_text())
        return {}

    def is_starting(self) -> dict:
        return harness.wait_for(lambda: (status := self.status()).get("phase") == "preparing" and
                                status["pasta"]["pid"] and status, what="the pod's start")


@pytest.fixture
def pod(trivet, tmp_path):
    pod = Pod(trivet, tmp_path)
    yield pod
    trivet.remove_pods(check=False)


def test_the_pod_itself_runs(pod):
    pod.run()
    pod.trivet.wait_for_log("five-one", "from first\n")
    pod.trivet.run("pod", "rm", "-f", "five")
    pod.is_gone()


def spoil_image(pod):
    pod.container("two").update(image="busybox@sha256:" + "0" * 64, imagePullPolicy="Never")
    return "busybox@sha256:000"


def spoil_registry(pod):
    pod.container("two").update(image="127.0.0.1:1/nothing:here")
    return "127.0.0.1:1/nothing:here"


def spoil_command(pod):
    pod.container("three").update(command=["/nowhere/program"])
    return '"/nowhere/program"'


def spoil_host_path(pod):
    pod.spec["volumes"].append({"name": "host", "hostPath": {"path": "/nowhere/x", "type": "Directory"}})
    pod.container("one")["volumeMounts"].append({"name": "host", "mountPath": "/host"})
    return 'volume "host"'


def spoil_mount(pod):
    """A directory can't be mounted on a file."""
    pod.container("two")["volumeMounts"] = [{"name": "scratch", "mountPath": "/bin/busybox"}]
    return 'container "two"'


def spoil_limit(pod):
    pod.container("two")["resources"] = {"limits": {"memory": "1"}}
    return "memory"


def spoil_sysctl(pod):
    pod.spec["securityContext"] = {"sysctls": [{"name": "net.core.somaxconn", "value": "many"}]}
    return "infra container"


def spoil_init(pod):
    pod.container("first").update(command=["sh", "-c", "echo I give up; exit 3"])
    return 'init container "first" ended with exit code 3'


def spoil_sidecar(pod):
    pod.container("side").update(command=["sh", "-c", "exit 4"])
    pod.container("side")["startupProbe"] = {"exec": {"command": ["true"]}, "initialDelaySeconds": 5}
    return 'container "side" ended with exit code 4'


def spoil_hook(pod):
    pod.container("two")["lifecycle"] = {"postStart": {"exec": {"command": ["false"]}}}
    return "postStart hook"


def spoil_startup(pod):
    pod.container("two")["startupProbe"] = {"exec": {"command": ["false"]}, "periodSeconds": 1,
                                            "failureThreshold": 1}
    return "startup probe"


def spoil_main(pod):
    pod.container("two").update(command=["sh", "-c", "exit 5"])
    pod.container("three")["readinessProbe"] = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    return 'container "two" ended with exit code 5'


def spoil_extension(pod):
    pod.manifest["metadata"]["annotations"] = {"dev.trivet.extensions": "nothing"}
    return "nothing"


@pytest.mark.parametrize("spoil", [
    spoil_image, spoil_registry, spoil_command, spoil_host_path, spoil_mount, spoil_limit, spoil_sysctl,
    spoil_init, spoil_sidecar, spoil_hook, spoil_startup, spoil_main, spoil_extension],
    ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_a_step_that_fails(pod, spoil):
    cause = spoil(pod)
    assert cause in pod.refused().splitlines()[0]
    pod.is_gone()


# ---------------------------------------------------------------- one of the five is a microVM

@pytest.fixture
def mixed(pod):
    """The container "two" is a microVM with a port, shared files and a network of its own making."""
    pod.trivet.env["TRIVET_EXPERIMENTAL"] = "1"
    pod.manifest["metadata"]["annotations"] = {"dev.trivet.isolation/two": "microvm"}
    pod.container("two").update(ports=[{"containerPort": 80}],
                                volumeMounts=[{"name": "scratch", "mountPath": "/scratch"},
                                              {"name": "memory", "mountPath": "/memory"}])
    return pod


def spoil_kernel(pod):
    pod.trivet.env["TRIVET_VM_DIR"] = str(pod.path.parent / "nothing")
    return "kernel"


def spoil_experimental(pod):
    del pod.trivet.env["TRIVET_EXPERIMENTAL"]
    return "experimental"


def spoil_memory(pod):
    pod.container("two")["resources"] = {"limits": {"memory": "100Ti"}}
    return "a microVM has"


def spoil_port(pod):
    pod.manifest["metadata"]["annotations"]["dev.trivet.isolation/three"] = "microvm"
    pod.container("three")["ports"] = [{"containerPort": 80}]
    return "port 80/tcp: another container of the pod has it"


@pytest.mark.microvm
@pytest.mark.parametrize("spoil", [
    spoil_kernel, spoil_experimental, spoil_memory, spoil_port, spoil_image, spoil_hook, spoil_main],
    ids=lambda spoil: spoil.__name__.removeprefix("spoil_"))
def test_a_step_that_fails_with_a_machine(mixed, spoil):
    cause = spoil(mixed)
    assert cause in mixed.refused().splitlines()[0]
    mixed.is_gone()


@pytest.mark.microvm
def test_a_program_that_is_not_in_the_machine(mixed):
    mixed.container("two").update(command=["/nowhere/program"])
    said = mixed.refused().splitlines()[0]
    assert 'container "two"' in said and "/nowhere/program" in said
    mixed.is_gone()


def machine_of(supervisor: int) -> dict[tuple[int, str], str]:
    """The processes below a supervisor that only a machine needs, by what makes them themselves."""
    return {(pid, vm_harness.stat_of(pid)[2]): name for pid, name in vm_harness.tree_of(supervisor).items()
            if name.startswith(("qemu", "passt", "virtiofsd"))}


@pytest.mark.microvm
@pytest.mark.parametrize("victim", ["supervisor", "infra"])
def test_a_process_that_is_killed_beside_a_machine(mixed, victim):
    never_ready(mixed)
    mixed.container("two")["readinessProbe"]["timeoutSeconds"] = 20
    process = mixed.start()
    found = mixed.is_starting()
    machine = harness.wait_for(lambda: len(seen := machine_of(found["supervisor"]["pid"])) >= 3 and seen, 60,
                               "the machine runs")
    harness.kill_hard(found[victim]["pid"])
    process.communicate(timeout=60 * harness.SLOW)
    assert process.returncode != 0
    mixed.is_gone()
    harness.wait_for(lambda: not [pid for pid, started in machine
                                  if (now := vm_harness.stat_of(pid)) and now[0] != "Z" and now[2] == started],
                     what="what belongs to the machine has gone")


@pytest.mark.microvm
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("entry", ["two", "three"])
def test_a_supervisor_that_is_killed_before_and_behind_a_machine(mixed, tmp_path, entry):
    """At the entries of the journal before it is made, and after that."""
    names = [container["name"] for container in mixed.spec["initContainers"] + mixed.spec["containers"]]
    # The infra container and the network come first.
    at = 2 + names.index(entry) + 1
    programs = struck_programs(tmp_path / "bin", SUPERVISOR, "kill", at)
    subprocess.run([programs / "trivet", "pod", "run", mixed.write()], env=mixed.trivet.env,
                   timeout=60 * harness.SLOW, stdin=subprocess.DEVNULL, check=False)
    assert mixed.trivet.run("pod", "ps", "--format", "json").json() == []
    mixed.is_gone()


def test_a_port_that_is_taken(pod):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        pod.container("two")["ports"] = [{"containerPort": 80, "hostPort": port}]
        assert str(port) in pod.refused()
    pod.is_gone()


def test_a_disk_that_is_full(pod):
    disk = pod.trivet.data / "pods"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        pod.config_map["data"] = {f"file{i}": "x" * 50000 for i in range(10)}
        assert "No space left on device" in pod.refused()
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
    pod.is_gone()


def test_the_last_words_of_the_containers_are_told(pod):
    spoil_init(pod)
    assert "note: first: I give up" in pod.refused().splitlines()


def never_ready(pod):
    pod.container("two")["readinessProbe"] = {"exec": {"command": ["false"]}, "periodSeconds": 1}


def test_an_infra_container_that_is_killed_while_it_starts(pod):
    never_ready(pod)
    process = pod.start()
    infra = pod.is_starting()["infra"]["pid"]
    harness.kill_hard(infra)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode != 0 and "infra container has ended" in said
    pod.is_gone()


def test_a_caller_that_is_killed_while_it_starts(pod):
    never_ready(pod)
    process = pod.start()
    pod.is_starting()
    process.kill()
    process.wait()
    pod.is_gone()


def test_an_interrupted_caller(pod):
    never_ready(pod)
    process = pod.start()
    pod.is_starting()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    pod.is_gone()


def test_a_supervisor_that_is_killed_while_it_starts(pod):
    never_ready(pod)
    process = pod.start()
    harness.kill_hard(pod.is_starting()["supervisor"]["pid"])
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode != 0 and "five" in said
    pod.is_gone()


def test_a_supervisor_that_is_killed_later(pod):
    """The pod can't be whole any more: the next command ends what is left of it, and says so."""
    pod.run()
    pod.trivet.wait_for_log("five-one", "from first\n")
    supervisor = pod.status()["supervisor"]["pid"]
    harness.kill_hard(supervisor)
    harness.wait_for(lambda: not os.path.exists(f"/proc/{supervisor}"), what="it has gone")
    row, = pod.trivet.run("pod", "ps", "--format", "json").json()
    document, = pod.trivet.run("pod", "inspect", "five").json()
    assert document["Phase"] == "failed" and document["Reason"] == "MonitorLost"
    assert not [pid for pid, line in harness.processes_of(pod.trivet.base).items()]
    assert pod.trivet.logs("five-one") == "from first\n"
    pod.trivet.run("pod", "rm", "five")
    pod.is_gone()


# ---------------------------------------------------------------- at each entry of the journal

CALLER, SUPERVISOR = "trivet", "trivet-pod-monitor"
FAULTS = {"kill": "signal=KILL", "error": "error=EIO"}


def struck_programs(directory: pathlib.Path, program: str, fault: str, entry: int,
                    call: str = "writev") -> pathlib.Path:
    """One program is struck at an entry of the journal, or at another call."""
    return harness.struck_programs(directory, (CALLER,), program, call, FAULTS[fault], entry)


def entries_of(pod, program: str) -> int:
    """How many entries a start without a fault has of a program: the library's end with the files."""
    pod.run()
    journal, = pod.trivet.data.glob("pods/*/journal")
    steps = [json.loads(line)["step"] for line in journal.read_text().splitlines()[1:]]
    pod.trivet.run("pod", "rm", "-f", "five")
    of_caller = [step for step in steps if step in ("files", "container")]
    return len(of_caller) if program == CALLER else len(steps) - len(of_caller)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("program", [CALLER, SUPERVISOR])
def test_every_entry_of_the_journal(pod, tmp_path, program, fault):
    entries = entries_of(pod, program)
    assert entries >= 6
    pod.is_gone()
    for entry in range(1, entries + 1):
        programs = struck_programs(tmp_path / f"bin{entry}", program, fault, entry)
        subprocess.run([programs / "trivet", "pod", "run", pod.write()], env=pod.trivet.env, timeout=60,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False)
        assert "INJECTED" in (programs / "log").read_text() or fault == "kill"
        if program == CALLER:
            # The supervisor removes what a caller that was killed leaves; before there is one, the next
            # command does.
            harness.wait_for(lambda: not any("trivet-pod-monitor" in line for line in
                                             harness.processes_of(pod.trivet.base).values()),
                             what="the supervisor has ended")
            assert entry == 1 or not any((pod.trivet.data / "pods").iterdir()), f"entry {entry}"
        # Whole, or gone; a supervisor that was killed after the last step has left it to us to see.
        rows = pod.trivet.run("pod", "ps", "--format", "json").json()
        if rows:
            assert entry == entries, f"entry {entry} of {entries}"
            pod.trivet.run("pod", "rm", "-f", "five")
        try:
            pod.is_gone()
        except pytest.fail.Exception as failure:
            pytest.fail(f"entry {entry} of {entries}: {failure.msg}", pytrace=False)
    pod.run()
    pod.trivet.run("pod", "rm", "-f", "five")


@pytest.mark.parametrize("moment", [1, 5, 20])
def test_a_removal_that_is_killed_is_finished(pod, tmp_path, moment):
    pod.run()
    programs = struck_programs(tmp_path / "bin", CALLER, "kill", moment, "unlinkat")
    subprocess.run([programs / "trivet", "pod", "rm", "-f", "five"], env=pod.trivet.env, timeout=60,
                   stdin=subprocess.DEVNULL, check=False)
    assert pod.leftovers()
    pod.trivet.run("ps")  # any command does
    pod.is_gone()


def test_a_hundred_pods_leave_no_trace(pod):
    """Of three containers each, one after the other."""
    for container in ("first", "side"):
        pod.spec["initContainers"].remove(pod.container(container))
    path = pod.write()
    begun = time.monotonic()
    for _ in range(100):
        pod.trivet.run("pod", "run", path)
        pod.trivet.run("pod", "rm", "-f", "five")
        assert time.monotonic() - begun < 300 * harness.SLOW
    pod.is_gone()
