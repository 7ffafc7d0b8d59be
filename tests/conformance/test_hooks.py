"""Hooks: config.md "POSIX-platform Hooks", and where runtime.md's lifecycle has them."""

from __future__ import annotations

import json
import os
import pathlib
import signal

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

IN_CREATE = ["prestart", "createRuntime", "createContainer"]
ALL = [*IN_CREATE, "startContainer", "poststart", "poststop"]


@pytest.fixture
def log(container, busybox_rootfs):
    """A file that hooks in the runtime's and in the container's namespaces can write."""
    root = container.own_root(busybox_rootfs)
    (root / "log").touch()
    return root / "log"


def in_container(kind: str) -> bool:
    """createContainer runs in the container's namespaces too, but before the root is changed."""
    return kind == "startContainer"


def hook(kind: str, log: pathlib.Path, script: str) -> dict:
    """A hook that runs `script` with $LOG; its path is resolved in the namespace it runs in."""
    where = "/log" if in_container(kind) else str(log)
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": [f"LOG={where}", "A=b"],
            "timeout": 10}


def add(container, kind: str, *hooks: dict) -> None:
    container.config.setdefault("hooks", {}).setdefault(kind, []).extend(hooks)


def life(container) -> None:
    container.process["args"] = ["sh", "-c", "echo program >> /log"]
    container.create()
    container.start()
    container.wait_until("stopped")
    container.delete()


def test_hooks_are_called_in_order(container, log):
    for kind in ALL:
        add(container, kind, *(hook(kind, log, f"echo {kind}{n} >> $LOG") for n in (1, 2)))
    container.process["args"] = ["sh", "-c", "echo program >> /log"]
    container.create()
    assert log.read_text().split() == [f"{kind}{n}" for kind in IN_CREATE for n in (1, 2)]
    container.start()
    # start returns after the poststart hooks; the program runs beside them.
    started = log.read_text().split()
    assert started[6:8] == ["startContainer1", "startContainer2"]
    assert [line for line in started[8:] if line != "program"] == ["poststart1", "poststart2"]
    container.wait_until("stopped")
    assert "poststop1" not in log.read_text()
    container.delete()
    lines = log.read_text().split()
    assert lines.index("program") > lines.index("startContainer2")
    assert lines[-2:] == ["poststop1", "poststop2"]


def test_hooks_get_the_state_on_stdin(container, log):
    container.config["annotations"] = {"org.example.key": "value"}
    for kind in ALL:
        add(container, kind, hook(kind, log, f'echo {kind} "$(cat)" >> $LOG'))
    life(container)
    states = {}
    for line in log.read_text().splitlines():
        kind, _, text = line.partition(" ")
        if kind != "program":
            states[kind] = json.loads(text)
    assert sorted(states) == sorted(ALL)
    for kind, state in states.items():
        assert state["id"] == container.name, kind
        assert state["bundle"] == str(container.bundle), kind
        assert state["annotations"] == {"org.example.key": "value"}, kind
        assert state["ociVersion"], kind
    seen = {kind: state["status"] for kind, state in states.items()}
    assert seen == {"prestart": "created", "createRuntime": "created", "createContainer": "created",
                    "startContainer": "created", "poststart": "running", "poststop": "stopped"}


def test_hooks_in_the_container_see_its_pid_as_the_container_does(container, log):
    for kind in ALL[:5]:
        add(container, kind, hook(kind, log, f"""echo {kind} $(grep -o '"pid": *[0-9]*') >> $LOG"""))
    container.process["args"] = ["sleep", "100"]
    container.create()
    pid = container.state()["pid"]
    container.start()
    seen = {line.split()[0]: int(line.split()[-1].split(":")[-1])
            for line in log.read_text().splitlines()}
    assert seen == {"prestart": pid, "createRuntime": pid, "createContainer": 1,
                    "startContainer": 1, "poststart": pid}


def test_hooks_run_in_their_namespaces(container, log):
    kinds = ("mnt", "uts", "ipc", "net")
    for kind in ALL:
        add(container, kind, hook(kind, log, f"for k in {' '.join(kinds)}; do echo {kind} $k "
                                             "$(readlink /proc/self/ns/$k) >> $LOG; done"))
    container.process["args"] = ["sleep", "100"]
    container.create()
    pid = container.state()["pid"]
    inside = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
    container.start()
    container.kill()
    container.wait_until("stopped")
    container.delete()
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == len(ALL) * len(kinds)
    for hook_kind, kind, namespace in lines:
        entered = hook_kind in ("createContainer", "startContainer")
        expected = inside[kind] if entered else os.readlink(f"/proc/self/ns/{kind}")
        assert namespace == expected, (hook_kind, kind)


def test_create_hooks_run_before_the_root_is_changed(container, log):
    """createContainer: after the mounts, before pivot_root; its path is the runtime's."""
    marker = container.base / "host-only"
    marker.write_text("seen")
    add(container, "createContainer",
        hook("createContainer", log, f"cat {marker} >> $LOG; cat /proc/self/mountinfo >> $LOG"))
    container.create()
    text = log.read_text()
    assert text.startswith("seen")
    assert f"{log.parent}/proc " in text


def test_hooks_have_their_arguments_and_environment(container, log):
    add(container, "createRuntime", {"path": "/bin/bash", "args": ["own-name", "-c",
        f'echo "$0|$1|$X|$(env | sort | tr "\\n" ,)" > {log}', "zero", "one"], "env": ["X=y z"]})
    container.create()
    name, first, variable, environment = log.read_text().split("|")
    assert (name, first, variable) == ("zero", "one", "y z")
    assert "HOME=" not in environment


@pytest.mark.parametrize("kind", IN_CREATE)
def test_a_failing_create_hook_fails_create_and_runs_poststop(container, log, kind):
    add(container, kind, hook(kind, log, "echo first >> $LOG; exit 3"),
        hook(kind, log, "echo never >> $LOG"))
    add(container, "poststop", hook("poststop", log, "echo poststop >> $LOG"))
    done = container.create(check=False)
    assert done.returncode != 0 and done.stderr
    assert not container.exists()
    assert container.leftovers() == []
    assert log.read_text().split() == ["first", "poststop"]


@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_failing_start_hook_fails_start_and_stops_the_container(container, log, kind):
    add(container, kind, hook(kind, log, "echo first >> $LOG; exit 3"),
        hook(kind, log, "echo never >> $LOG"))
    add(container, "poststop", hook("poststop", log, "echo poststop >> $LOG"))
    container.process["args"] = ["sleep", "100"]
    container.create()
    pid = container.state()["pid"]
    done = container.start(check=False)
    assert done.returncode != 0 and done.stderr
    # Step 12 of the lifecycle follows: it is destroyed, without a delete.
    harness.wait_for(lambda: not pathlib.Path(f"/proc/{pid}/root").exists(), what="it is stopped")
    assert not container.exists()
    assert container.leftovers() == []
    assert log.read_text().split() == ["first", "poststop"]


def test_a_failing_poststop_hook_is_a_warning_and_the_others_run(container, log):
    add(container, "poststop", hook("poststop", log, "echo one >> $LOG; echo why >&2; exit 3"),
        hook("poststop", log, "echo two >> $LOG"))
    container.create()
    container.start()
    container.wait_until("stopped")
    done = container.delete()
    assert log.read_text().split() == ["one", "two"]
    assert "poststop" in done.stderr and "why" in done.stderr
    assert not container.exists()


def test_poststop_hooks_run_when_delete_is_forced(container, log):
    add(container, "poststop", hook("poststop", log, "echo poststop >> $LOG"))
    container.running("sleep", "100")
    container.delete("--force")
    assert log.read_text().split() == ["poststop"]


def test_a_hook_that_takes_too_long_is_killed(container, log):
    add(container, "createRuntime", {"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ > {log}; "
                                     "exec sleep 1000"], "timeout": 1})
    assert container.create(check=False).returncode != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), signal.SIGCONT)


@pytest.mark.parametrize("broken", [{"path": "bin/true"}, {"path": "/bin/true", "timeout": 0},
                                    {"path": "/bin/true", "timeout": -1}, {"args": ["x"]},
                                    {"path": "/no/such/hook"}])
def test_hooks_that_cannot_be_run_are_errors(container, broken):
    add(container, "createRuntime", broken)
    assert container.create(check=False).returncode != 0
    assert container.leftovers() == []
