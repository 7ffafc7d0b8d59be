"""A pod that is one microVM: its containers run in one guest, and look from the host like those of any pod."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import signal
import tarfile
import time
import urllib.request

import pytest

import harness
import vm_harness
import wasm_harness
from harness import wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm, pytest.mark.network,
              pytest.mark.usefixtures("nothing_left")]


def busybox(name: str, script: str = "exec sleep 600", **fields) -> dict:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


class Pods:
    """Pods of microVMs, by manifests that tests write in Python."""

    def __init__(self, trivet: harness.Trivet, directory: pathlib.Path):
        self.trivet = trivet
        self.directory = directory
        self.seen: dict[tuple[int, str], str] = {}

    def manifest(self, *containers: dict, more: list[dict] = (), **spec) -> str:
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                    "spec": {"runtimeClassName": "trivet-microvm", "restartPolicy": "Never",
                             "terminationGracePeriodSeconds": 2, "containers": list(containers), **spec}}
        path = self.directory / "pod.yaml"
        path.write_text("\n---\n".join(json.dumps(part) for part in [document, *more]))
        return str(path)

    def start(self, *containers: dict, **options) -> str:
        pod = self.trivet.out("pod", "run", self.manifest(*containers, **options))
        for pid in self.machine():
            if facts := vm_harness.stat_of(pid):
                self.seen[pid, facts[2]] = "machine"
        return pod

    def inspect(self) -> dict:
        return self.trivet.run("pod", "inspect", "p").json()[0]

    def container(self, name: str) -> dict:
        return next(row for row in self.inspect()["Containers"] if row["Name"] == name)

    def machine(self) -> dict[int, str]:
        """The shell of the pod's machine, with what it started."""
        return vm_harness.tree_of(self.inspect()["InfraPid"])

    def exec(self, container: str, script: str) -> str:
        return self.trivet.out("pod", "exec", "-c", container, "p", "sh", "-c", script)

    def log(self, container: str) -> str:
        return self.trivet.run("pod", "logs", "-c", container, "p").stdout

    def wait_for_log(self, container: str, text: str) -> None:
        wait_for(lambda: text in self.log(container), 30, f"{text!r} in the log of {container}")

    def alive(self) -> list[int]:
        """Which processes of the machines that were seen are there still."""
        facts = ((pid, started, vm_harness.stat_of(pid)) for pid, started in self.seen)
        return [pid for pid, started, now in facts if now and now[0] != "Z" and now[2] == started]


@pytest.fixture
def pods(trivet, tmp_path):
    trivet.env["TRIVET_EXPERIMENTAL"] = "1"
    found = Pods(trivet, tmp_path)
    yield found
    trivet.run("pod", "rm", "-f", "p", check=False)
    wait_for(lambda: not found.alive(), what="all processes of the machines are gone")


DATA = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
EMPTY = [{"name": "data", "emptyDir": {}}]


def test_its_containers_are_in_one_guest_and_share_what_a_pod_shares(pods, trivet):
    pods.start(busybox("server", "cat /data/first; echo served > /tmp/index.html; exec httpd -f -p 8080 -h /tmp",
                       **DATA),
               busybox("client", "exec sleep 600", **DATA),
               initContainers=[busybox("first", "hostname > /data/first; uname -r; echo done", **DATA)],
               volumes=EMPTY)
    # One machine, and a process beside it for each container.
    assert list(pods.machine().values()).count("qemu-system-x86_64") == 1
    assert {row["Isolation"] for row in pods.inspect()["Containers"]} == {"microvm"}
    assert pods.log("first").endswith("done\n")
    assert os.uname().release not in pods.log("first")
    pods.wait_for_log("server", "p\n")
    wait_for(lambda: trivet.run("pod", "exec", "-c", "client", "p", "wget", "-qO-", "http://127.0.0.1:8080",
                                check=False).stdout == "served\n", what="the server answers")
    assert pods.exec("client", "cat /data/first; hostname; ls /tmp") == "p\np"
    processes = pods.exec("client", "ps")
    assert "sleep 600" in processes and "httpd" not in processes and "trivet" not in processes
    assert pods.exec("client", "readlink /proc/self/ns/net") == pods.exec("server", "readlink /proc/self/ns/net")
    assert pods.exec("client", "grep -c p$ /etc/hosts; grep -c nameserver /etc/resolv.conf") == "1\n1"
    trivet.run("pod", "stop", "p")
    assert pods.inspect()["Phase"] in ("failed", "succeeded")
    assert pods.container("first")["ExitCode"] == 0
    trivet.run("pod", "rm", "p")
    assert trivet.run("pod", "ps", "--format", "json").json() == []


def test_exit_codes_and_output_of_programs_that_end(pods, trivet):
    pods.start(busybox("good", "echo out; echo err >&2"), busybox("bad", "sleep 1; exit 7"))
    trivet.run("pod", "wait", "p", check=False)
    assert (pods.container("good")["ExitCode"], pods.container("bad")["ExitCode"]) == (0, 7)
    both = trivet.run("pod", "logs", "-c", "good", "p")
    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    wait_for(lambda: not pods.alive(), what="the machine has ended")


def test_a_published_port(pods):
    port = harness.free_port()
    pods.start(busybox("web", "exec httpd -f -p 80 -h /www", ports=[{"containerPort": 80, "hostPort": port}]))

    def answer() -> bytes:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
        except OSError:
            return b""
    wait_for(lambda: answer() == b"hello from trivet\n", 20, "the page comes through")


def test_volumes_of_every_kind(pods, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "from-host").write_text("host\n")
    mounts = [{"name": "memory", "mountPath": "/memory"}, {"name": "settings", "mountPath": "/settings"},
              {"name": "host", "mountPath": "/host"}, {"name": "data", "mountPath": "/sub", "subPath": "a/b"},
              {"name": "settings", "mountPath": "/one", "subPath": "key"},
              {"name": "data", "mountPath": "/ro", "readOnly": True}]
    pods.start(busybox("a", "echo written > /memory/x; echo sub > /sub/y; echo back > /host/from-guest; "
                       "cat /settings/key /one; echo ready; exec sleep 600", volumeMounts=mounts),
               busybox("b", "exec sleep 600", volumeMounts=[*mounts, *DATA["volumeMounts"]]),
               volumes=[*EMPTY, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                        {"name": "settings", "configMap": {"name": "settings"}},
                        {"name": "host", "hostPath": {"path": str(shared), "type": "Directory"}}],
               more=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                      "data": {"key": "value\n"}}])
    pods.wait_for_log("a", "ready")
    assert pods.log("a") == "value\nvalue\nready\n"
    assert pods.exec("b", "cat /memory/x /data/a/b/y /host/from-host") == "written\nsub\nhost"
    assert (shared / "from-guest").read_text() == "back\n"
    assert "Read-only" in pods.exec("b", "touch /ro/x 2>&1; true")
    assert pods.exec("b", "head -c 2m /dev/zero > /memory/full 2>/dev/null || echo too much") == "too much"
    assert "tmpfs" in pods.exec("b", "grep ' /memory ' /proc/mounts")


def test_probes_reach_into_the_guest(pods):
    begun = time.monotonic()
    pods.start(busybox("web", "sleep 2; touch /tmp/up; exec httpd -f -p 8080 -h /www",
                       startupProbe={"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1,
                                     "failureThreshold": 30},
                       readinessProbe={"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1},
                       livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    assert time.monotonic() - begun > 2
    assert pods.container("web")["Ready"]


def test_a_probe_that_fails_restarts_the_container_in_its_machine(pods):
    pods.start(busybox("web", "echo begun >> /data/starts; exec sleep 600", **DATA,
                       livenessProbe={"exec": {"command": ["test", "!", "-e", "/data/bad"]}, "periodSeconds": 1,
                                      "failureThreshold": 1}),
               busybox("other", "exec sleep 600", **DATA), volumes=EMPTY, restartPolicy="Always",
               terminationGracePeriodSeconds=1)
    machine = pods.inspect()["InfraPid"]
    pods.exec("other", "touch /data/bad")
    wait_for(lambda: pods.container("web")["RestartCount"] >= 1, 30, "it is restarted")
    pods.exec("other", "rm /data/bad")
    wait_for(lambda: pods.container("web")["Status"] == "running", 30, "it runs again")
    assert pods.exec("other", "wc -l < /data/starts").strip() == str(pods.container("web")["RestartCount"] + 1)
    assert pods.inspect()["InfraPid"] == machine


def test_a_web_probe_says_what_was_wrong(pods, trivet):
    path = pods.manifest(busybox("web", "exec httpd -f -p 8080 -h /www",
                                 startupProbe={"httpGet": {"path": "/nowhere", "port": 8080}, "periodSeconds": 1,
                                               "failureThreshold": 2}))
    failed = trivet.fails("pod", "run", path)
    assert "status code 404" in failed.stderr
    path = pods.manifest(busybox("web", startupProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1,
                                                      "failureThreshold": 2}))
    assert "refused" in trivet.fails("pod", "run", path).stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == []


def test_what_takes_too_much_memory_is_killed_and_nothing_else(pods, trivet):
    pods.start(busybox("hungry", "sleep 1; exec tail -c 300m /dev/zero", resources={"limits": {"memory": "64Mi"}}),
               busybox("other"))
    wait_for(lambda: pods.container("hungry")["Status"] == "stopped", 60, "it has ended")
    assert pods.container("hungry")["OOMKilled"] and pods.container("hungry")["ExitCode"] == 137
    assert pods.exec("other", "echo alive") == "alive"
    # The numbers are those of the guest.
    stats = trivet.run("stats", "--no-stream", "--format", "json", "p-other").json()[0]
    assert 0 < stats["MemoryBytes"] < 64 << 20


def test_pause_top_and_copies_are_of_one_container(pods, trivet, tmp_path):
    pods.start(busybox("clock", "while :; do date +%s%N > /data/now; sleep 0.1; done", **DATA),
               busybox("other", **DATA), volumes=EMPTY)
    wait_for(lambda: pods.exec("other", "cat /data/now 2>/dev/null; true"), what="the clock goes")
    trivet.run("pause", "p-clock")
    time.sleep(0.5)
    before = pods.exec("other", "cat /data/now")
    time.sleep(1)
    assert pods.exec("other", "cat /data/now") == before
    trivet.run("unpause", "p-clock")
    wait_for(lambda: pods.exec("other", "cat /data/now") != before, what="the clock goes on")
    assert "sleep 600" in trivet.out("top", "p-other") and "date" not in trivet.out("top", "p-other")
    (tmp_path / "file").write_text("copied\n")
    trivet.run("cp", tmp_path / "file", "p-other:/tmp/")
    assert pods.exec("other", "cat /tmp/file") == "copied"
    assert pods.exec("clock", "ls /tmp") == ""
    trivet.run("cp", "p-other:/tmp/file", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "copied\n"


def test_a_shared_pid_namespace(pods):
    pods.start(busybox("a", "exec sleep 601"), busybox("b", "exec sleep 602"), shareProcessNamespace=True)
    processes = pods.exec("a", "ps")
    assert "sleep 601" in processes and "sleep 602" in processes and "trivet-infra" in processes


def test_a_failure_takes_everything_back(pods, trivet):
    path = pods.manifest(busybox("good"), {"name": "bad", "image": "busybox", "command": ["/nowhere"]},
                         initContainers=[busybox("first", "echo was here")])
    failed = trivet.fails("pod", "run", path)
    assert 'container "bad"' in failed.stderr and "/nowhere" in failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == []
    assert trivet.containers() == []


def test_one_whose_process_is_killed_is_gone_in_the_guest_too(pods):
    # The last to be started: what its start needed is still open when it ends.
    pods.start(busybox("other"), busybox("victim", "exec sleep 603"), shareProcessNamespace=True)
    os.kill(pods.container("victim")["Pid"], signal.SIGKILL)
    wait_for(lambda: pods.container("victim")["Status"] == "stopped", what="it has ended")
    assert pods.container("victim")["ExitCode"] == 137
    wait_for(lambda: "sleep 603" not in pods.exec("other", "ps"), what="its program has ended")


def test_without_its_machine_a_pod_has_ended(pods, trivet):
    pods.start(busybox("a"), busybox("b"))
    qemu = next(pid for pid, name in pods.machine().items() if name.startswith("qemu"))
    os.kill(qemu, signal.SIGKILL)
    wait_for(lambda: pods.inspect()["Phase"] == "failed", 20, "the pod has failed")
    assert "virtual machine ended" in pods.inspect()["Message"]
    assert {row["ExitCode"] for row in pods.inspect()["Containers"]} == {137}


def test_without_its_supervisor_a_pod_has_ended(pods, trivet):
    pods.start(busybox("a"), busybox("b"))
    os.kill(pods.inspect()["MonitorPid"], signal.SIGKILL)
    wait_for(lambda: pods.inspect()["Phase"] == "failed", 20, "the pod has failed")
    wait_for(lambda: not pods.alive(), 20, "its machine has ended")


def test_more_images_than_a_machine_has_room_for(pods, trivet, tmp_path):
    """Each is a disk. They are counted as soon as they are there, and by their layers."""
    names = [f"image{i}" for i in range(21)]
    for name in names:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        layout = wasm_harness.Layout(tmp_path / name)
        layout.tag(layout.image([data.getvalue()], {}, "linux/amd64"), name)
        trivet.run("image", "import", layout.folder, name)
    containers = [{"name": name, "image": name, "command": ["/nowhere"]} for name in names]
    failed = trivet.fails("pod", "run", pods.manifest(*containers, busybox("more"), busybox("again")))
    words = r"the pod has 22 images, and a microVM with the kernel \S+ has room for (20|4)\n"
    assert re.search(words, failed.stderr), failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == [] and trivet.containers() == []


def test_servers_in_the_settings_of_dns(pods):
    # One that is not there: the answer is a failure, and soon.
    path = pathlib.Path(pods.manifest(busybox("a")))
    document = json.loads(path.read_text())
    document["metadata"]["annotations"] = {"dev.trivet.extensions": "dns", "dev.trivet.extension/dns": "127.0.0.1#1"}
    pods.trivet.run("pod", "run", "-", stdin=json.dumps(document))
    said = pods.exec("a", "nslookup -type=a elsewhere.example 2>&1; true")
    assert "SERVFAIL" in said and "127.0.0.11" in said, said


def test_what_can_not_be_is_said_before_anything_is_made(pods, trivet):
    for path, words in ((pods.manifest(busybox("a"), hostNetwork=True), "host's network"),):
        failed = trivet.fails("pod", "run", path)
        assert words in failed.stderr
    document = json.loads(pathlib.Path(pods.manifest(busybox("a"), busybox("b"))).read_text())
    document["metadata"]["annotations"] = {"dev.trivet.isolation/b": "native"}
    failed = trivet.fails("pod", "run", "-", stdin=json.dumps(document))
    assert "the pod is one microVM" in failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == []
