"""What the fields of a manifest come to: seen from within the containers of pods that run."""

from __future__ import annotations

import base64
import json
import os
import pathlib

import pytest

import harness
from harness import wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.network,
              pytest.mark.usefixtures("nothing_left")]

STAY = ["sleep", "1000"]


def container(name: str = "main", command: list[str] | None = None, **fields) -> dict:
    return {"name": name, "image": "busybox", "command": command or STAY, **fields}


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


class Demo:
    def __init__(self, trivet: harness.Trivet):
        self.trivet = trivet

    def run(self, *containers: dict, documents: tuple[dict, ...] = (), metadata: dict | None = None,
            **spec) -> None:
        self.trivet.run("pod", "run", "-", stdin=self.text(*containers, documents=documents,
                                                           metadata=metadata, **spec))

    def fails(self, *containers: dict, **spec) -> str:
        """What is said; nothing may be left."""
        said = self.trivet.fails("pod", "run", "-", stdin=self.text(*containers, **spec)).stderr
        assert self.trivet.run("pod", "ps", "-q").stdout == ""
        assert self.trivet.containers() == []
        return said

    @staticmethod
    def text(*containers: dict, documents=(), metadata=None, **spec) -> str:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo", **(metadata or {})},
               "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 0, **spec}}
        return "---\n".join(json.dumps(document) + "\n" for document in [*documents, pod])

    def out(self, name: str, text: str) -> str:
        return self.trivet.out("pod", "exec", "-c", name, "demo", *sh(text))

    def members(self) -> dict[str, dict]:
        found = self.trivet.run("pod", "inspect", "demo").json()[0]
        return {member["Name"]: member for member in found["Containers"]}


@pytest.fixture
def demo(trivet):
    return Demo(trivet)


def secret(name: str, **data: str) -> dict:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": coded}


# ---------------------------------------------------------------- programs and variables

def test_command_and_args_take_the_place_of_entrypoint_and_cmd(demo, trivet, scratch, busybox_layout):
    layout = scratch / "entry-layout"
    if not layout.exists():
        harness.write_oci_layout(layout, harness.busybox_layers(),
                                 {**harness.BUSYBOX_CONFIG, "Entrypoint": ["echo", "entry"],
                                  "Cmd": ["cmd"]}, "entry")
    trivet.run("image", "import", layout, "entry")
    demo.run({"name": "none", "image": "entry"},
             {"name": "args", "image": "entry", "args": ["mine"]},
             {"name": "command", "image": "entry", "command": ["echo", "other"]},
             {"name": "both", "image": "entry", "command": ["echo"], "args": ["all", "$(A)"],
              "env": [{"name": "A", "value": "mine"}]},
             restartPolicy="Never")
    trivet.run("pod", "wait", "demo")
    expected = {"none": "entry cmd", "args": "entry mine", "command": "other", "both": "all mine"}
    assert {name: trivet.out("pod", "logs", "-c", name, "demo") for name in expected} == expected


def test_variables_of_every_kind(demo):
    demo.run(container(
        resources={"limits": {"memory": "64Mi", "cpu": "1500m"}},
        envFrom=[{"secretRef": {"name": "login"}, "prefix": "S_"}],
        env=[{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
             {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
             {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
             {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
             {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
             {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
             {"name": "URL", "value": "http://$(IP)/$(S_user)"}]),
        documents=(secret("login", user="me"),), metadata={"labels": {"app": "web"}})
    address = demo.out("main", "grep demo /etc/hosts | cut -f1")
    assert demo.out("main", "echo $NAME $SPACE $APP $NODE $CPU $URL") == \
        f"demo default web {os.uname().nodename} 2 http://{address}/me"


# ---------------------------------------------------------------- volumes

def test_files_of_a_projected_volume(demo):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                "data": {"color": "blue", "size": "3"},
                "binaryData": {"bytes": base64.b64encode(bytes(range(256))).decode()}}
    demo.run(container(volumeMounts=[{"name": "all", "mountPath": "/all"},
                                     {"name": "all", "mountPath": "/etc/tint", "subPath": "deep/tint"}]),
             documents=(settings, secret("login", password="s3cret")),
             metadata={"labels": {"app": "web"}},
             volumes=[{"name": "all", "projected": {"defaultMode": 0o440, "sources": [
                 {"configMap": {"name": "settings", "items": [
                     {"key": "color", "path": "deep/tint", "mode": 0o755},
                     {"key": "bytes", "path": "bytes"}]}},
                 {"secret": {"name": "login"}},
                 {"configMap": {"name": "nothing", "optional": True}},
                 {"downwardAPI": {"items": [
                     {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}}])
    assert demo.out("main", "cat /all/deep/tint /all/password /all/labels /etc/tint") == \
        'blues3cretapp="web"blue'
    assert demo.out("main", "sha256sum < /all/bytes").split()[0] == \
        harness.digest_of(bytes(range(256))).removeprefix("sha256:")
    assert demo.out("main", "stat -c %a /all/deep/tint /all/password; ls /all") == \
        "755\n440\nbytes\ndeep\nlabels\npassword"
    assert demo.out("main", "touch /all/x /etc/tint 2>&1 | grep -c Read-only") == "2"


def test_an_empty_directory_is_shared_and_goes_with_the_pod(demo, trivet):
    mounts = [{"name": "data", "mountPath": "/data"}]
    demo.run(container("one", volumeMounts=mounts),
             container("two", volumeMounts=[{**mounts[0], "readOnly": True}]),
             volumes=[{"name": "data", "emptyDir": {}}])
    demo.out("one", "echo hello > /data/file; chmod 600 /data/file")
    assert demo.out("two", "cat /data/file; touch /data/x 2>/dev/null || echo no") == "hello\nno"
    trivet.run("pod", "rm", "-f", "demo")
    assert not list((trivet.data / "pods").iterdir())


def test_a_volume_in_memory_has_a_size(demo):
    demo.run(container(volumeMounts=[{"name": "fast", "mountPath": "/fast"}]),
             volumes=[{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}])
    assert demo.out("main", "df -k /fast | awk 'NR == 2 { print $2 }'") == "8192"
    assert demo.out("main", "stat -f -c %T /fast") == "tmpfs"


def test_the_group_of_the_volumes(demo):
    demo.run(container(volumeMounts=[{"name": "data", "mountPath": "/data"},
                                     {"name": "login", "mountPath": "/login"}]),
             documents=(secret("login", password="x"),),
             securityContext={"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000]},
             volumes=[{"name": "data", "emptyDir": {}},
                      {"name": "login", "secret": {"secretName": "login", "defaultMode": 0o400}}])
    assert demo.out("main", "id -u; id -G | tr ' ' '\\n' | sort -n | grep -E '[23]000'") == \
        "1000\n2000\n3000"
    assert demo.out("main", "touch /data/x; stat -c %g /data /data/x /login/password; "
                            "cat /login/password") == "2000\n2000\n2000\nx"


def test_a_part_of_a_volume(demo):
    demo.run(container("writer", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
             container("reader", env=[{"name": "WHO", "value": "reader"}],
                       securityContext={"runAsUser": 1000},
                       volumeMounts=[{"name": "data", "mountPath": "/part",
                                      "subPathExpr": "logs/$(WHO)"}]),
             volumes=[{"name": "data", "emptyDir": {}}])
    demo.out("reader", "echo hello > /part/file")
    assert demo.out("writer", "cat /data/logs/reader/file") == "hello"


def test_a_part_of_a_volume_can_not_lead_out_of_it(demo):
    """The victim is started again after a container that can write to the volume has put a symlink
    where the part was: the host's /etc must not be there."""
    demo.run(container("attacker", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
             container("victim", sh("ls /part; touch /part/mark; sleep 1000"),
                       volumeMounts=[{"name": "data", "mountPath": "/part", "subPath": "part"}]),
             volumes=[{"name": "data", "emptyDir": {}}])
    demo.out("attacker", "mkdir -p /data/etc /data/inside; rm -rf /data/part; ln -s /etc /data/part")
    first = demo.members()["victim"]
    os.kill(first["Pid"], 9)
    wait_for(lambda: demo.members()["victim"]["RestartCount"] > 0 and
             demo.members()["victim"]["Status"] == "running", 20, "it is started again")
    # The symlink was followed inside the volume.
    wait_for(lambda: demo.out("attacker", "ls /data/etc") == "mark", what="the part is the volume's")
    assert "passwd" not in demo.out("victim", "ls /part")
    assert not os.path.exists("/etc/mark")


def test_paths_of_the_host(demo, tmp_path):
    (tmp_path / "file").write_text("from the host\n")
    demo.run(container(volumeMounts=[{"name": "made", "mountPath": "/made"},
                                     {"name": "file", "mountPath": "/file", "readOnly": True}]),
             volumes=[{"name": "made", "hostPath": {"path": str(tmp_path / "a/b"),
                                                    "type": "DirectoryOrCreate"}},
                      {"name": "file", "hostPath": {"path": str(tmp_path / "file"), "type": "File"}}])
    assert demo.out("main", "cat /file; touch /made/x") == "from the host"
    assert (tmp_path / "a/b/x").exists()


def test_a_path_of_the_host_that_is_not_there(demo, tmp_path):
    said = demo.fails(container(volumeMounts=[{"name": "host", "mountPath": "/host"}]),
                      volumes=[{"name": "host", "hostPath": {"path": str(tmp_path / "no"),
                                                             "type": "Directory"}}])
    assert "host" in said and "no" in said


# ---------------------------------------------------------------- security, resources, names

def test_what_a_security_context_takes_away(demo):
    demo.run(container("tight", securityContext={
                 "runAsUser": 1000, "runAsGroup": 2000, "runAsNonRoot": True,
                 "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                 "capabilities": {"drop": ["ALL"]}}),
             container("open", securityContext={"seccompProfile": {"type": "Unconfined"}}))
    assert demo.out("tight", "id -u; id -g; touch /x 2>/dev/null || echo read-only") == \
        "1000\n2000\nread-only"
    status = demo.out("tight", "cat /proc/self/status")
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    assert "Seccomp:\t0" in demo.out("open", "cat /proc/self/status")


def test_root_where_it_must_not_be(demo):
    said = demo.fails(container(securityContext={"runAsNonRoot": True}))
    assert "root" in said and "main" in said


def test_limits_of_a_container_and_of_the_pod(demo, trivet):
    demo.run(container(resources={"limits": {"memory": "64Mi", "cpu": "500m"}}),
             resources={"limits": {"memory": "128Mi"}})
    stats = trivet.run("pod", "stats", "--no-stream", "--format", "json", "demo").json()
    assert [entry["MemoryLimit"] for entry in stats] == [64 << 20]
    parent = trivet.run("pod", "inspect", "demo").json()[0]["CgroupParent"]
    files = [f"/sys/fs/cgroup/memory{parent}/memory.limit_in_bytes",
             f"/sys/fs/cgroup{parent}/memory.max"]
    assert [pathlib.Path(file).read_text().strip() for file in files if os.path.exists(file)] == \
        [str(128 << 20)]


def test_sysctls_of_the_pod(demo):
    demo.run(container("one"), container("two"), securityContext={"sysctls": [
        {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
        {"name": "kernel.shm_rmid_forced", "value": "1"}]})
    for name in ("one", "two"):
        assert demo.out(name, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start "
                              "/proc/sys/kernel/shm_rmid_forced") == "80\n1"


def test_names_and_resolvers(demo):
    demo.run(container("one"), container("two"), hostname="www", subdomain="site",
             dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["example.org"],
                                          "options": [{"name": "ndots", "value": "2"}]},
             hostAliases=[{"ip": "192.0.2.7", "hostnames": ["db", "cache"]}])
    for name in ("one", "two"):
        assert demo.out(name, "hostname; cat /etc/hostname") == "www\nwww"
        assert demo.out(name, "cat /etc/resolv.conf").splitlines() == \
            ["search example.org", "nameserver 192.0.2.53", "options ndots:2"]
        hosts = demo.out(name, "cat /etc/hosts")
        assert "\twww www.site\n" in hosts
        assert "192.0.2.7\tdb\n192.0.2.7\tcache" in hosts


def test_processes_are_shared_when_asked_for(demo):
    demo.run(container("one", ["sleep", "1234"]), container("two", ["sleep", "5678"]),
             shareProcessNamespace=True)
    assert "sleep 5678" in demo.out("one", "ps -o args")
    demo.trivet.run("pod", "rm", "-f", "demo")
    demo.run(container("one", ["sleep", "1234"]), container("two", ["sleep", "5678"]))
    assert "sleep 5678" not in demo.out("one", "ps -o args")


def test_shared_memory_is_the_pods(demo):
    demo.run(container("one"), container("two"))
    demo.out("one", "echo hello > /dev/shm/x")
    assert demo.out("two", "cat /dev/shm/x") == "hello"


def test_the_hosts_network_and_processes(demo):
    demo.run(container(), hostNetwork=True, hostPID=True)
    assert demo.out("main", "readlink /proc/self/ns/net") == os.readlink("/proc/self/ns/net")
    assert demo.out("main", f"test -d /proc/{os.getpid()} && hostname") == os.uname().nodename


def test_a_sidecar_runs_before_and_beside(demo):
    shared = [{"name": "work", "mountPath": "/work"}]
    demo.run(container(command=sh("cat /work/list; sleep 1000"), volumeMounts=shared),
             initContainers=[
                 container("first", sh("echo first >> /work/list"), volumeMounts=shared),
                 container("side", sh("echo side >> /work/list; sleep 1000"), volumeMounts=shared,
                           restartPolicy="Always",
                           startupProbe={"exec": {"command": ["grep", "side", "/work/list"]},
                                         "periodSeconds": 1}),
                 container("second", sh("echo second >> /work/list"), volumeMounts=shared)],
             volumes=[{"name": "work", "emptyDir": {}}])
    demo.trivet.wait_for_log("demo-main", "first\nside\nsecond")
    members = demo.members()
    assert [members[name]["Role"] for name in ("first", "side", "second", "main")] == \
        ["init", "sidecar", "init", "main"]
    assert [members[name]["Status"] for name in ("first", "side", "main")] == \
        ["stopped", "running", "running"]


# ---------------------------------------------------------------- the commands

def test_logs_of_several_containers(demo, trivet):
    demo.run(container("one", sh("echo from one; echo to stderr >&2")),
             container("second", sh("sleep 0.2; echo from two")), restartPolicy="Never")
    trivet.run("pod", "wait", "demo")
    result = trivet.run("pod", "logs", "demo")
    assert result.stdout == "one    | from one\nsecond | from two\n"
    assert result.stderr == "one    | to stderr\n"
    assert trivet.out("pod", "logs", "-c", "second", "demo") == "from two"
    assert trivet.out("pod", "logs", "-f", "--tail", "1", "-c", "second", "demo") == "from two"
    assert "no container" in trivet.fails("pod", "logs", "-c", "third", "demo").stderr


def test_following_logs_until_all_have_ended(demo, trivet):
    demo.run(container("one", sh("sleep 1; echo one")), container("two", sh("sleep 1; echo two")),
             restartPolicy="Never")
    assert sorted(trivet.run("pod", "logs", "-f", "demo").lines) == ["one | one", "two | two"]


def test_exec_in_one_of_several(demo, trivet):
    demo.run(container("one"), container("two"))
    assert "several containers: one, two" in trivet.fails("pod", "exec", "demo", "true").stderr
    assert trivet.run("pod", "exec", "-c", "two", "-e", "A=1", "demo", *sh("echo $A; exit 7"),
                      check=False).returncode == 7
    assert trivet.run("pod", "exec", "-i", "-c", "one", "demo", "cat", stdin="in").stdout == "in"


def test_listing(demo, trivet):
    demo.run(container("one"), container("two"), metadata={"labels": {"app": "web"}})
    pod = trivet.run("pod", "ps", "--format", "json", "--filter", "label=app=web").json()[0]
    assert (pod["Name"], pod["Phase"], len(pod["Containers"])) == ("demo", "running", 2)
    assert trivet.out("pod", "ps", "-q", "--no-trunc") == pod["Id"]
    assert trivet.run("pod", "ps", "-q", "--filter", "status=failed").stdout == ""
    rows = trivet.run("ps", "--pod", "--filter", "pod=demo").lines
    assert rows[0].endswith("POD") and len(rows) == 3 and all(row.endswith("demo") for row in rows[1:])
    assert {row["Pod"] for row in trivet.containers()} == {pod["Id"]}
    assert trivet.out("pod", "inspect", "-f", "{{.Hostname}}", "demo") == "demo"


def test_a_pod_that_ends(demo, trivet):
    demo.run(container("fine", ["true"]), container("bad", sh("exit 3")), restartPolicy="Never")
    assert trivet.out("pod", "wait", "demo") == "3"
    assert trivet.run("pod", "ps", "--format", "json").json()[0]["Phase"] == "failed"
    trivet.run("pod", "rm", "demo")
    demo.run(container("fine", ["true"]), restartPolicy="Never")
    assert trivet.out("pod", "wait", "demo") == "0"
    assert trivet.run("pod", "ps", "--format", "json").json()[0]["Phase"] == "succeeded"


def test_options_go_before_the_manifest(demo, trivet):
    port = harness.free_port()
    text = demo.text(container(command=["nc", "-lk", "-p", "80", "-e", "echo", "hi"]))
    trivet.run("pod", "run", "--name", "other", "-p", f"127.0.0.1:{port}:80", "-", stdin=text)
    assert [row["Names"] for row in trivet.containers()] == ["other-main"]
    ports = trivet.run("pod", "ps", "--format", "json").json()[0]["Ports"]
    assert [(entry["HostPort"], entry["ContainerPort"]) for entry in ports] == [(port, 80)]
    assert "already" in trivet.fails("pod", "run", "--name", "other", "-", stdin=text).stderr
