"""The life of a pod: what its containers share, in which order they start and end, how they come
back, and what people are told meanwhile."""

from __future__ import annotations

import os
import signal
import time
import urllib.request

import pytest

import harness
from harness import wait_for
from pod_harness import box
from wasm_harness import Layout, module_layer

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


# ---------------------------------------------------------------- what is shared

def test_network_host_name_ipc_and_shared_memory_are_the_pods(pods):
    pods.run(box("a"), box("b"))
    for kind in ("net", "uts", "ipc"):
        assert pods.exec("a", "readlink", f"/proc/self/ns/{kind}") == \
            pods.exec("b", "readlink", f"/proc/self/ns/{kind}")
    for kind in ("pid", "mnt"):
        assert pods.exec("a", "readlink", f"/proc/self/ns/{kind}") != \
            pods.exec("b", "readlink", f"/proc/self/ns/{kind}")
    assert pods.exec("a", "hostname") == "pod" == pods.exec("b", "cat", "/etc/hostname")
    pods.exec("a", "sh", "-c", "echo from a > /dev/shm/note")
    assert pods.exec("b", "cat", "/dev/shm/note") == "from a"
    assert "pod" in pods.exec("b", "cat", "/etc/hosts")


def test_processes_are_shared_when_asked_for(pods):
    pods.run(box("a", "exec sleep 611"), box("b", "exec sleep 612"), shareProcessNamespace=True)
    seen = pods.exec("a", "ps")
    assert "sleep 611" in seen and "sleep 612" in seen and "trivet-infra" in seen


def test_volumes_of_each_kind(pods, tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file").write_text("of the host")
    mounts = [{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"},
              {"name": "host", "mountPath": "/host", "readOnly": True}]
    pods.run(box("a", volumeMounts=mounts), box("b", volumeMounts=mounts),
             volumes=[{"name": "disk", "emptyDir": {}},
                      {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                      {"name": "host", "hostPath": {"path": str(tmp_path / "host")}}])
    pods.exec("a", "sh", "-c", "echo on disk > /disk/x; echo in memory > /memory/x")
    assert pods.exec("b", "cat", "/disk/x", "/memory/x", "/host/file") == "on disk\nin memory\nof the host"
    too_much = pods.trivet.fails("pod", "exec", "-c", "b", "pod", "sh", "-c",
                                 "dd if=/dev/zero of=/memory/y bs=1M count=2")
    assert "No space left" in too_much.stderr
    assert "Read-only" in pods.trivet.fails("pod", "exec", "-c", "b", "pod", "touch", "/host/y").stderr
    # The host sees neither the memory's mount nor its files.
    assert not list(pods.trivet.data.glob("pods/*/volumes/memory/x"))
    pods.trivet.run("pod", "rm", "-f", "pod")
    assert (tmp_path / "host" / "file").exists()


@pytest.mark.network
def test_containers_reach_each_other_and_are_reached(pods):
    port = harness.free_port()
    web = box("web", "mkdir /www; echo served > /www/index.html; exec httpd -f -p 8080 -h /www",
              ports=[{"containerPort": 8080, "hostPort": port}],
              readinessProbe={"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1})
    pods.run(web, box("client"))
    assert pods.exec("client", "wget", "-qO-", "http://localhost:8080/") == "served"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.read() == b"served\n"
    assert str(port) in pods.trivet.run("pod", "ps").stdout


def test_limits_of_a_container_and_of_the_pod(pods):
    pods.run(box("a", resources={"limits": {"memory": "64Mi", "cpu": "500m"}}), box("b"),
             resources={"limits": {"memory": "128Mi"}})
    pid = pods.container("a")["Pid"]
    directory = harness.cgroup_directory(pid, "memory")
    limit = "memory.limit_in_bytes" if (directory / "memory.limit_in_bytes").exists() else "memory.max"
    assert (directory / limit).read_text().strip() == str(64 << 20)
    assert (directory.parent / limit).read_text().strip() == str(128 << 20)
    assert directory.parent.name.startswith("trivet-pod-")


# ---------------------------------------------------------------- order

def test_init_containers_and_sidecars_have_their_order(pods):
    mounts = [{"name": "log", "mountPath": "/log"}]
    note = "date +%s%N >> /log/{0}; echo {0} >> /log/order"
    end = "trap 'echo end of {0} >> /log/order; exit 0' TERM; while :; do sleep 0.1; done"
    pods.run(
        box("main", note.format("main") + ";" + end.format("main"), volumeMounts=mounts),
        init=[box("first", note.format("first") + "; sleep 0.3; echo first is over >> /log/order",
                  volumeMounts=mounts),
              box("side", "sleep 0.3; touch /ready;" + note.format("side") + ";" + end.format("side"),
                  restartPolicy="Always", volumeMounts=mounts,
                  startupProbe={"exec": {"command": ["ls", "/ready"]}, "periodSeconds": 1}),
              box("second", note.format("second"), volumeMounts=mounts)],
        volumes=[{"name": "log", "emptyDir": {}}])
    order, = pods.trivet.data.glob("pods/*/volumes/log/order")
    wait_for(lambda: "main" in order.read_text())
    assert order.read_text().split("\n")[:-1] == ["first", "first is over", "side", "second", "main"]
    pods.trivet.run("pod", "stop", "pod")
    assert order.read_text().split("\n")[5:-1] == ["end of main", "end of side"]
    assert pods.inspect()["Reason"] == "Stopped"


def test_it_runs_only_when_all_of_it_is_ready(pods):
    begun = time.monotonic()
    pods.run(box("slow", "sleep 1; touch /ready; exec sleep 600",
                 readinessProbe={"exec": {"command": ["ls", "/ready"]}, "periodSeconds": 1}))
    assert time.monotonic() - begun > 1
    assert pods.container("slow")["Ready"]


def test_hooks(pods):
    mounts = [{"name": "log", "mountPath": "/log"}]
    script = "trap 'echo term >> /log/x; exit 0' TERM; while :; do sleep 0.1; done"
    pods.run(box("a", script, volumeMounts=mounts, lifecycle={
        "postStart": {"exec": {"command": ["sh", "-c", "echo post >> /log/x"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo pre >> /log/x"]}}}),
        volumes=[{"name": "log", "emptyDir": {}}], terminationGracePeriodSeconds=30)
    file, = pods.trivet.data.glob("pods/*/volumes/log/x")
    assert file.read_text() == "post\n"
    pods.trivet.run("pod", "stop", "pod")
    assert file.read_text() == "post\npre\nterm\n"
    assert pods.inspect()["Phase"] == "succeeded"


# ---------------------------------------------------------------- ends

def test_a_job_ends_by_itself(pods):
    pods.run(box("a", "echo done; exit 0"), box("b", "sleep 0.5"),
             init=[box("side", restartPolicy="Always")])
    assert pods.trivet.out("pod", "wait", "pod") == "0"
    assert pods.inspect()["Phase"] == "succeeded"
    assert pods.trivet.logs("pod-a") == "done\n"
    # Who waits hears of the end before the supervisor has ended itself.
    wait_for(lambda: harness.processes_of(pods.trivet.base) == {}, what="no process is left")


def test_a_job_that_has_ended_before_it_ran_as_a_whole(pods):
    """Its readiness is waited for, until there is nothing left that could be ready."""
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    pods.run(box("a", "exit 0"), box("b", "sleep 1", readinessProbe=never))
    assert pods.trivet.out("pod", "wait", "pod") == "0"
    assert pods.inspect()["Phase"] == "succeeded"


def test_a_job_that_fails(pods):
    pods.run(box("a", "sleep 0.5; exit 7"), box("b", "sleep 0.5"))
    assert pods.trivet.out("pod", "wait", "pod") == "7"
    assert pods.inspect()["Phase"] == "failed"
    assert pods.container("a")["ExitCode"] == 7


def test_one_that_ends_does_not_end_the_others(pods):
    pods.run(box("a", "sleep 0.2"), box("b"))
    wait_for(lambda: pods.container("a")["Status"] == "stopped")
    assert pods.inspect()["Phase"] == "running"
    assert pods.container("b")["Status"] == "running"


def test_the_grace_is_kept_and_then_over(pods):
    pods.run(box("deaf", "trap '' TERM; while :; do sleep 0.1; done"))
    begun = time.monotonic()
    pods.trivet.run("pod", "stop", "--grace", "1", "pod")
    assert 1 <= time.monotonic() - begun
    assert pods.container("deaf")["ExitCode"] == 137


def test_a_deadline(pods):
    pods.run(box("a"), activeDeadlineSeconds=1)
    assert pods.wait_for_phase("failed")["Reason"] == "DeadlineExceeded"


def test_an_infra_container_that_is_killed_ends_the_pod(pods):
    pods.run(box("a"))
    os.kill(pods.inspect()["InfraPid"], signal.SIGKILL)
    assert pods.wait_for_phase("failed")["Reason"] == "InfraLost"
    assert harness.processes_of(pods.trivet.base) == {}


# ---------------------------------------------------------------- restarts

def test_a_container_comes_back_by_the_policy(pods):
    pods.run(box("a", "sleep 0.3; exit 3"), box("b"), restartPolicy="OnFailure")
    wait_for(lambda: pods.container("a")["RestartCount"] >= 2)
    assert pods.container("b")["RestartCount"] == 0
    assert pods.inspect()["Phase"] == "running"


def test_a_container_that_was_killed_comes_back_into_the_same_network(pods):
    pods.run(box("a"), box("b"), restartPolicy="Always")
    network = pods.exec("b", "readlink", "/proc/self/ns/net")
    os.kill(pods.container("a")["Pid"], signal.SIGKILL)
    wait_for(lambda: pods.container("a")["RestartCount"] == 1 and pods.container("a")["Pid"])
    assert pods.exec("a", "readlink", "/proc/self/ns/net") == network


def test_liveness_restarts_what_hangs(pods):
    alive = {"exec": {"command": ["ls", "/alive"]}, "periodSeconds": 1, "failureThreshold": 1}
    pods.run(box("a", "touch /alive; exec sleep 600", livenessProbe={**alive, "initialDelaySeconds": 1}),
             restartPolicy="Always", terminationGracePeriodSeconds=0)
    assert pods.container("a")["RestartCount"] == 0
    pods.exec("a", "sh", "-c", "until rm /alive 2>/dev/null; do sleep 0.1; done")
    wait_for(lambda: pods.container("a")["RestartCount"] == 1, timeout=20)
    wait_for(lambda: pods.container("a")["Ready"])


def test_readiness_comes_and_goes(pods):
    pods.run(box("a", "touch /ready; exec sleep 600",
                 readinessProbe={"exec": {"command": ["ls", "/ready"]}, "periodSeconds": 1,
                                 "failureThreshold": 1}))
    pods.exec("a", "rm", "/ready")
    wait_for(lambda: not pods.container("a")["Ready"])
    assert "No such file" in pods.container("a")["Message"]
    pods.exec("a", "touch", "/ready")
    wait_for(lambda: pods.container("a")["Ready"])
    assert pods.container("a")["RestartCount"] == 0


# ---------------------------------------------------------------- what people see

def test_its_containers_are_containers(pods):
    pods.run(box("a", "echo hello; exec sleep 600"))
    row, = pods.trivet.containers()
    assert row["Names"] == "pod-a"
    assert pods.trivet.logs("pod-a") == "hello\n"
    assert pods.trivet.out("exec", "pod-a", "echo", "inside") == "inside"
    assert "pod-a" in pods.trivet.run("stats", "--no-stream", "pod-a").stdout
    pods.trivet.run("pause", "pod-a")
    assert pods.trivet.status("pod-a") == "paused"
    pods.trivet.run("unpause", "pod-a")


@pytest.mark.parametrize("command", [["rm", "-f"], ["start"], ["restart"], ["rename"]])
def test_they_do_not_go_by_themselves(pods, command):
    pods.run(box("a", "exit 0"), box("b"))
    wait_for(lambda: pods.container("a")["Status"] == "stopped")
    words = [*command, "pod-a"] + (["other"] if command == ["rename"] else [])
    assert "belongs to pod" in pods.trivet.fails(*words).stderr


def test_prune_leaves_pods_alone(pods):
    pods.run(box("a", "exit 0"), box("b"))
    wait_for(lambda: pods.container("a")["Status"] == "stopped")
    pods.trivet.run("prune", "-f")
    assert pods.inspect()["Phase"] == "running"
    assert pods.exec("b", "echo", "here") == "here"


def test_a_running_pod_is_not_removed_without_force(pods):
    pods.run(box("a"))
    refused = pods.trivet.fails("pod", "rm", "pod")
    assert "running" in refused.stderr and "trivet pod rm -f pod" in refused.stderr
    pods.trivet.run("pod", "stop", "pod")
    pods.trivet.run("pod", "rm", "pod")
    assert pods.trivet.run("pod", "ps", "-q").stdout == ""


def test_a_name_is_taken_once(pods):
    pods.run(box("a"))
    refused = pods.trivet.fails("pod", "run", pods.write(box("a")))
    assert 'there is a pod "pod" already' in refused.stderr
    pods.run(box("a"), name="other")
    assert len(pods.trivet.run("pod", "ps", "--format", "json").json()) == 2


def test_a_crash_of_the_host_leaves_nothing_that_stops_anybody(pods):
    """After it there are directories without anything that runs, and no state."""
    identity = pods.run(box("a"))
    pods.kill_everything()
    journal = pods.trivet.data / "pods" / identity / "journal"
    journal.write_text(journal.read_text() + '{"step": "sto')  # a torn line
    assert pods.inspect()["Phase"] == "failed"
    pods.trivet.run("pod", "rm", "pod")


@pytest.mark.parametrize("journal", ["", "not json\n", '{"pod": "half'])
def test_a_journal_that_is_lost_leaves_nothing_either(pods, journal):
    identity = pods.run(box("a"))
    pods.kill_everything()
    (pods.trivet.data / "pods" / identity / "journal").write_text(journal)
    assert pods.trivet.run("pod", "ps", "-q").stdout == ""
    assert pods.trivet.containers("-a") == []


# ---------------------------------------------------------------- other isolations

@pytest.fixture
def wasm_image(trivet, programs, tmp_path):
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.image([module_layer(programs.probe.read_bytes())], {"Entrypoint": ["/app.wasm"]},
                            "wasi/wasm"), "module")
    trivet.run("image", "import", layout.folder, "module")
    return "module"


@pytest.mark.wasm
def test_a_module_beside_a_native_container(pods, wasm_image):
    """They share a volume, and each is isolated in its own way."""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    pods.run(box("native", volumeMounts=mounts),
             {"name": "reader", "image": wasm_image, "args": ["read", "/shared/x"],
              "volumeMounts": mounts},
             {"name": "sleeper", "image": wasm_image, "args": ["sleep", "600"]},
             init=[box("first", "echo from native > /shared/x", volumeMounts=mounts)],
             volumes=[{"name": "shared", "emptyDir": {}}])
    assert [pods.container(name)["Isolation"] for name in ("native", "reader", "sleeper")] == \
        ["native", "wasm", "wasm"]
    wait_for(lambda: pods.container("reader")["Status"] == "stopped")
    assert pods.trivet.logs("pod-reader").strip() == "from native"
    assert pods.container("reader")["ExitCode"] == 0
    pods.trivet.run("pod", "stop", "pod")
    assert pods.container("sleeper")["Status"] == "stopped"


@pytest.mark.wasm
def test_a_module_that_traps_fails_its_pod(pods, wasm_image):
    refused = pods.trivet.fails("pod", "run", pods.write(
        {"name": "bad", "image": wasm_image, "args": ["no such word"],
         "readinessProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 1}}))
    assert 'container "bad" ended with exit code' in refused.stderr
