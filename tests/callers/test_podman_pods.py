"""podman: networks and ports, pods, and Kubernetes' YAML."""

from __future__ import annotations

import json
import urllib.request

import pytest

import harness

pytestmark = pytest.mark.podman


def fetch(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


SERVER = ["httpd", "-f", "-p", "80", "-h", "/www"]


def test_a_bridge_and_a_published_port(podman):
    port = harness.free_port()
    name = podman.out("run", "-d", "--stop-timeout", "0", "-p", f"127.0.0.1:{port}:80", "box", *SERVER)
    harness.wait_for(lambda: fetch(port) == "hello from a container\n", what="the page")
    address = podman.inspect(name)["NetworkSettings"]["IPAddress"]
    assert podman.run("run", "--rm", "box", "wget", "-qO-", f"http://{address}/").stdout == \
        "hello from a container\n"


def test_a_pod_shares_its_namespaces(podman):
    port = harness.free_port()
    pod = podman.out("pod", "create", "-p", f"127.0.0.1:{port}:80", "--hostname", "pod")
    podman.run("run", "-d", "--pod", pod, "box", *SERVER)
    harness.wait_for(lambda: fetch(port) == "hello from a container\n", what="the page")
    done = podman.run("run", "--rm", "--pod", pod, "box", "sh", "-c",
                      "hostname; wget -qO- http://127.0.0.1/")
    assert done.stdout == "pod\nhello from a container\n"
    podman.run("pod", "pause", pod)
    podman.run("pod", "unpause", pod)
    podman.run("pod", "stop", "--time", "0", pod)
    podman.run("pod", "rm", pod)


KUBE = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
    "spec": {
        "restartPolicy": "Never",
        "initContainers": [{"name": "first", "image": "localhost/box:latest", "imagePullPolicy": "Never",
                            "command": ["sh", "-c", "echo ready > /shared/state"],
                            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "containers": [{"name": "main", "image": "localhost/box:latest", "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "cat /shared/state; id -u; sleep 100"],
                        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
                        "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False,
                                            "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "volumes": [{"name": "shared", "hostPath": {"path": "", "type": "Directory"}}]},
}


def test_play_kube(podman):
    shared = podman.base / "kube-shared"
    shared.mkdir()
    shared.chmod(0o777)
    KUBE["spec"]["volumes"][0]["hostPath"]["path"] = str(shared)
    document = podman.base / "pod.json"
    document.write_text(json.dumps(KUBE))
    podman.run("play", "kube", "--network", "none", document)
    harness.wait_for(lambda: podman.out("logs", "web-main").split() == ["ready", "1000"], what="the log")
    status = podman.out("exec", "web-main", "cat", "/proc/self/status")
    assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status
    podman.run("play", "kube", "--down", document)
    assert podman.out("ps", "-aq") == ""
