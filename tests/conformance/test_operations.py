"""Operations and state: runtime.md."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


@pytest.mark.parametrize("operation", ["create", "start", "state", "kill", "delete"])
def test_operations_need_an_id(container, operation):
    assert container(operation, check=False).returncode != 0


@pytest.mark.parametrize("operation", ["start", "state", "kill", "delete"])
def test_operations_on_a_container_that_does_not_exist_are_errors(container, operation):
    assert container(operation, container.name, check=False).returncode != 0


def test_the_state_has_what_the_specification_asks_for(container):
    container.config["annotations"] = {"org.example.a": "b", "empty": ""}
    container.process["args"] = ["sleep", "100"]
    container.create()
    state = container.state()
    assert state["ociVersion"] and state["id"] == container.name
    assert state["status"] == "created" and state["pid"] > 0
    assert state["bundle"] == str(container.bundle)
    assert state["annotations"] == {"org.example.a": "b", "empty": ""}
    container.start()
    assert container.state()["status"] == "running"
    assert container.state()["pid"] == state["pid"]
    container.kill()
    container.wait_until("stopped")


def test_the_pid_file_has_the_pid_of_the_state(container):
    container.process["args"] = ["sleep", "100"]
    container.create("--pid-file", container.base / "pid")
    assert (container.base / "pid").read_text() == str(container.state()["pid"])


def test_create_does_not_run_the_program(container, busybox_rootfs):
    root = container.own_root(busybox_rootfs)
    container.process["args"] = ["touch", "/ran"]
    container.create()
    assert not (root / "ran").exists()
    container.start()
    container.wait_until("stopped")
    assert (root / "ran").exists()


def test_changes_of_the_configuration_after_create_have_no_effect(container):
    container.process["args"] = ["sh", "-c", "echo old"]
    container.create()
    container.process["args"] = ["sh", "-c", "echo new"]
    container.config["hooks"] = {"poststop": [{"path": "/bin/false"}]}
    container.write()
    container.start()
    container.wait_until("stopped")
    (container.bundle / "config.json").unlink()
    assert container.delete().stderr == ""
    assert container.printed() == "old\n"


def test_an_id_is_unique(container):
    pid = container.running()
    assert container.create(check=False).returncode != 0
    assert container.state()["pid"] == pid and container.state()["status"] == "running"


def test_an_id_can_be_used_again_after_delete(container):
    assert container.output("echo one") == "one\n"
    assert container.output("echo two") == "one\ntwo\n"


def test_start_of_what_is_not_created_is_an_error_without_effect(container):
    pid = container.running("sh", "-c", "echo begun; sleep 100")
    harness.wait_for(container.printed, what="it runs")
    assert container.start(check=False).returncode != 0
    assert container.state()["status"] == "running" and container.state()["pid"] == pid
    container.kill()
    container.wait_until("stopped")
    assert container.start(check=False).returncode != 0
    assert container.state()["status"] == "stopped"
    assert container.printed() == "begun\n"


def test_kill_reaches_created_and_running_containers(container):
    container.process["args"] = ["sleep", "100"]
    container.create()
    container.kill("KILL")
    container.wait_until("stopped")
    container.delete()
    container.running("sh", "-c", "trap 'echo got; exit' USR1; echo ready; while :; do sleep 0.1; done")
    harness.wait_for(container.printed, what="it listens")
    container.kill("USR1")
    container.wait_until("stopped")
    assert container.printed() == "ready\ngot\n"


def test_kill_of_a_stopped_container_is_an_error_without_effect(container):
    container.running("true")
    container.wait_until("stopped")
    before = container.state()
    assert container.kill("TERM", check=False).returncode != 0
    assert container.state() == before


def test_delete_of_a_running_container_is_an_error_without_effect(container):
    pid = container.running("sh", "-c", "sleep 100")
    assert container.delete(check=False).returncode != 0
    assert container.state()["status"] == "running" and container.state()["pid"] == pid


def test_delete_removes_what_create_made_and_nothing_else(container):
    directory = container.base / "directory"
    directory.mkdir()
    (directory / "file").write_text("kept")
    container.config["mounts"].append({"destination": "/mnt", "type": "bind",
                                       "source": str(directory), "options": ["rbind"]})
    container.running()
    assert container.cgroups()
    container.kill()
    container.wait_until("stopped")
    container.delete()
    assert container.leftovers() == []
    assert (directory / "file").read_text() == "kept"


@pytest.mark.parametrize("change", [
    lambda c: c.update(ociVersion="no version"),
    lambda c: c.pop("ociVersion"),
    lambda c: c["root"].update(path="/no/such/root"),
    lambda c: c["process"].update(cwd="relative"),
    lambda c: c["process"].update(args=[]),
    lambda c: c["linux"]["namespaces"].append({"type": "bogus"}),
    lambda c: c["linux"]["namespaces"].append({"type": "pid"}),
    lambda c: c["linux"].update(rootfsPropagation="sideways"),
    lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_BOGUS", "soft": 1, "hard": 1}]),
    lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2),
    lambda c: c["mounts"].append({"type": "tmpfs", "source": "x"}),
], ids=["version", "no version", "root", "cwd", "no args", "namespace", "namespace twice",
        "propagation", "rlimit", "rlimit twice", "mount without destination"])
def test_values_that_are_invalid_are_errors_and_leave_nothing(container, change):
    change(container.config)
    assert container.create(check=False).returncode != 0
    assert not container.exists()
    assert container.leftovers() == []


def test_what_is_unknown_in_the_configuration_is_no_error(container):
    container.config["unknownProperty"] = {"a": [1]}
    container.process["unknownProperty"] = 1
    container.config["annotations"] = {"org.example.unknown": "x"}
    assert container.output("echo fine") == "fine\n"


def test_the_bundle_is_the_working_directory_if_none_is_given(container):
    container.process["args"] = ["true"]
    container.write()
    with (container.base / "out").open("ab") as out:
        code = harness.subprocess.run([container.runtime, "create", container.name], stdin=out,
                                      stdout=out, stderr=out, cwd=container.bundle, timeout=20,
                                      check=False).returncode
    assert code == 0
    assert container.state()["bundle"] == str(container.bundle)


def test_a_relative_root_is_below_the_bundle(container, busybox_rootfs):
    harness.subprocess.run(["cp", "-a", busybox_rootfs, container.bundle / "files"], check=True)
    container.config["root"] = {"path": "files"}
    assert container.output("echo there") == "there\n"


def test_a_read_only_root(container):
    container.config["root"]["readonly"] = True
    printed = container.output("touch /x 2>&1; touch /dev/shm/x && echo shm")
    assert "Read-only file system" in printed and printed.endswith("shm\n")


def test_exec_checks_the_state(container):
    container.process["args"] = ["true"]
    container.create()
    container.start()
    container.wait_until("stopped")
    assert container("exec", container.name, "true", check=False).returncode != 0


def test_the_features_document_fits_the_specification(container):
    if container("features", check=False).returncode != 0:
        pytest.skip("this runtime has no such operation")
    features = json.loads(container("features").stdout)
    assert features["ociVersionMin"] and features["ociVersionMax"]
    assert set(features["hooks"]) == {"prestart", "createRuntime", "createContainer",
                                      "startContainer", "poststart", "poststop"}
    assert {"bind", "rbind", "ro", "rro", "nosuid", "rshared"} <= set(features["mountOptions"])
    assert {"pid", "mount", "user", "cgroup"} <= set(features["linux"]["namespaces"])
    assert "CAP_KILL" in features["linux"]["capabilities"]
    assert features["linux"]["seccomp"]["enabled"]


def test_the_program_has_only_its_standard_streams(container):
    assert container.output("ls /proc/self/fd | wc -l").strip() == "4"  # with ls's own


def test_a_process_outside_sees_the_container_as_its_state_says(container):
    pid = container.running()
    assert pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")


def test_a_container_without_a_process_is_made_but_not_started(container):
    """config.md: "This property is REQUIRED when start is called"."""
    del container.config["process"]
    container.create()
    assert container.state()["status"] == "created"
    failed = container.start(check=False)
    assert failed.returncode != 0 and "process" in failed.stderr
    container.wait_until("stopped")
    container.delete()
    assert not container.exists()
