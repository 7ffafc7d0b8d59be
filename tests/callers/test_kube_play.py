"""Manifests that others write, run by `trivet pod run` and by `podman kube play`: the same can be seen of
them. Their shapes are those of the examples in the documentation of Kubernetes and of the tests of
Podman; docs/pods.md has the table of what differs."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import shutil
import tempfile
import urllib.request

import pytest

import engines
import harness

pytestmark = pytest.mark.podman

IMAGE = "localhost/box:latest"
STAY = ["sleep", "1000"]


def container(name: str = "main", command: list[str] | None = None, **fields) -> dict:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": command or STAY,
            **fields}


def pod(*containers: dict, metadata: dict | None = None, **spec) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo", **(metadata or {})},
            "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 1, **spec}}


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> dict:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": coded}


# ---------------------------------------------------------------- who runs them

class Kube:
    """What plays a manifest, and what can be seen of its pod "demo"."""

    def play(self, path: pathlib.Path, network: bool) -> None:
        raise NotImplementedError

    def see(self, name: str, *command: str) -> str:
        """What a command in a container prints, and how it ends."""
        raise NotImplementedError

    def log(self, name: str) -> str:
        raise NotImplementedError

    def exit_code(self, name: str) -> int:
        """Of a container, when it has ended."""
        raise NotImplementedError

    def down(self) -> None:
        raise NotImplementedError


class TrivetKube(Kube):
    def __init__(self, base: pathlib.Path):
        self.trivet = harness.Trivet(base)
        archive = base / "layout"
        harness.write_oci_layout(archive, [engines.flat_root()], {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
                                 "box")
        self.trivet.run("image", "import", archive, IMAGE)

    def play(self, path, network):
        self.trivet.run("pod", "run", path)

    def see(self, name, *command):
        done = self.trivet.run("pod", "exec", "-c", name, "demo", *command, check=False)
        return f"{done.stdout}[{done.returncode}]"

    def log(self, name):
        return self.trivet.out("pod", "logs", "-c", name, "demo")

    def exit_code(self, name):
        self.trivet.run("wait", f"demo-{name}")
        return self.trivet.inspect(f"demo-{name}")["State"]["ExitCode"]

    def down(self):
        self.trivet.remove_pods()


class PodmanKube(Kube):
    def __init__(self, podman: engines.Podman):
        # Another runtime than trivet's own: it is to be an independent witness.
        self.podman = engines.Client([*podman.words, "--runtime", "/usr/bin/crun"], podman.env)

    def play(self, path, network):
        self.podman.run("kube", "play", *([] if network else ["--network", "none"]), path)

    def see(self, name, *command):
        done = self.podman.run("exec", f"demo-{name}", *command, check=False)
        return f"{done.stdout}[{done.returncode}]"

    def log(self, name):
        return self.podman.out("logs", f"demo-{name}")

    def exit_code(self, name):
        return int(self.podman.out("wait", f"demo-{name}"))

    def down(self):
        self.podman.run("pod", "rm", "--force", "--all", "--time", "0")
        self.podman.run("volume", "rm", "--all", "--force")
        self.podman.run("secret", "rm", "--all", check=False)


@pytest.fixture(scope="module")
def trivet_kube(scratch):
    base = pathlib.Path(tempfile.mkdtemp(prefix="k", dir=scratch))
    kube = TrivetKube(base)
    yield kube
    kube.trivet.close()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def both(trivet_kube, podman):
    kubes = [trivet_kube, PodmanKube(podman)]
    yield kubes
    for kube in kubes:
        kube.down()


# ---------------------------------------------------------------- the manifests

@dataclasses.dataclass
class Case:
    documents: list[dict]
    see: list[tuple[str, list[str]]] = dataclasses.field(default_factory=list)
    logs: list[str] = dataclasses.field(default_factory=list)  # of containers that end
    codes: list[str] = dataclasses.field(default_factory=list)
    network: bool = False
    # What Kubernetes' documentation says is seen, where Podman 4.3 shows something else, or fails.
    kubernetes: dict[str, object] | None = None


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


def env(*entries: tuple[str, object]) -> list[dict]:
    return [{"name": name, **({"value": value} if isinstance(value, str) else {"valueFrom": value})}
            for name, value in entries]


STATUS = sh("grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status")

CASES = {
    "command and arguments": Case(
        [pod(container(command=["sh", "-c"], args=["echo $GREETING $0", "word"],
                       env=env(("GREETING", "hello"))), restartPolicy="Never")],
        logs=["main"], codes=["main"]),
    "an exit code": Case(
        [pod(container(command=sh("echo out; exit 3")), restartPolicy="Never")],
        logs=["main"], codes=["main"]),
    "variables that name others": Case(
        [pod(container(command=["echo"], args=["$(ADDRESS)", "$(NOTHING)", "$$(PORT)"],
                       env=env(("PORT", "80"), ("HOST", "example.org"),
                               ("ADDRESS", "$(HOST):$(PORT)"))),
             restartPolicy="Never")],
        logs=["main"], kubernetes={"log of main": "example.org:80 $(NOTHING) $(PORT)"}),
    "fields of the pod as variables": Case(
        [pod(container(env=env(
            ("NAME", {"fieldRef": {"fieldPath": "metadata.name"}}),
            ("APP", {"fieldRef": {"fieldPath": "metadata.labels['app']"}}))),
            metadata={"labels": {"app": "web"}})],
        see=[("main", sh("echo $NAME $APP"))]),
    "resources as variables": Case(
        [pod(container(resources={"limits": {"memory": "64Mi", "cpu": "500m"}}, env=env(
            ("MEMORY", {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}),
            ("CPU", {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}))))],
        see=[("main", sh("echo $MEMORY $CPU"))]),
    "variables from a ConfigMap": Case(
        [config_map("settings", COLOR="blue", SIZE="3"),
         pod(container(envFrom=[{"configMapRef": {"name": "settings"}}], env=env(
             ("TINT", {"configMapKeyRef": {"name": "settings", "key": "COLOR"}}),
             ("NONE", {"configMapKeyRef": {"name": "settings", "key": "x", "optional": True}}))))],
        see=[("main", sh("echo $COLOR $SIZE $TINT; env | grep NONE"))]),
    "variables from a Secret": Case(
        [secret("login", password="s3cret", user="me"),
         pod(container(envFrom=[{"secretRef": {"name": "login"}}], env=env(
             ("WORD", {"secretKeyRef": {"name": "login", "key": "password"}}))))],
        see=[("main", sh("echo $user $password $WORD"))],
        kubernetes={"main: sh -c echo $user $password $WORD": "me s3cret s3cret\n[0]"}),
    "files from a ConfigMap": Case(
        [config_map("settings", color="blue", size="3"),
         pod(container(volumeMounts=[{"name": "all", "mountPath": "/all"}]),
             volumes=[{"name": "all", "configMap": {"name": "settings"}}])],
        see=[("main", sh("cat /all/color /all/size; ls /all"))]),
    "some of the files of a ConfigMap": Case(
        [config_map("settings", color="blue", size="3"),
         pod(container(volumeMounts=[{"name": "some", "mountPath": "/some"}]),
             volumes=[{"name": "some", "configMap": {
                 "name": "settings", "items": [{"key": "color", "path": "tint"}]}}])],
        see=[("main", sh("cat /some/tint; ls /some"))]),
    "files from a Secret": Case(
        [secret("login", password="s3cret"),
         pod(container(volumeMounts=[{"name": "s", "mountPath": "/s"}]),
             volumes=[{"name": "s", "secret": {"secretName": "login"}}])],
        see=[("main", ["cat", "/s/password"])],
        kubernetes={"main: cat /s/password": "s3cret[0]"}),
    "two containers and a volume": Case(
        [pod(container("writer", sh("echo hello > /shared/page; sleep 1000"),
                       volumeMounts=[{"name": "shared", "mountPath": "/shared"}]),
             container("reader", volumeMounts=[{"name": "shared", "mountPath": "/data",
                                                "readOnly": True}]),
             volumes=[{"name": "shared", "emptyDir": {}}])],
        see=[("reader", sh("until cat /data/page 2>/dev/null; do sleep 0.1; done")),
             ("reader", sh("touch /data/x 2>/dev/null"))]),
    "init containers": Case(
        [pod(container(volumeMounts=[{"name": "work", "mountPath": "/work"}]),
             initContainers=[
                 container("first", sh("echo first >> /work/list"),
                           volumeMounts=[{"name": "work", "mountPath": "/work"}]),
                 container("second", sh("echo second >> /work/list"),
                           volumeMounts=[{"name": "work", "mountPath": "/work"}])],
             volumes=[{"name": "work", "emptyDir": {}}],
             # With Always, Podman 4.3 runs them again and again.
             restartPolicy="Never")],
        see=[("main", ["cat", "/work/list"])]),
    "a user, and no way to more": Case(
        [pod(container(securityContext={"runAsUser": 1000, "allowPrivilegeEscalation": False}))],
        see=[("main", ["id", "-u"]), ("main", sh("grep NoNewPrivs /proc/self/status"))]),
    "the pod's user, another of a container": Case(
        [pod(container("one"), container("two", securityContext={"runAsUser": 2000}),
             securityContext={"runAsUser": 1000, "runAsGroup": 3000})],
        see=[("one", sh("id -u; id -g")), ("two", sh("id -u; id -g"))]),
    "capabilities": Case(
        [pod(container("more", securityContext={"capabilities": {"drop": ["ALL"],
                                                                 "add": ["NET_ADMIN", "SYS_TIME"]}}),
             container("none", securityContext={"capabilities": {"drop": ["ALL"]}}))],
        see=[("more", STATUS), ("none", STATUS)]),
    "a root that is read-only": Case(
        [pod(container(securityContext={"readOnlyRootFilesystem": True},
                       volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}]),
             volumes=[{"name": "tmp", "emptyDir": {}}])],
        see=[("main", sh("touch /x 2>/dev/null || echo read-only; touch /tmp/x && echo written"))]),
    "names for addresses": Case(
        [pod(container(), hostAliases=[{"ip": "192.0.2.7", "hostnames": ["db.example", "db"]}])],
        see=[("main", sh("awk '$1 == \"192.0.2.7\" { for (i = 2; i <= NF; i++) print $i }' "
                         "/etc/hosts | sort"))], network=True),
    "the host name": Case(
        [pod(container("one"), container("two"), hostname="busy")],
        see=[("one", ["hostname"]), ("two", ["hostname"])]),
    "a host name of the pod's own": Case([pod(container())], see=[("main", ["hostname"])]),
    "processes that see each other": Case(
        [pod(container("one", ["sleep", "1234"]), container("two", ["sleep", "5678"]),
             shareProcessNamespace=True)],
        see=[("one", sh("ps -o args | grep -E '^sleep' | sort"))]),
    "processes that do not": Case(
        [pod(container("one", ["sleep", "1234"]), container("two", ["sleep", "5678"]))],
        see=[("one", sh("ps -o args | grep -E '^sleep' | sort"))]),
    "a directory to start in": Case([pod(container(command=sh("pwd; sleep 1000"), workingDir="/tmp"))],
                                    see=[("main", ["pwd"])]),
    "a limit of memory": Case(
        [pod(container(resources={"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}))],
        see=[("main", ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"])]),
    "a terminal": Case([pod(container(tty=True, command=sh("tty; sleep 1000")))],
                       see=[("main", sh("test -c /dev/console; echo $?"))]),
    "a named volume": Case(
        [pod(container(command=sh("echo kept > /data/file; sleep 1000"),
                       volumeMounts=[{"name": "data", "mountPath": "/data"}]),
             volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}])],
        see=[("main", sh("until cat /data/file 2>/dev/null; do sleep 0.1; done"))]),
    "a ConfigMap in two volumes": Case(
        [config_map("settings", color="blue", size="3"),
         pod(container(volumeMounts=[{"name": "all", "mountPath": "/all"},
                                     {"name": "some", "mountPath": "/some"}]),
             volumes=[{"name": "all", "configMap": {"name": "settings"}},
                      {"name": "some", "configMap": {
                          "name": "settings", "items": [{"key": "color", "path": "tint"}]}}])],
        see=[("main", ["ls", "/all", "/some"])],
        kubernetes={"main: ls /all /some": "/all:\ncolor\nsize\n\n/some:\ntint\n[0]"}),
    "init containers of a pod that starts again": Case(
        [pod(container(volumeMounts=[{"name": "work", "mountPath": "/work"}]),
             initContainers=[container("first", sh("echo first >> /work/list"),
                                       volumeMounts=[{"name": "work", "mountPath": "/work"}])],
             metadata={"annotations": {"io.podman.annotations.init.container.type": "always"}},
             volumes=[{"name": "work", "emptyDir": {}}])],
        see=[("main", sh("sleep 3; cat /work/list"))],
        kubernetes={"main: sh -c sleep 3; cat /work/list": "first\n[0]"}),
    "a projected volume": Case(
        [config_map("settings", color="blue"),
         pod(container(volumeMounts=[{"name": "all", "mountPath": "/all"}]),
             metadata={"labels": {"app": "web"}},
             volumes=[{"name": "all", "projected": {"sources": [
                 {"configMap": {"name": "settings"}},
                 {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {
                     "fieldPath": "metadata.labels"}}]}}]}}])],
        see=[("main", sh("cat /all/color /all/labels"))],
        kubernetes={"main: sh -c cat /all/color /all/labels": 'blueapp="web"[0]'}),
    "the group of the volumes": Case(
        [pod(container(volumeMounts=[{"name": "data", "mountPath": "/data"}]),
             securityContext={"runAsUser": 1000, "fsGroup": 2000},
             volumes=[{"name": "data", "emptyDir": {}}])],
        see=[("main", sh("touch /data/x; stat -c %g /data/x"))],
        kubernetes={"main: sh -c touch /data/x; stat -c %g /data/x": "2000\n[0]"}),
    "more groups": Case(
        [pod(container(securityContext={"runAsUser": 1000}),
             securityContext={"supplementalGroups": [3000]})],
        see=[("main", sh("id -G | grep -o 3000"))]),
    "a hook after the start": Case(
        [pod(container(lifecycle={"postStart": {"exec": {"command": ["touch", "/started"]}}}))],
        see=[("main", ["ls", "/started"])], kubernetes={"main: ls /started": "/started\n[0]"}),
    "a part of a volume by a variable": Case(
        [pod(container(env=env(("WHO", "me")),
                       volumeMounts=[{"name": "data", "mountPath": "/data"},
                                     {"name": "data", "mountPath": "/part",
                                      "subPathExpr": "logs/$(WHO)"}]),
             volumes=[{"name": "data", "emptyDir": {}}])],
        see=[("main", sh("touch /part/x; ls /data/logs/me"))],
        kubernetes={"main: sh -c touch /part/x; ls /data/logs/me": "x\n[0]"}),
    "a sysctl": Case(
        [pod(container(), securityContext={"sysctls": [
            {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]})],
        see=[("main", ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"])],
        kubernetes={"main: cat /proc/sys/net/ipv4/ip_unprivileged_port_start": "80\n[0]"}),
    "resolvers": Case(
        [pod(container(), dnsPolicy="None", dnsConfig={
            "nameservers": ["192.0.2.53"], "searches": ["example.org"],
            "options": [{"name": "ndots", "value": "2"}]})],
        see=[("main", sh("sort /etc/resolv.conf"))], network=True),
    "a volume in memory": Case(
        [pod(container(volumeMounts=[{"name": "fast", "mountPath": "/fast"}]),
             volumes=[{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}])],
        see=[("main", ["stat", "-f", "-c", "%T", "/fast"])]),
    "a deadline": Case(
        [pod(container(command=sh("trap 'exit 7' TERM; sleep 4 & wait")), activeDeadlineSeconds=1,
             restartPolicy="Never")],
        codes=["main"], kubernetes={"exit code of main": 7}),
    "a list of one": Case(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
          "data": {"a": "1"}},
         pod(container(command=["cat"], args=["/etc/passwd"]), restartPolicy="Never")],
        logs=["main"]),
}


def observe(kube: Kube, case: Case, path: pathlib.Path) -> dict[str, object]:
    kube.play(path, case.network)
    seen: dict[str, object] = {}
    for name in case.codes:
        seen[f"exit code of {name}"] = kube.exit_code(name)
    for name, command in case.see:
        seen[f"{name}: {' '.join(command)}"] = kube.see(name, *command)
    for name in case.logs:
        kube.exit_code(name)
        seen[f"log of {name}"] = kube.log(name)
    kube.down()
    return seen


def write(folder: pathlib.Path, documents: list[dict]) -> pathlib.Path:
    """JSON is YAML; documents are separated as in YAML."""
    path = folder / "demo.yaml"
    path.write_text("---\n".join(json.dumps(document) + "\n" for document in documents))
    return path


@pytest.mark.parametrize("name", CASES)
def test_the_same_is_seen(both, tmp_path, name):
    case = CASES[name]
    path = write(tmp_path, case.documents)
    trivet, podman = both
    seen = observe(trivet, case, path)
    assert seen  # something was looked at
    if case.kubernetes is None:
        assert seen == observe(podman, case, path)
        return
    assert seen == case.kubernetes
    try:
        others = observe(podman, case, path)
    except harness.Failed:
        return
    assert seen != others, "Podman does the same: the table in docs/pods.md is out of date"


@pytest.mark.parametrize("kind", ["Directory", "DirectoryOrCreate", "File", "FileOrCreate"])
def test_paths_of_the_host(both, tmp_path, kind):
    folder = tmp_path / "host"
    for kube in both:
        shutil.rmtree(folder, ignore_errors=True)
        target = folder / "it"
        folder.mkdir()
        if kind == "Directory":
            target.mkdir()
        if kind == "File":
            target.touch()
        path = write(tmp_path, [pod(
            container(volumeMounts=[{"name": "host", "mountPath": "/host"}]),
            volumes=[{"name": "host", "hostPath": {"path": str(target), "type": kind}}])])
        kube.play(path, False)
        command = "echo seen > /host" if kind.startswith("File") else "echo seen > /host/file"
        assert kube.see("main", *sh(command)) == "[0]"
        assert (target if kind.startswith("File") else target / "file").read_text() == "seen\n"
        kube.down()


@pytest.mark.parametrize("kind", ["Directory", "File", "Socket"])
def test_paths_of_the_host_that_are_not_there(both, tmp_path, kind):
    path = write(tmp_path, [pod(
        container(volumeMounts=[{"name": "host", "mountPath": "/host"}]),
        volumes=[{"name": "host", "hostPath": {"path": str(tmp_path / "no"), "type": kind}}])])
    for kube in both:
        with pytest.raises(harness.Failed):
            kube.play(path, False)
        kube.down()


def fetch(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_a_published_port(both, tmp_path):
    for kube in both:
        port = harness.free_port()
        path = write(tmp_path, [pod(container(
            command=["httpd", "-f", "-p", "80", "-h", "/www"],
            ports=[{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}]))])
        kube.play(path, True)
        harness.wait_for(lambda: fetch(port) == "hello from a container\n", what="the page")
        kube.down()


def test_containers_reach_each_other_on_localhost(both, tmp_path):
    path = write(tmp_path, [pod(container("server", ["httpd", "-f", "-p", "8080", "-h", "/www"]),
                                container("client"))])
    for kube in both:
        kube.play(path, False)
        harness.wait_for(lambda: kube.see("client", "wget", "-qO-", "http://127.0.0.1:8080/") ==
                         "hello from a container\n[0]", what="the page")
        kube.down()


@pytest.mark.parametrize("broken", [
    {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "demo"}, "spec": {"containers": "none"}},
    pod(container(volumeMounts=[{"name": "nothing", "mountPath": "/x"}])),
    pod(container(env=env(("A", {"configMapKeyRef": {"name": "nothing", "key": "a"}})))),
    pod(container(env=env(("A", {"secretKeyRef": {"name": "nothing", "key": "a"}})))),
    pod({**container(), "image": "localhost/no-such-image:1"}),
])
def test_both_refuse(both, tmp_path, broken):
    path = write(tmp_path, [broken])
    for kube in both:
        with pytest.raises(harness.Failed):
            kube.play(path, False)
        kube.down()


def test_a_misspelt_field(trivet_kube, podman, tmp_path):
    """Podman leaves it out without a word."""
    path = write(tmp_path, [pod({**container(), "workingDirectory": "/tmp"})])
    said = trivet_kube.trivet.fails("pod", "run", path).stderr
    assert "spec.containers[0].workingDirectory: unknown field" in said
    other = PodmanKube(podman)
    other.play(path, False)
    assert other.see("main", "pwd") == "/\n[0]"


def test_a_container_that_can_not_be_started(trivet_kube, podman, tmp_path):
    """Of a pod of trivet's nothing is left; of one of Podman's what has started goes on."""
    path = write(tmp_path, [pod(container("fine"), container("bad", ["/no/such/program"]))])
    said = trivet_kube.trivet.fails("pod", "run", path).stderr
    assert "bad" in said and "/no/such/program" in said
    assert trivet_kube.trivet.containers() == []
    other = PodmanKube(podman)
    assert other.podman.run("kube", "play", "--network", "none", path, check=False).returncode != 0
    assert other.see("fine", "echo", "here") == "here\n[0]"
