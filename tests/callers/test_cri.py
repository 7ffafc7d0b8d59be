"""containerd's CRI plugin with trivet-oci as the runtime of its pods, through crictl: Kubernetes."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest

import engines
import harness

pytestmark = pytest.mark.cri

# Of NamespaceMode in the interface.
POD, CONTAINER, NODE = 0, 1, 2
MEBIBYTE = 1 << 20


def security(pid: int = CONTAINER, network: int = POD, **fields) -> dict:
    return {"security_context": {"namespace_options": {"pid": pid, "network": network}, **fields}}


def alone(**fields) -> dict:
    """Of a container: a pid namespace to itself, and more of its security context."""
    return security(**fields)


def cgroup_file(pid: int, controller: str, *names: str) -> pathlib.Path:
    folder = harness.cgroup_directory(pid, controller)
    return next(folder / name for name in names if (folder / name).exists())


# ---------------------------------------------------------------- the life of pods and containers

def test_a_pod_from_its_beginning_to_its_end(cri):
    pod = cri.pod()
    assert pod.inspect()["status"]["state"] == "SANDBOX_READY"
    container = pod.create("sleep", "100", linux=alone())
    assert pod.status(container)["state"] == "CONTAINER_CREATED"
    cri.run("start", container)
    assert pod.status(container)["state"] == "CONTAINER_RUNNING"
    assert cri.out("ps", "--quiet") == container
    cri.run("stop", "--timeout", "0", container)
    assert pod.status(container)["state"] == "CONTAINER_EXITED"
    cri.run("rm", container)
    assert cri.out("ps", "--all", "--quiet") == ""
    cri.run("stopp", pod.id)
    assert pod.inspect()["status"]["state"] == "SANDBOX_NOTREADY"
    cri.run("rmp", pod.id)
    assert cri.out("pods", "--quiet") == ""


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_the_program_s(cri, code):
    pod = cri.pod()
    status = pod.wait_for_exit(pod.start("sh", "-c", f"exit {code}", linux=alone()))
    assert status["exitCode"] == code
    assert status["reason"] == ("Completed" if code == 0 else "Error")


def test_a_program_that_cannot_run(cri):
    pod = cri.pod()
    failed = cri.run("start", pod.create("no-such-program", linux=alone()), check=False)
    assert failed.returncode != 0
    assert "executable file not found in $PATH" in failed.stderr


def test_stopping_lets_the_program_end_itself_and_then_kills_it(cri):
    pod = cri.pod()
    polite = pod.start("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done",
                       linux=alone())
    deaf = pod.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done", linux=alone())
    for container in (polite, deaf):
        harness.wait_for(lambda: "ready" in cri.out("logs", container), what="the trap is set")
    cri.run("stop", "--timeout", "10", polite)
    cri.run("stop", "--timeout", "1", deaf)
    assert pod.status(polite)["exitCode"] == 7
    assert pod.status(deaf)["exitCode"] == 137


def test_stopping_the_pod_ends_its_containers(cri):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=alone())
    cri.run("stopp", pod.id)
    assert pod.status(container)["state"] == "CONTAINER_EXITED"


def test_nothing_is_left(cri):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=alone())
    namespaces = pod.inspect()["info"]["runtimeSpec"]["linux"]["namespaces"]
    network = next(namespace["path"] for namespace in namespaces if namespace["type"] == "network")
    traces = [pathlib.Path(network), *(pathlib.Path("/run/containerd/runc/k8s.io") / name
                                       for name in (pod.id, container))]
    assert all(map(os.path.lexists, traces)), traces
    cri.remove_all()
    assert list((cri.base / "state").glob("io.containerd.runtime.v2.task/k8s.io/*")) == []
    # Not the whole directories: other containerds have theirs there.
    assert not any(map(os.path.lexists, traces))
    assert [f for f in pathlib.Path("/sys/fs/cgroup").rglob(f"*{pod.id}*") if f.is_dir()] == []


# ---------------------------------------------------------------- streams

def test_the_log_keeps_streams_apart(cri):
    pod = cri.pod()
    container = pod.start("sh", "-c", "echo out; echo err >&2", linux=alone())
    pod.wait_for_exit(container)
    both = cri.run("logs", container)
    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    lines = pathlib.Path(pod.status(container)["logPath"]).read_text().splitlines()
    assert sorted(re.sub(r"^\S+ ", "", line) for line in lines) == ["stderr F err", "stdout F out"]


@pytest.mark.parametrize("how", [["--sync"], []])
def test_exec(cri, how):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=alone())
    done = cri.run("exec", *how, container, "sh", "-c", "echo out; echo err >&2; pwd")
    if how:  # crictl prints both where it has them at once
        assert done.lines == ["out", "/", "", "err", ""]
    else:
        assert (done.stdout, done.stderr) == ("out\n/\n", "err\n")
    failed = cri.run("exec", *how, container, "sh", "-c", "exit 6", check=False)
    assert failed.returncode != 0 and "6" in failed.stderr
    missing = cri.run("exec", *how, container, "no-such-program", check=False)
    assert missing.returncode != 0
    assert "executable file not found in $PATH" in missing.stderr


def test_exec_that_takes_too_long_is_ended(cri):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=alone())
    late = cri.run("exec", "--sync", "--timeout", "1", container, "sleep", "77", check=False)
    assert late.returncode != 0
    harness.wait_for(lambda: "sleep 77" not in cri.out("exec", "--sync", container, "ps"),
                     what="the process is gone")


def test_exec_on_a_terminal(cri):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=alone())
    terminal = cri.terminal("exec", "--interactive", "--tty", container, "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/")
    terminal.expect("42")
    terminal.send("exit 0\n")
    assert terminal.wait() == 0
    terminal.close()


def test_attach(cri):
    pod = cri.pod()
    container = pod.start("sh", "-c", "read x; echo got $x", linux=alone(), stdin=True, stdin_once=True)
    attached = cri.run("attach", "--stdin", container, stdin="hello\n")
    assert attached.stdout == "got hello\n"


def test_a_container_on_a_terminal(cri):
    pod = cri.pod()
    assert pod.output("sh", "-c", "tty; [ -t 0 ] && [ -t 1 ] && echo yes", linux=alone(), tty=True,
                      stdin=True).split() == ["/dev/pts/0", "yes"]


# ---------------------------------------------------------------- limits

def limits(**resources) -> dict:
    return {**alone(), "resources": resources}


def test_limits_in_the_cgroup_and_their_update(cri):
    pod = cri.pod()
    container = pod.start("sleep", "100", linux=limits(memory_limit_in_bytes=64 * MEBIBYTE,
                                                       cpu_period=100000, cpu_quota=50000,
                                                       cpu_shares=512))
    pid = cri.run("inspect", container).json()["info"]["pid"]
    memory = cgroup_file(pid, "memory", "memory.limit_in_bytes", "memory.max")
    assert memory.read_text().strip() == str(64 * MEBIBYTE)
    assert "50000" in cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").read_text()
    cri.run("update", "--memory", str(96 * MEBIBYTE), "--cpu-quota", "20000", "--cpu-period", "100000",
            container)
    assert memory.read_text().strip() == str(96 * MEBIBYTE)
    assert "20000" in cgroup_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").read_text()


def test_out_of_memory_is_the_reason(cri):
    pod = cri.pod()
    container = pod.start("sh", "-c", "x=a; while :; do x=$x$x; done",
                          linux=limits(memory_limit_in_bytes=16 * MEBIBYTE))
    status = pod.wait_for_exit(container)
    assert (status["exitCode"], status["reason"]) == (137, "OOMKilled")


def test_stats(cri):
    pod = cri.pod()
    container = pod.start("sh", "-c", "while :; do :; done", linux=limits(cpu_period=100000,
                                                                         cpu_quota=20000))

    def row() -> dict:
        return cri.run("stats", "--output", "json", container).json()["stats"][0]
    harness.wait_for(lambda: int(row()["cpu"]["usageCoreNanoSeconds"]["value"]) > 0, what="CPU time")
    assert int(row()["memory"]["workingSetBytes"]["value"]) > 0


# ---------------------------------------------------------------- security context

def test_the_user(cri):
    pod = cri.pod()
    assert pod.output("id", linux=alone(run_as_user={"value": 1000})) == \
        "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)"
    assert pod.output("id", "-u", linux=alone(run_as_username="app")) == "1000"
    assert pod.output("id", "-G", linux=alone(run_as_user={"value": 1000}, run_as_group={"value": 77},
                                              supplemental_groups=[88, 99])).split() == \
        ["77", "88", "99", "2000"]


def capabilities(text: str) -> int:
    return int(re.search(r"^CapEff:\s*(\w+)$", text, re.MULTILINE).group(1), 16)


def test_capabilities(cri):
    pod = cri.pod()
    net_admin, chown = 1 << 12, 1 << 0
    shown = pod.output("cat", "/proc/self/status", linux=alone(
        capabilities={"add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["CHOWN"]}))
    assert capabilities(shown) & net_admin and not capabilities(shown) & chown
    shown = pod.output("cat", "/proc/self/status",
                       linux=alone(capabilities={"drop_capabilities": ["ALL"]}))
    assert capabilities(shown) == 0


def test_a_root_that_is_read_only(cri):
    pod = cri.pod()
    assert pod.output("sh", "-c", "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm",
                      linux=alone(readonly_rootfs=True)).split() == ["refused", "shm"]


def test_new_privileges(cri):
    pod = cri.pod()
    assert pod.output("grep", "NoNewPrivs", "/proc/self/status",
                      linux=alone(no_new_privs=True)).split() == ["NoNewPrivs:", "1"]


@pytest.mark.parametrize("profile,mode", [(0, "2"), (1, "0")])  # RuntimeDefault and Unconfined
def test_seccomp(cri, profile, mode):
    pod = cri.pod()
    shown = pod.output("grep", "Seccomp:", "/proc/self/status",
                       linux=alone(seccomp={"profile_type": profile}))
    assert shown.split() == ["Seccomp:", mode]


def test_a_seccomp_profile_from_a_file(cri):
    profile = cri.base / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
                       '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}')
    pod = cri.pod()
    shown = pod.output("sh", "-c", "mkdir /tmp/x 2>&1 || true",
                       linux=alone(seccomp={"profile_type": 2, "localhost_ref": str(profile)}))
    assert "Operation not permitted" in shown


def test_privileged(cri):
    pod = cri.pod(linux={"security_context": {"privileged": True}})
    assert pod.output("sh", "-c", "mount -t tmpfs x /tmp && echo mounted", linux=alone(
        privileged=True, capabilities={"drop_capabilities": ["SYS_RESOURCE"]})) == "mounted"


def test_masked_and_read_only_paths(cri):
    pod = cri.pod()
    shown = pod.output("sh", "-c", "ls /proc/acpi | wc -l; (echo 1 > /proc/sys/kernel/msgmax) 2>&1 || true",
                       linux=alone(masked_paths=["/proc/acpi"], readonly_paths=["/proc/sys"]))
    assert shown.splitlines()[0] == "0" and "Read-only file system" in shown


# ---------------------------------------------------------------- namespaces, network, mounts

def test_containers_of_a_pod_share_what_a_pod_has(cri):
    pod = cri.pod(hostname="box-of-pods")
    first = pod.start("sleep", "100", linux=alone())
    second = pod.start("sleep", "100", linux=alone())

    def namespaces(container: str) -> list[str]:
        script = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done; hostname"
        return cri.out("exec", "--sync", container, "sh", "-c", script).split()
    one, other = namespaces(first), namespaces(second)
    assert one[:3] == other[:3] and one[5] == "box-of-pods"
    assert one[3] != other[3] and one[4] != other[4]


def test_a_shared_pid_namespace(cri):
    pod = cri.pod(linux=security(pid=POD))
    first = pod.start("sleep", "111", linux=security(pid=POD))
    shown = pod.output("ps", linux=security(pid=POD))
    assert "sleep 1000000" in shown and "sleep 111" in shown
    cri.run("stop", "--timeout", "0", first)
    assert pod.status(first)["exitCode"] == 137
    assert pod.inspect()["status"]["state"] == "SANDBOX_READY"


def test_the_host_s_pid_namespace(cri):
    pod = cri.pod(linux=security(pid=NODE))
    assert "containerd" in pod.output("ps", linux=security(pid=NODE))


def test_the_network_of_a_pod(cri):
    pod = cri.pod(port_mappings=[])
    address = pod.inspect()["status"]["network"]["ip"]
    assert address.startswith(cri.network)
    container = pod.start("httpd", "-f", "-p", "8080", "-h", "/www", linux=alone())
    fetch = ["wget", "-q", "-O", "-", f"http://{address}:8080/"]
    other = cri.pod().start("sleep", "100", linux=alone())
    harness.wait_for(lambda: cri.run("exec", "--sync", container, *fetch, check=False).returncode == 0,
                     what="the server listens")
    assert cri.out("exec", "--sync", other, *fetch) == "hello from a container"


def test_the_host_s_network(cri):
    pod = cri.pod(linux=security(network=NODE))
    assert "trivet-cri0" in pod.output("ls", "/sys/class/net", linux=alone(network=NODE))


def test_port_forward(cri):
    pod = cri.pod()
    pod.start("httpd", "-f", "-p", "8080", "-h", "/www", linux=alone())
    forward = engines.Daemon([*cri.words, "port-forward", pod.id, "18080:8080"],
                             cri.base / "forward", cri.env)
    fetch = engines.Client([str(harness.busybox()), "wget", "-q", "-O", "-"], cri.env)
    try:
        harness.wait_for(lambda: fetch.run("http://127.0.0.1:18080/", check=False).stdout ==
                         "hello from a container\n", what="the page")
    finally:
        forward.close()


def test_mounts(cri):
    folder = cri.base / "volume"
    folder.mkdir()
    (folder / "x").write_text("bound\n")
    pod = cri.pod()
    shown = pod.output("sh", "-c", "cat /v/x; touch /v/y; touch /r/z || echo refused", linux=alone(), mounts=[
        {"container_path": "/v", "host_path": str(folder)},
        {"container_path": "/r", "host_path": str(folder), "readonly": True}])
    assert shown.split("\n")[0] == "bound" and "refused" in shown
    assert (folder / "y").exists()


def test_a_volume_whose_mounts_reach_both_sides(cri):
    folder = cri.base / "both"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "here", folder], check=True)
    subprocess.run(["mount", "--make-shared", folder], check=True)
    security_context = {"privileged": True, "capabilities": {"drop_capabilities": ["SYS_RESOURCE"]}}
    pod = cri.pod(linux={"security_context": {"privileged": True}})
    container = pod.start("sh", "-c", "mkdir /v/x; mount -t tmpfs x /v/x; touch /v/x/file; sleep 100",
                          linux=alone(**security_context),
                          mounts=[{"container_path": "/v", "host_path": str(folder), "propagation": 2}])
    harness.wait_for((folder / "x/file").exists, what="the container's mount on the host")
    subprocess.run(["mount", "-t", "tmpfs", "y", folder / "x"], check=True)
    assert "tmpfs" in cri.out("exec", "--sync", container, "grep", "^y /v/x", "/proc/mounts")


def test_environment_directory_and_devices(cri):
    pod = cri.pod()
    shown = pod.output("sh", "-c", "echo $A; pwd; ls -l /dev/other | cut -c1", linux=alone(),
                       envs=[{"key": "A", "value": "b c"}], working_dir="/www",
                       devices=[{"host_path": "/dev/null", "container_path": "/dev/other",
                                 "permissions": "rw"}])
    assert shown.split("\n") == ["b c", "/www", "c"]


def test_sysctls_of_a_pod(cri):
    pod = cri.pod(linux={"sysctls": {"net.ipv4.ip_local_port_range": "2000 3000"}})
    assert pod.output("cat", "/proc/sys/net/ipv4/ip_local_port_range",
                      linux=alone()).split() == ["2000", "3000"]
