"""Pods in which one container is a microVM, another native or WebAssembly: all on one network, with the same
volumes, probes and ends."""

from __future__ import annotations

import json
import os
import pathlib
import urllib.request

import pytest

import harness
import vm_harness
from harness import wait_for
from pod_harness import box
from wasm_harness import Layout, module_layer

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm, pytest.mark.network,
              pytest.mark.usefixtures("nothing_left")]

SHARED = [{"name": "shared", "mountPath": "/shared"}]


def in_vm(*names: str, **more: str) -> dict:
    """The annotations that make these containers microVMs."""
    return {f"dev.trivet.isolation/{name}": "microvm" for name in names} | more


@pytest.fixture(autouse=True)
def machines(trivet, pods):
    """Every process of a machine, and the passt behind it, is gone in the end."""
    trivet.env["TRIVET_EXPERIMENTAL"] = "1"
    seen: dict[tuple[int, str], str] = {}
    run = pods.run

    def run_and_look(*containers, **fields):
        pod = run(*containers, **fields)
        for pid, name in vm_harness.tree_of(pods.inspect()["MonitorPid"]).items():
            if facts := vm_harness.stat_of(pid):
                seen[pid, facts[2]] = name
        return pod
    pods.run = run_and_look
    pods.seen = seen
    yield
    trivet.run("pod", "rm", "-f", "pod", check=False)

    def alive():
        return [name for (pid, started), name in seen.items()
                if (now := vm_harness.stat_of(pid)) and now[0] != "Z" and now[2] == started]
    wait_for(lambda: not alive(), what="all processes of the pod are gone")


@pytest.fixture
def wasm_image(trivet, programs, tmp_path):
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.image([module_layer(programs.probe.read_bytes())], {"Entrypoint": ["/app.wasm"]},
                            "wasi/wasm"), "module")
    trivet.run("image", "import", layout.folder, "module")
    return "module"


def page(word: str, port: int) -> str:
    return f"mkdir /tmp/www; echo {word} > /tmp/www/index.html; exec httpd -f -p {port} -h /tmp/www"


def get(pods, container: str, address: str) -> str:
    return pods.trivet.run("pod", "exec", "-c", container, "pod", "timeout", "10", "wget", "-qO-",
                           f"http://{address}", check=False).stdout.strip()


@pytest.mark.wasm
def test_all_of_them_have_one_localhost(pods, trivet, wasm_image, probe):
    port = harness.free_port()
    pods.run(box("native", page("native", 8081)),
             box("machine", page("machine", 8080),
                 ports=[{"containerPort": 8080, "hostPort": port}, {"containerPort": 8082}]),
             box("listener", f"/probe/{probe.name} udp 69 & exec sleep 600",
                 volumeMounts=[{"name": "probe", "mountPath": "/probe"}]),
             {"name": "module", "image": wasm_image, "args": ["sleep", "600"]},
             annotations=in_vm("machine"),
             securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "9000"},
                                          {"name": "net.ipv4.ip_default_ttl", "value": "77"}]},
             volumes=[{"name": "probe", "hostPath": {"path": str(probe.parent)}}])
    assert [row["Isolation"] for row in pods.inspect()["Containers"]] == ["native", "microvm", "native", "wasm"]
    assert list(pods.seen.values()).count("qemu-system-x86_64") == 1
    kernel = pods.exec("machine", "uname", "-r")
    assert kernel != os.uname().release and pods.exec("native", "uname", "-r") == os.uname().release
    for name in ("native", "machine"):
        assert pods.exec(name, "cat", "/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_default_ttl") == "9000\n77"
    assert pods.exec("machine", "hostname") == pods.exec("native", "hostname") == "pod"

    wait_for(lambda: get(pods, "native", "127.0.0.1:8080") == "machine", what="the machine answers")
    assert get(pods, "native", "localhost:8080") == "machine"
    assert get(pods, "machine", "127.0.0.1:8081") == "native"
    assert get(pods, "machine", "localhost:8081") == "native"
    assert get(pods, "machine", "127.0.0.1:8080") == "machine"
    # So is the pod's own address, which all of them have.
    address = pods.exec("native", "hostname", "-i").split()[-1]
    assert pods.exec("machine", "hostname", "-i").split()[-1] == address
    assert address in pods.exec("machine", "ip", "-o", "addr")
    assert get(pods, "native", f"{address}:8080") == "machine"
    assert get(pods, "machine", f"{address}:8081") == "native"
    # A port of its own at which nobody listens, and one that nobody has.
    for nobody in ("8082", "8999"):
        refused = trivet.run("pod", "exec", "-c", "machine", "pod", "nc", "-w", "20", "127.0.0.1", nobody,
                             check=False)
        assert refused.returncode != 0 and "refused" in refused.stderr, nobody
    # From outside.
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read() == b"machine\n"
    # Datagrams, too.
    trivet.run("pod", "exec", "-c", "machine", "pod", "timeout", "2", "tftp", "-g", "-r", "asked", "-l", "/dev/null",
               "127.0.0.1", check=False)
    wait_for(lambda: "asked" in trivet.logs("pod-listener"), what="the datagram has come")
    trivet.run("pod", "stop", "pod")
    trivet.run("pod", "rm", "pod")


def test_volumes_are_the_same_in_the_machine(pods, trivet, tmp_path):
    (tmp_path / "host").mkdir()
    mounts = [*SHARED, {"name": "memory", "mountPath": "/memory"},
              {"name": "settings", "mountPath": "/settings", "readOnly": True},
              {"name": "shared", "mountPath": "/part", "subPath": "a/b"},
              {"name": "shared", "mountPath": "/closed", "readOnly": True},
              {"name": "host", "mountPath": "/host"}]
    path = pods.write(
        box("native", "exec sleep 600", volumeMounts=mounts),
        box("machine", "cat /shared/first /settings/key; echo m > /shared/machine; echo m > /memory/machine; "
            "echo m > /part/machine; echo m > /host/machine; echo ready; exec sleep 600", volumeMounts=mounts),
        init=[box("first", "uname -r > /shared/first; exit 0", volumeMounts=mounts)],
        annotations=in_vm("machine", "first"),
        volumes=[{"name": "shared", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}},
                 {"name": "settings", "configMap": {"name": "settings"}},
                 {"name": "host", "hostPath": {"path": str(tmp_path / "host")}}])
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "value\n"}}
    path.write_text(path.read_text() + "\n---\n" + json.dumps(config))
    trivet.run("pod", "run", path)
    wait_for(lambda: "ready" in trivet.logs("pod-machine"), what="the machine has written")
    kernel, value, _ = trivet.logs("pod-machine").splitlines()
    assert kernel == pods.exec("machine", "uname", "-r") != os.uname().release and value == "value"
    for name in ("/shared/machine", "/memory/machine", "/shared/a/b/machine", "/host/machine"):
        assert pods.exec("native", "cat", name) == "m"
    assert (tmp_path / "host/machine").read_text() == "m\n"
    pods.exec("native", "sh", "-c", "echo n > /shared/native; echo n > /memory/native")
    assert pods.exec("machine", "cat", "/shared/native", "/memory/native", "/closed/native") == "n\nn\nn"
    for place in ("/closed/x", "/settings/x"):
        assert "Read-only" in trivet.run("pod", "exec", "-c", "machine", "pod", "touch", place,
                                         check=False).stderr
    assert pods.container("first")["ExitCode"] == 0


def test_probes_restarts_and_exit_codes(pods, trivet):
    """The machine is restarted without the others, and its port is there again."""
    pods.run(box("native", volumeMounts=SHARED),
             box("machine", "echo begun >> /shared/starts; " + page("machine", 8080),
                 ports=[{"containerPort": 8080}], volumeMounts=SHARED,
                 startupProbe={"httpGet": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
                 livenessProbe={"exec": {"command": ["test", "!", "-e", "/tmp/bad"]}, "periodSeconds": 1,
                                "timeoutSeconds": 20, "failureThreshold": 1},
                 readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 20}),
             # It must not end before the pod runs, however slow the machines are.
             box("job", "until test -e /shared/over; do sleep 0.2; done; exit 7", volumeMounts=SHARED),
             annotations=in_vm("machine", "job"), restartPolicy="OnFailure", terminationGracePeriodSeconds=1,
             volumes=[{"name": "shared", "emptyDir": {}}])
    assert pods.container("machine")["Ready"]
    native = pods.container("native")["Pid"]
    pods.exec("native", "touch", "/shared/over")
    pods.exec("machine", "touch", "/tmp/bad")
    wait_for(lambda: pods.container("machine")["RestartCount"] >= 1, 60, "it is restarted")
    wait_for(lambda: get(pods, "native", "127.0.0.1:8080") == "machine", 60, "it answers again")
    assert len(pods.exec("machine", "cat", "/shared/starts").splitlines()) >= 2
    assert pods.container("native")["Pid"] == native
    wait_for(lambda: pods.container("job")["RestartCount"] >= 1, 60, "the job is tried again")
    trivet.run("pod", "stop", "pod")
    assert pods.inspect()["Phase"] in ("failed", "succeeded")


# What a server answers that serves: its settings, headers with the status 200, a message, grpc-status 0.
SERVING = "".join(rf"\x{byte:02x}" for byte in bytes.fromhex(
    "000000040000000000" "00000101040000000188" "00000700000000000100000000020801"
    "00000f010500000001000b") + b"grpc-status" + b"\x010")


def test_hooks_sidecars_and_grpc(pods, trivet):
    wait_for_end = "trap 'echo {0} >> /shared/log; exit 0' TERM; while :; do sleep 0.1; done"
    serve = f"(while :; do printf '{SERVING}' | nc -l -p 9000; done) & "
    pods.run(box("native", volumeMounts=SHARED),
             box("machine", serve + wait_for_end.format("term"), volumeMounts=SHARED,
                 readinessProbe={"grpc": {"port": 9000}, "periodSeconds": 1, "timeoutSeconds": 20},
                 lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "echo post >> /shared/log"]}},
                            "preStop": {"exec": {"command": ["sh", "-c", "sleep 0.5; echo pre >> /shared/log"]}}}),
             init=[box("side", "echo up >> /shared/log; " + wait_for_end.format("side"), volumeMounts=SHARED,
                       restartPolicy="Always",
                       startupProbe={"exec": {"command": ["test", "-e", "/shared/log"]}, "periodSeconds": 1,
                                     "timeoutSeconds": 20, "failureThreshold": 60})],
             annotations=in_vm("machine", "side"), terminationGracePeriodSeconds=60,
             volumes=[{"name": "shared", "emptyDir": {}}])
    assert pods.container("machine")["Ready"] and pods.container("side")["Role"] == "sidecar"
    log, = trivet.data.glob("pods/*/volumes/shared/log")
    assert log.read_text() == "up\npost\n"
    # The native one does not heed SIGTERM; the sidecar is needed until the last of them has ended.
    trivet.run("kill", "pod-native")
    trivet.run("pod", "stop", "pod")
    assert log.read_text() == "up\npost\npre\nterm\nside\n"


def test_security_and_secrets(pods, trivet):
    path = pods.write(
        box("tight", volumeMounts=[*SHARED, {"name": "login", "mountPath": "/login", "readOnly": True}],
            securityContext={"runAsUser": 1000, "runAsGroup": 2000, "runAsNonRoot": True,
                             "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                             "capabilities": {"drop": ["ALL"]}}),
        box("open", securityContext={"seccompProfile": {"type": "Unconfined"}, "capabilities": {"add": ["NET_ADMIN"]}}),
        annotations=in_vm("tight", "open"), securityContext={"fsGroup": 3000},
        volumes=[{"name": "shared", "emptyDir": {}},
                 {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}}])
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"password": "x y"}}
    path.write_text(path.read_text() + "\n---\n" + json.dumps(secret))
    trivet.run("pod", "run", path)
    assert pods.exec("tight", "sh", "-c", "id -u; id -g; touch /x 2> /dev/null || echo read-only; cat /login/password; "
                     "touch /shared/x; stat -c '%u %g' /shared/x") == "1000\n2000\nread-only\nx y1000 3000"
    assert "Read-only" in trivet.run("pod", "exec", "-c", "tight", "pod", "touch", "/login/x", check=False).stderr
    status = pods.exec("tight", "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000000" in status and "Seccomp:\t2" in status
    status = pods.exec("open", "cat", "/proc/1/status")
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    assert "Seccomp:\t0" in status and bounding & 1 << 12 and not bounding & 1 << 21


def test_names_of_the_extension_are_known_in_the_machine(pods):
    pods.run(box("native", page("native", 8081)), box("machine", page("machine", 8080),
                                                      ports=[{"containerPort": 8080}]),
             annotations=in_vm("machine", **{"dev.trivet.extensions": "dns"}))
    wait_for(lambda: get(pods, "native", "machine:8080") == "machine", what="the machine answers by its name")
    assert get(pods, "machine", "native:8081") == "native"


def test_names_of_elsewhere_are_asked_of_the_servers_in_the_settings(pods, trivet):
    settings = {"dev.trivet.extensions": "dns", "dev.trivet.extension/dns": "10.1.2.3 10.1.2.4#53"}
    pods.run(box("native"), box("machine"), annotations=in_vm("machine", **settings))
    servers = [line for line in pods.exec("machine", "cat", "/etc/resolv.conf").splitlines() if "nameserver" in line]
    assert servers == ["nameserver 10.1.2.3", "nameserver 10.1.2.4"]
    assert "nameserver 127.0.0.11" in pods.exec("native", "cat", "/etc/resolv.conf")
    trivet.run("pod", "rm", "-f", "pod")
    settings["dev.trivet.extension/dns"] = "10.1.2.3#5353"
    failed = trivet.fails("pod", "run", pods.write(box("native"), box("machine"),
                                                  annotations=in_vm("machine", **settings)))
    assert 'a container that is a microVM can\'t ask "10.1.2.3#5353"' in failed.stderr, failed.stderr
    pods.run(box("native"), annotations=settings)


def test_a_failure_takes_everything_back(pods, trivet):
    bad = {"name": "bad", "image": "busybox", "command": ["/nowhere"]}
    failed = trivet.fails("pod", "run", pods.write(box("native"), box("machine"), bad,
                                                  annotations=in_vm("machine", "bad")))
    assert 'container "bad"' in failed.stderr and "/nowhere" in failed.stderr
    # Once for the pod, however many machines it has.
    assert failed.stderr.count("emulat") <= 1
    twice = [box(name, ports=[{"containerPort": 8080}]) for name in ("machine", "other")]
    failed = trivet.fails("pod", "run", pods.write(*twice, annotations=in_vm("machine", "other")))
    assert "8080/tcp" in failed.stderr and "another container of the pod has it" in failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == [] and trivet.containers() == []


def test_what_can_not_be_is_said_before_anything_is_made(pods, trivet):
    for fields, words in (({"hostNetwork": True}, "host's network"),
                          ({"shareProcessNamespace": True}, "shareProcessNamespace"),
                          ({"hostPID": True}, "hostPID")):
        failed = trivet.fails("pod", "run", pods.write(box("native"), box("machine"),
                                                      annotations=in_vm("machine"), **fields))
        assert words in failed.stderr and "microVM" in failed.stderr
    del trivet.env["TRIVET_EXPERIMENTAL"]
    failed = trivet.fails("pod", "run", pods.write(box("native"), box("machine"), annotations=in_vm("machine")))
    assert "experimental" in failed.stderr
    assert trivet.run("pod", "ps", "--format", "json").json() == []


def test_without_its_supervisor_a_pod_has_ended(pods):
    pods.run(box("native"), box("machine", ports=[{"containerPort": 8080}]), annotations=in_vm("machine"))
    harness.kill_hard(pods.inspect()["MonitorPid"])
    wait_for(lambda: pods.inspect()["Phase"] == "failed", 20, "the pod has failed")


def test_a_machine_that_is_lost_is_one_container_that_failed(pods, trivet):
    pods.run(box("native"), box("machine"), annotations=in_vm("machine"))
    qemu = next(pid for (pid, _), name in pods.seen.items() if name.startswith("qemu"))
    harness.kill_hard(qemu)
    wait_for(lambda: pods.container("machine")["Status"] == "stopped", 20, "it has ended")
    assert pods.container("machine")["ExitCode"] == 134
    assert pods.container("native")["Status"] == "running"
