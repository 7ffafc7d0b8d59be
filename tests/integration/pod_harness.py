"""What the tests of pods drive them with."""

from __future__ import annotations

import json
import pathlib

import harness
from harness import wait_for


def box(name: str, script: str = "exec sleep 600", **fields) -> dict:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


class Pods:
    def __init__(self, trivet, directory: pathlib.Path):
        self.trivet = trivet
        self.directory = directory

    def write(self, *containers: dict, init: list[dict] = (), name: str = "pod",
              annotations: dict | None = None, **spec) -> pathlib.Path:
        manifest = {"apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": name, "annotations": annotations or {}},
                    "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2,
                             "containers": list(containers), "initContainers": list(init), **spec}}
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(manifest))
        return path

    def run(self, *containers: dict, options: list[str] = (), **fields) -> str:
        return self.trivet.out("pod", "run", *options, self.write(*containers, **fields))

    def inspect(self, name: str = "pod") -> dict:
        document, = self.trivet.run("pod", "inspect", name).json()
        return document

    def container(self, container: str, name: str = "pod") -> dict:
        return next(entry for entry in self.inspect(name)["Containers"] if entry["Name"] == container)

    def exec(self, container: str, *command: str) -> str:
        return self.trivet.out("pod", "exec", "-c", container, "pod", *command)

    def kill_everything(self) -> None:
        document = self.inspect()
        pids = [document["MonitorPid"], document["InfraPid"],
                *(container["Pid"] for container in document["Containers"])]
        for pid in pids:
            harness.kill_hard(pid)
        supervisor = pathlib.Path(f"/proc/{document['MonitorPid']}")
        wait_for(lambda: not supervisor.exists(), what="the supervisor was killed")

    def wait_for_phase(self, phase: str, name: str = "pod") -> dict:
        return wait_for(lambda: (found := self.inspect(name))["Phase"] == phase and found,
                        what=f"the pod is {phase}")
