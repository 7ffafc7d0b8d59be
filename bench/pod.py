"""The rows of pods: ten containers at once, against `podman kube play` and against one container."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import harness

CONTAINERS = 10
IMAGE = "localhost/bench:latest"


def write_manifest(folder: pathlib.Path) -> pathlib.Path:
    containers = [{"name": f"c{number}", "image": IMAGE, "imagePullPolicy": "Never",
                   "command": ["/bin/sleep", "600"]} for number in range(CONTAINERS)]
    path = folder / "pod.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bench"},
                                "spec": {"containers": containers}}))
    return path


class TrivetPods:
    """Pods of trivet with its default network, which podman's do without here."""

    def __init__(self, workspace, layout: pathlib.Path):
        self.workspace = workspace
        base = workspace.folder / "trivet"
        base.mkdir()
        self.trivet = harness.Trivet(base)
        self.trivet.run("image", "import", layout, IMAGE)
        self.manifest = write_manifest(base)
        workspace.cleanups.append(self.trivet.close)

    def _measure(self, *arguments: object):
        return self.workspace.measure([self.trivet.program, *arguments], self.trivet.env)

    def both(self):
        """What it takes to run a pod, and to remove it."""
        return (self._measure("pod", "run", self.manifest),
                self._measure("pod", "rm", "--force", "bench"))

    def one(self):
        """One container with the same network."""
        sample = self._measure("run", "-d", "--name", "one", IMAGE, "/bin/sleep", "600")
        self._measure("rm", "--force", "one")
        return sample


class PodmanPods:
    def __init__(self, workspace, podman):
        self.workspace = workspace
        self.command, self.env = podman.command, podman.env
        workspace.measure([*self.command, "tag", podman.image, IMAGE], self.env)
        self.manifest = write_manifest(workspace.folder)

    def both(self):
        return (self.workspace.measure([*self.command, "kube", "play", "--network", "none",
                                        self.manifest], self.env),
                self.workspace.measure([*self.command, "pod", "rm", "--force", "--time", "0",
                                        "bench"], self.env))


def against_podman(workspace, layout: pathlib.Path, podman, which: int) -> tuple[Callable, Callable]:
    """`which` 0: run it; 1: remove it."""
    ours, theirs = TrivetPods(workspace, layout), PodmanPods(workspace, podman)
    return lambda: ours.both()[which], lambda: theirs.both()[which]


def against_one(workspace, layout: pathlib.Path) -> tuple[Callable, Callable]:
    ours = TrivetPods(workspace, layout)
    return lambda: ours.both()[0], ours.one
