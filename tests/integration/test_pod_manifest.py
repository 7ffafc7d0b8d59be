"""Manifests of pods as people write them: what is wrong with one is said in its place, all at once, and
nothing is done."""

from __future__ import annotations

import pathlib

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: busybox
"""


@pytest.fixture
def manifest(tmp_path):
    def write(text: str) -> pathlib.Path:
        path = tmp_path / "pod.yaml"
        path.write_text(text)
        return path
    return write


def refused(trivet, path, *options, code=1) -> list[str]:
    """What is said about it, without the directory; nothing may have been made."""
    result = trivet.fails("pod", "run", *options, path, code=code)
    assert result.stdout == ""
    assert trivet.run("pod", "ps", "--format", "json").json() == []
    assert trivet.containers() == []
    return result.stderr.replace(f"{path.parent}/" if isinstance(path, pathlib.Path) else "", "") \
        .splitlines()


def test_a_typing_error_is_found_with_its_line_and_what_was_meant(trivet, manifest):
    said = refused(trivet, manifest(POD + "    comand: [sh]\n"))
    assert said == ['trivet: pod.yaml:9:5: spec.containers[0].comand: unknown field: '
                    'did you mean "command"?']


def test_everything_that_is_wrong_is_said_at_once(trivet, manifest):
    said = refused(trivet, manifest(POD + """\
    ports: [{containerPort: 70000}]
    env: [{name: PORT, value: 8080}]
    resources: {limits: {memory: 64MB}}
    volumeMounts: [{name: data, mountPath: data}]
  restartPolicy: always
"""))
    assert len(said) == 5
    assert "pod.yaml:9:14: spec.containers[0].ports[0].containerPort: 70000: it is 1 to 65535" in said[0]
    assert 'quote it: "8080"' in said[1]
    assert '"64MB" is no quantity' in said[2]
    assert "absolute path" in said[3]
    assert "spec.restartPolicy" in said[4] and "Always, OnFailure, Never" in said[4]


def test_a_deployment_is_no_pod(trivet, manifest):
    said = refused(trivet, manifest("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 3}\n"))
    assert "pod.yaml:2:1: kind: Deployment" in said[0]
    assert said[1].startswith("hint: ") and "template" in said[1]


def test_a_file_that_is_no_yaml(trivet, manifest):
    said = refused(trivet, manifest("apiVersion: v1\nmetadata:\n\tname: web\n"))
    assert said[0].startswith("trivet: pod.yaml:3:1: not YAML")
    assert "tabs" in said[1]
    assert "no Pod" in refused(trivet, manifest("# nothing\n"))[0]
    assert refused(trivet, manifest("{\"apiVersion\": \"v1\", \"kind\": \"Pod\""))


def test_references_that_lead_nowhere(trivet, manifest):
    said = refused(trivet, manifest(POD + """\
    envFrom: [{configMapRef: {name: settings}}]
    volumeMounts: [{name: data, mountPath: /data}]
"""))
    assert 'no ConfigMap "settings"' in said[0]
    assert "--configmap" in said[1]
    assert 'no volume "data"' in said[2]


def test_what_trivet_does_not_do_is_refused_unless_it_may_be_left_out(trivet, manifest):
    path = manifest(POD + "  hostIPC: true\n")
    said = refused(trivet, path)
    assert "pod.yaml:9:3: spec.hostIPC: not supported" in said[0]
    assert "--ignore-unsupported" in said[1]


def test_stdin_has_a_name_in_messages(trivet):
    result = trivet.fails("pod", "run", "-", stdin=POD + "    comand: []\n", code=1)
    assert result.stderr.startswith("trivet: stdin:9:5: ")


def test_a_manifest_that_grows_without_end(trivet, manifest):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefghi", "abcdefgh"):
        lines.append(f"{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    assert "more than 50000 values" in refused(trivet, manifest("\n".join(lines) + "\n"))[0]
    assert "levels deep" in refused(trivet, manifest("[" * 1000))[0]


def test_the_command_line(trivet, manifest):
    assert "no manifest" in trivet.fails("pod", "run", code=1).stderr
    assert "No such file" in trivet.fails("pod", "run", "/no/such.yaml", code=1).stderr
    path = manifest(POD)
    assert "docker" in trivet.fails("pod", "run", "--isolation", "docker", path, code=1).stderr
    assert "sometimes" in trivet.fails("pod", "run", "--pull", "sometimes", path).stderr
    assert 'no extension "nothing"' in \
        trivet.fails("pod", "run", "--extension", "nothing", path, code=1).stderr
    assert "`trivet pod ps`" in trivet.fails("pod", "ls").stderr
    assert trivet.run("pod", "ps", "-q").stdout == ""
    for command in (["inspect"], ["logs"], ["exec"], ["stop"], ["wait"], ["rm"]):
        words = ["nothing", "true"] if command == ["exec"] else ["nothing"]
        assert 'no pod "nothing"' in trivet.fails("pod", *command, *words).stderr
    assert "no pod" in trivet.run("pod", "rm", "-f", "nothing").stderr
