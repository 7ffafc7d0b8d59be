"""trivet-oci as an engine drives it: bundles, the life of a container, exec, errors, rollback."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import harness
from oci_harness import NAME, Oci, cgroups_of

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def test_run_gives_the_exit_code(oci):
    oci.write("sh", "-c", "echo out; echo err >&2; exit 7")
    done = oci.run(code=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_run_reports_death_by_signal(oci):
    oci.write("sh", "-c", "kill -9 $$; sleep 5")
    # pid 1 ignores signals from its own namespace, so something else has to die of it.
    oci.write("sh", "-c", "sh -c 'kill -9 $$'; exit $?")
    oci.run(code=137)


def test_signals_are_forwarded_to_the_container(oci):
    oci.write("sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    child = subprocess.Popen([oci.program, "--root", oci.root, "run", "--bundle", oci.bundle, NAME],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "got\n"
    assert child.wait(timeout=10) == 3


def test_create_does_not_run_the_program_and_start_does(oci):
    oci.write("sh", "-c", "echo ran; sleep 100")
    oci.create(NAME)
    state = oci.state(NAME)
    assert state["status"] == "created"
    assert pathlib.Path(f"/proc/{state['pid']}/comm").read_text() == "trivet-init\n"
    assert oci.output() == ""
    oci("start", NAME)
    harness.wait_for(lambda: oci.output() == "ran\n", what="the program's output")
    assert oci.state(NAME)["status"] == "running"
    assert "running" in oci("start", NAME, code=1).stderr


def test_state_goes_through_its_life(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    oci("start", NAME)
    oci("pause", NAME)
    assert oci.state(NAME)["status"] == "paused"
    oci("resume", NAME)
    assert oci.state(NAME)["status"] == "running"
    refused = oci("delete", NAME, code=1)
    assert f'cannot delete container "{NAME}" that is not stopped: running' in refused.stderr
    oci("kill", NAME, "KILL")
    harness.wait_for(lambda: oci.state(NAME)["status"] == "stopped", what="the end")
    assert oci.state(NAME)["pid"] == 0
    assert "container not running" in oci("kill", NAME, "TERM", code=1).stderr
    oci("delete", NAME)
    assert "does not exist" in oci("state", NAME, code=1).stderr


def test_delete_of_a_created_container_kills_it(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    pid = oci.state(NAME)["pid"]
    oci("delete", NAME)
    assert not pathlib.Path(f"/proc/{pid}/root").exists()


def test_delete_force_of_a_missing_container_is_fine(oci):
    oci("delete", "--force", NAME)
    assert "does not exist" in oci("delete", NAME, code=1).stderr


def test_an_id_is_used_once(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    again = oci("create", "--bundle", oci.bundle, NAME, code=1)
    assert "container with given ID already exists" in again.stderr
    assert oci.state(NAME)["status"] == "created"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "a b", "x" * 129, "a\n", "é"])
def test_bad_ids_are_refused(oci, name):
    oci.write("true")
    assert oci("run", "--bundle", oci.bundle, "--", name, check=False).returncode == 1
    assert oci.left() == []


def test_pid_file_has_no_newline(oci):
    oci.write("sleep", "100")
    with (oci.base / "out").open("ab") as out:
        subprocess.run([oci.program, "--root", oci.root, "create", "--bundle", oci.bundle, "--pid-file",
                        oci.base / "pid", NAME], stdout=out, stderr=out, check=True)
    assert (oci.base / "pid").read_text() == str(oci.state(NAME)["pid"])


def test_log_file_holds_exactly_one_json_object_on_failure(oci):
    oci.write("no-such-program")
    log = oci.base / "log.json"
    done = subprocess.run([oci.program, "--root", oci.root, "--log", log, "--log-format", "json",
                           "create", "--bundle", oci.bundle, NAME], capture_output=True, text=True)
    assert done.returncode == 1
    entry = json.loads(log.read_text())
    assert entry["level"] == "error"
    assert 'exec: "no-such-program": executable file not found in $PATH' in entry["msg"]
    assert entry["msg"] in done.stderr


def log_of_a_failing_create(oci, *options) -> list[dict]:
    """Of one that has something to warn of too."""
    for sets in oci.config["process"]["capabilities"].values():
        sets.append("CAP_OF_THE_FUTURE")
    oci.write("no-such-program")
    log = oci.base / "log.json"
    done = subprocess.run([oci.program, "--root", oci.root, "--log", log, "--log-format", "json", *options,
                           "create", "--bundle", oci.bundle, NAME], capture_output=True, text=True)
    assert done.returncode == 1
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_warnings_do_not_come_into_a_json_log_unasked(oci):
    assert [entry["level"] for entry in log_of_a_failing_create(oci)] == ["error"]


@pytest.mark.parametrize("options", [["--debug"], ["--log-level", "warning"]])
def test_warnings_come_into_a_json_log_when_they_are_asked_for(oci, options):
    assert {entry["level"] for entry in log_of_a_failing_create(oci, *options)} == {"warning", "error"}


def test_kill_and_delete_by_a_regular_expression(oci):
    oci.write("sleep", "100")
    names = [f"{NAME}-{part}" for part in ("a1", "a2", "b")]
    for name in names:
        oci.create(name)
        oci("start", name)
    oci("kill", "--regex", f"^{NAME}-a[0-9]$", "KILL")
    harness.wait_for(lambda: [oci.state(name)["status"] for name in names] ==
                     ["stopped", "stopped", "running"], what="two are killed")
    oci("delete", "--regex", f"^{NAME}-a")
    assert oci.left() == [names[2]]
    failed = oci("delete", "-r", NAME, code=1)
    assert "1 of 1 containers" in failed.stderr and "not stopped" in failed.stderr
    oci("delete", "--force", "--regex", NAME)
    assert oci.left() == []
    oci("kill", "--regex", NAME, "KILL")
    assert "--regex" in oci("kill", "--regex", "a[", code=1).stderr


def test_intel_rdt_that_the_host_lacks_is_an_error_of_update(oci):
    if "resctrl" in pathlib.Path("/proc/mounts").read_text():
        pytest.skip("this host has it")
    oci.write("sleep", "100")
    oci.create(NAME)
    for option, schema in (("--l3-cache-schema", "L3:0=f"), ("--mem-bw-schema", "MB:0=70")):
        assert "no resctrl file system" in oci("update", option, schema, NAME, code=1).stderr
    oci("delete", "--force", NAME)


@pytest.mark.parametrize("program,text", [
    ("/no/such/file", "no such file or directory"),
    ("/etc", "is a directory"),
    ("/etc/plain", "permission denied"),
])
def test_unusable_programs_are_found_out_at_create(oci, busybox_rootfs, program, text):
    (busybox_rootfs / "etc/plain").write_text("not executable")
    oci.write(program)
    assert text in oci("create", "--bundle", oci.bundle, NAME, code=1).stderr
    assert oci.left() == []


def test_exec_runs_in_the_same_namespaces(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    oci("start", NAME)
    pid = oci.state(NAME)["pid"]
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
        inside = oci("exec", NAME, "readlink", f"/proc/self/ns/{kind}").stdout.strip()
        assert inside == os.readlink(f"/proc/{pid}/ns/{kind}"), kind
    assert oci("exec", NAME, "sh", "-c", "exit 9", code=9).returncode == 9
    assert oci("exec", "--env", "X=y", "--cwd", "/tmp", NAME, "sh", "-c", "echo $X $PWD").stdout == "y /tmp\n"
    assert oci("exec", "--user", "12:34", NAME, "id", "-u").stdout == "12\n"


def test_exec_failure_is_255_and_writes_no_pid_file(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    oci("start", NAME)
    failed = oci("exec", "--pid-file", oci.base / "pid", NAME, "nosuch", code=255)
    assert "executable file not found in $PATH" in failed.stderr
    assert not (oci.base / "pid").exists()


def test_exec_with_a_process_file_detached(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    oci("start", NAME)
    process = dict(oci.config["process"], args=["sleep", "50"], user={"uid": 5, "gid": 6})
    (oci.base / "process.json").write_text(json.dumps(process))
    with (oci.base / "out").open("ab") as out:
        subprocess.run([oci.program, "--root", oci.root, "exec", "--detach", "--process",
                        oci.base / "process.json", "--pid-file", oci.base / "pid", NAME],
                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)
    pid = int((oci.base / "pid").read_text())
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t5\t5\t5\t5" in status and "Gid:\t6\t6\t6\t6" in status
    assert json.loads(oci("ps", "--format", "json", NAME).stdout).count(pid) == 1


def test_the_terminal_goes_to_the_console_socket(oci):
    oci.write("sh", "-c", "tty; stty size; echo $((6*7))", terminal=True,
              consoleSize={"height": 33, "width": 77})
    path = str(oci.base / "console.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    subprocess.run([oci.program, "--root", oci.root, "create", "--bundle", oci.bundle, "--console-socket",
                    path, NAME], check=True)
    peer, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(peer, 100, 1)
    oci("start", NAME)
    text = b""
    while b"42" not in text:
        try:
            chunk = os.read(fds[0], 1000)
        except OSError:
            break
        text += chunk
    assert b"/dev/pts/0" in text and b"33 77" in text and b"42" in text
    os.close(fds[0])


def test_no_descriptor_leaks_into_the_container(oci):
    oci.write("sh", "-c", "ls -l /proc/self/fd | grep -c -- '->'")
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    done = subprocess.run([oci.program, "--root", oci.root, "run", "--bundle", oci.bundle, NAME],
                          pass_fds=[write_end], capture_output=True, text=True, check=True)
    os.close(read_end)
    os.close(write_end)
    assert done.stdout.strip() == "3"


def test_preserved_descriptors_arrive(oci):
    oci.write("sh", "-c", "echo kept >&3")
    read_end, write_end = os.pipe()
    # A shell puts it where it belongs: descriptor 3 of this process is pytest's.
    subprocess.run(["bash", "-c", f'exec 3>&{write_end}; exec "$@"', "bash", oci.program, "--root",
                    oci.root, "run", "--bundle", oci.bundle, "--preserve-fds", "1", NAME],
                   pass_fds=[write_end], check=True)
    os.close(write_end)
    assert os.read(read_end, 100) == b"kept\n"
    os.close(read_end)


def test_hooks_run_in_their_order_with_the_state(oci):
    record = oci.base / "hooks"
    def hook(kind: str) -> list[dict]:
        script = f"read -r s; echo {kind} $(echo $s | grep -o '\"status\":\"[a-z]*\"') >> {record}"
        return [{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 10}]
    kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    oci.config["hooks"] = {kind: hook(kind) for kind in kinds}
    oci.write("true")
    oci.run()
    lines = record.read_text().split("\n")[:-1]
    assert [line.split()[0] for line in lines] == kinds
    assert lines[0].endswith('"created"') and lines[-1].endswith('"stopped"')


def test_a_failing_hook_undoes_the_container(oci):
    oci.config["hooks"] = {"createRuntime": [{"path": "/bin/sh",
                                              "args": ["sh", "-c", "echo broken pipe dream >&2; exit 4"]}]}
    oci.write("true")
    failed = oci("create", "--bundle", oci.bundle, NAME, code=1)
    assert "hooks.createRuntime[0]" in failed.stderr and "broken pipe dream" in failed.stderr
    assert oci.left() == [] and cgroups_of(NAME) == []


@pytest.mark.parametrize("change,words", [
    (lambda c: c["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/no/such",
                                   "options": ["rbind"]}), "/no/such"),
    (lambda c: c["mounts"].append({"destination": "/mnt", "type": "nofs", "source": "x"}), "nofs"),
    (lambda c: c["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "x",
                                   "options": ["size=banana"]}), "tmpfs"),
    (lambda c: c["linux"].update(sysctl={"kernel.panic": "1"}), "kernel.panic"),
    (lambda c: c["linux"].update(sysctl={"net.nosuch.thing": "1"}), "net/nosuch/thing"),
    (lambda c: c["linux"].update(intelRdt={"closID": "x"}), "linux.intelRdt"),
    (lambda c: c["process"].update(cwd="/etc/hosts.d/../.."), None),
    (lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 1 << 40}]),
     "rlimits"),
    (lambda c: c["linux"].update(cgroupsPath="../../../escape"), None),
    (lambda c: c["linux"]["namespaces"].append({"type": "pid"}), "namespaces"),
    (lambda c: c["linux"].update(namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": "/no/ns"}]),
     "/no/ns"),
    (lambda c: c["linux"].update(resources={"memory": {"limit": 4096}}), None),
])
def test_whatever_fails_leaves_nothing(oci, scratch, change, words):
    change(oci.config)
    oci.write("true")
    before = harness.mounts_of(scratch)
    done = oci("run", "--bundle", oci.bundle, NAME, check=False)
    if words is not None:
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stderr.count("\n") <= 2
    assert oci.left() == []
    assert cgroups_of(NAME) == []
    assert harness.mounts_of(scratch) == before


def test_kill_9_of_create_at_any_moment_leaves_what_delete_force_removes(oci):
    oci.write("sleep", "100")
    for delay in [x * 0.0005 for x in range(16)]:
        with (oci.base / "out").open("ab") as out:
            child = subprocess.Popen([oci.program, "--root", oci.root, "create", "--bundle", oci.bundle,
                                      NAME], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            time.sleep(delay)
            child.kill()
            child.wait()
        oci("delete", "--force", NAME)
        assert oci.left() == []
        harness.wait_for(lambda: cgroups_of(NAME) == [], what="the cgroups are gone")
    oci.create(NAME)
    assert oci.state(NAME)["status"] == "created"


def test_list_and_features_are_json(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    listed = json.loads(oci("list", "--format", "json").stdout)
    assert [entry["id"] for entry in listed] == [NAME]
    assert oci("list", "-q").stdout == NAME + "\n"
    features = oci("features")
    assert features.stderr == ""
    assert json.loads(features.stdout)["ociVersionMax"].startswith("1.")


def test_update_changes_a_limit(oci):
    oci.write("sleep", "100")
    oci.create(NAME)
    oci("start", NAME)
    oci("update", "--pids-limit", "17", NAME)
    values = [pathlib.Path(folder, "pids.max").read_text().strip()
              for folder in cgroups_of(NAME) if pathlib.Path(folder, "pids.max").exists()]
    assert values == ["17"]


def test_a_cpuset_comes_with_a_limit_on_it(oci):
    """On cgroup v1 a container without one has none of its own, if nothing of it is to be seen inside."""
    oci.config["mounts"] = [mount for mount in oci.config["mounts"] if mount["type"] != "cgroup"]
    oci.write("sh", "-c", "sleep 100 & wait")
    oci.create(NAME)
    oci("start", NAME)
    pid = oci.state(NAME)["pid"]
    if harness.cgroup_directory(pid, "memory") != harness.cgroup_directory(pid, "cpuset"):  # v1
        assert not any("/cpuset/" in str(folder) for folder in cgroups_of(NAME))
    child = harness.wait_for(lambda: pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split(),
                             what="its child")[0]
    oci("update", "--cpuset-cpus", "0", NAME)
    for process in (pid, child):
        assert "\nCpus_allowed_list:\t0\n" in pathlib.Path(f"/proc/{process}/status").read_text()
    assert oci("exec", NAME, "nproc").stdout == "1\n"
    oci("delete", "--force", NAME)
    assert cgroups_of(NAME) == []


def test_the_program_of_the_host_cannot_be_reached_through_proc_self_exe(oci, busybox_rootfs):
    """CVE-2019-5736: while a container is created or entered, its executable is a sealed memfd."""
    oci.write("sleep", "100")
    oci.create(NAME)
    pid = oci.state(NAME)["pid"]
    assert "memfd:trivet-stage" in os.readlink(f"/proc/{pid}/exe")
    oci("delete", NAME)
    link = busybox_rootfs / "bin/self"
    if not link.is_symlink():
        link.symlink_to("/proc/self/exe")
    oci.write("/bin/self", "spec")
    before = oci.program.read_bytes()
    oci("run", "--bundle", oci.bundle, NAME, check=False)
    assert oci.program.read_bytes() == before


@pytest.mark.parametrize("attack", ["dev", "proc", "cwd"])
def test_symlinks_of_the_image_do_not_leave_the_root(oci, scratch, busybox_rootfs, attack):
    """CVE-2026-41579, CVE-2019-19921, CVE-2024-21626."""
    hostile = oci.base / "hostile"
    shutil.copytree(busybox_rootfs, hostile, symlinks=True)
    target = oci.base / "target"
    target.mkdir()
    oci.config["root"] = {"path": str(hostile)}
    if attack == "dev":
        shutil.rmtree(hostile / "dev")
        (hostile / "dev").symlink_to(f"../../../../../../..{target}")
        oci.config["mounts"] = [m for m in oci.config["mounts"] if not m["destination"].startswith("/dev")]
    if attack == "proc":
        shutil.rmtree(hostile / "proc")
        (hostile / "proc").symlink_to(f"/../../../..{target}")
    if attack == "cwd":
        oci.config["process"]["cwd"] = "/proc/self/fd/7"
    oci.write("ls", "/")
    done = oci("run", "--bundle", oci.bundle, NAME, check=False)
    assert os.listdir(target) == []
    if attack != "dev":
        assert done.returncode != 0


def test_a_start_that_fails_leaves_no_cgroup(oci, busybox_rootfs):
    program = busybox_rootfs / "etc/no-interpreter"
    program.write_text("#!/nowhere/sh\n")
    program.chmod(0o755)
    oci.write("/etc/no-interpreter")
    oci.create(NAME)
    assert "no such file or directory" in oci("start", NAME, code=1).stderr
    assert oci.state(NAME)["status"] == "stopped"
    assert cgroups_of(NAME) == []
    oci("delete", NAME)


def test_root_of_a_user_namespace_that_is_nobody_on_the_host(busybox_rootfs):
    # The scratch directory of the other tests can't be searched by that user.
    with tempfile.TemporaryDirectory(prefix="tv-", dir="/tmp") as folder:
        base = pathlib.Path(folder)
        base.chmod(0o755)
        shutil.copytree(busybox_rootfs, base / "rootfs", symlinks=True)
        oci = Oci(base, base / "rootfs")
        mapping = [{"containerID": 0, "hostID": 100000, "size": 2000}]
        oci.config["linux"].update(uidMappings=mapping, gidMappings=mapping)
        oci.config["linux"]["namespaces"].append({"type": "user"})
        oci.write("sh", "-c", "id -u; cat /proc/self/uid_map; hostname; mount -t tmpfs x /tmp && echo may",
                  capabilities={kind: ["CAP_SYS_ADMIN"]
                                for kind in ("bounding", "effective", "permitted")})
        lines = oci.run().stdout.splitlines()
    assert lines[0] == "0" and lines[1].split() == ["0", "100000", "2000"] and lines[-1] == "may"
