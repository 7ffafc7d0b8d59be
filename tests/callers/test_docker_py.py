"""docker-py, as programs use it: containers.run(…, runtime=…)."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

# Where CI is set it was promised.
docker_py = importlib.import_module("docker") if "CI" in os.environ else pytest.importorskip("docker")
pytestmark = pytest.mark.docker


@pytest.fixture
def client(docker):
    with_socket = docker_py.DockerClient(base_url=docker.host, version="auto")
    yield with_socket
    with_socket.close()


def test_run_gives_the_output(client):
    assert client.containers.run("box", ["echo", "hello"], runtime="trivet", remove=True,
                                 network_mode="none") == b"hello\n"


def test_run_raises_what_failed(client):
    with pytest.raises(docker_py.errors.ContainerError) as failed:
        client.containers.run("box", ["sh", "-c", "echo why >&2; exit 3"], runtime="trivet", remove=True,
                              network_mode="none")
    assert failed.value.exit_status == 3 and b"why" in failed.value.stderr
    with pytest.raises(docker_py.errors.APIError, match="executable file not found"):
        client.containers.run("box", ["no-such"], runtime="trivet", network_mode="none")


def test_a_detached_container(client):
    container = client.containers.run("box", ["sh", "-c", "echo up; sleep 100"], runtime="trivet",
                                      detach=True, network_mode="none", mem_limit="64m")
    assert container.exec_run(["sh", "-c", "echo in; exit 4"]) == (4, b"in\n")
    assert container.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
    assert any("sleep" in " ".join(row) for row in container.top()["Processes"])
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    assert container.logs() == b"up\n"


def test_the_example_of_many_sandboxes(docker):
    """What docs/python.md shows beside the package of our own."""
    example = pathlib.Path(__file__).resolve().parents[2] / "python/examples/hundred_sandboxes.py"
    output = subprocess.run([sys.executable, example, "--docker", "--image", "box", "--count", "8",
                             "--at-once", "2"], check=True, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "DOCKER_HOST": docker.host, "LANG": "C.UTF-8",
                                 "PYTHONPATH": str(example.parents[1])}).stdout
    assert "answered 42" in output and "ran out of time" in output
    assert "8 sandboxes in" in output
