"""config.yml, project.yml and TRIVET_RUNTIME as people meet them."""

import json

import jsonschema
import pytest
import yaml

from harness import ROOT, Trivet


@pytest.fixture
def config(empty_trivet, tmp_path):
    """trivet with a config.yml of its own: config("run: {memory: 64m}") writes it."""
    path = tmp_path / "config.yml"
    path.write_text("")
    empty_trivet.env["TRIVET_CONFIG"] = str(path)

    def write(text: str) -> Trivet:
        path.write_text(text)
        return empty_trivet
    return write


@pytest.fixture
def configured(trivet, tmp_path):
    """The same for the trivet that has an image."""
    path = tmp_path / "config.yml"
    trivet.env["TRIVET_CONFIG"] = str(path)

    def write(text: str) -> Trivet:
        path.write_text(text)
        return trivet
    return write


def values(trivet, *arguments, **options):
    rows = trivet.run("config", "show", "--format", "json", *arguments, **options).json()["settings"]
    return {row["Key"]: row for row in rows}


def test_show_says_where_each_value_comes_from(config, tmp_path):
    trivet = config("run:\n  memory: 512m\nlimits: {containers: 7}\n")
    (tmp_path / "project.yml").write_text("run: {memory: 256m}\n")
    shown = values(trivet, cwd=tmp_path, env={"TRIVET_RUNTIME": "krun"})
    assert shown["run.memory"]["Value"] == "256m" and shown["run.memory"]["Project"]
    assert shown["run.memory"]["Origin"] == f"{tmp_path}/project.yml:1"
    assert shown["limits.containers"]["Value"] == 7
    assert shown["limits.containers"]["Origin"].endswith("config.yml:3")
    assert (shown["runtime"]["Value"], shown["runtime"]["Origin"]) == ("microvm", "TRIVET_RUNTIME")
    assert shown["directories.data"]["Origin"] == "TRIVET_DATA_DIR"
    assert shown["run.pids"] == {**shown["run.pids"], "Value": "none", "Origin": "default"}
    text = trivet.out("config", "show", "--changed", cwd=tmp_path)
    assert "run.memory" in text and "run.pids" not in text
    assert "there is no key" in trivet.fails("config", "show", "memroy", code=1).stderr


def test_check_says_everything_that_is_wrong(config, tmp_path):
    trivet = config("")
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("runtime: microvm\n")
    bad.write_text("runtime: micro\nrun:\n  memroy: 5m\n")
    result = trivet.fails("config", "check", good, bad, code=1)
    assert result.stdout == f"{good}: ok\n"
    assert f'{bad}:1:1: runtime: unknown runtime "micro"' in result.stderr
    assert f'{bad}:3:3: run.memroy: unknown key (did you mean "memory"?)' in result.stderr
    project = tmp_path / "project.yml"
    project.write_text("runtime: wasm\nexperimental: true\n")
    assert "a project can't set it" in trivet.fails("config", "check", project, code=1).stderr


@pytest.mark.parametrize("options, name", [([], "config"), (["--project"], "project")])
def test_the_schemas_are_those_that_are_shipped(config, options, name):
    shipped = ROOT / "packaging/schema" / f"{name}.schema.json"
    printed = config("").run("config", "schema", *options).stdout
    assert printed == shipped.read_text(), f"trivet config schema {' '.join(options)} > {shipped}"
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


EXAMPLES = ["runtime: krun", "runtime: null", "run: {memory: 64m, cpus: 1.5, pids: none, stop-timeout: 1m30s}",
            "run: {fuel: off}", "limits: {containers: 5}", "microvm: {disk: 8GiB}", "microvm:\n"]
MISTAKES = ["runtime: micro", "run: {memory: null}", "run: {memory: lots}", "run: {cpus: many}", "limits: {containers: 0}",
            "run: {stop-timeout: soon}", "runn: {}", "run: {network: bridge}", "microvm: {templates: 3}"]


@pytest.mark.parametrize("text", EXAMPLES + MISTAKES)
def test_the_schema_and_the_reader_agree(config, tmp_path, text):
    path = tmp_path / "some.yml"
    path.write_text(text)
    accepted = config("").run("config", "check", path, check=False).returncode == 0
    assert accepted == (text in EXAMPLES)
    schema = json.loads((ROOT / "packaging/schema/config.schema.json").read_text())
    valid = jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(text))
    assert valid == accepted


def test_a_broken_configuration_stops_commands_but_not_help(config):
    trivet = config("limitz: {}\n")
    assert "did you mean \"limits\"?" in trivet.fails("ps", code=1).stderr
    assert "did you mean" in trivet.fails("run", "x", code=125).stderr
    trivet.run("version")
    trivet.run("run", "--help")
    error = json.loads(trivet.fails("--error-format", "json", "ps", code=1).stderr)
    assert error["code"] == "invalid-argument" and error["hint"]


def test_a_broken_project_concerns_only_what_runs_something(config, tmp_path):
    (tmp_path / "project.yml").write_text("runtime: micro\n")
    trivet = config("")
    trivet.run("ps", cwd=tmp_path)
    assert "project.yml:1:1" in trivet.fails("run", "x", cwd=tmp_path, code=125).stderr


def test_the_null_runtime_runs_nothing(configured):
    trivet = configured("")
    failed = trivet.fails("run", "busybox", "true", code=125, env={"TRIVET_RUNTIME": "null"})
    assert "the runtime null runs nothing" in failed.stderr and "embed" in failed.stderr


MANIFEST = ("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  HOST\n"
            "  containers: [{name: app, image: busybox, command: [sleep, '60']}]\n")


def test_a_pod_is_not_run_with_less_than_is_configured(configured, tmp_path):
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", ""))
    trivet = configured("runtime: microvm\n")
    failed = trivet.fails("pod", "run", manifest, code=1)
    assert "config.yml:1 has runtime microvm" in failed.stderr and "--isolation" in failed.stderr
    # The gate of microVMs shows that it would have been one.
    asked = trivet.fails("pod", "run", "--isolation", "microvm", manifest, code=1)
    assert "experimental" in asked.stderr
    null = trivet.fails("pod", "run", manifest, code=1, env={"TRIVET_RUNTIME": "null"})
    assert "the runtime null runs nothing" in null.stderr


needs_root = pytest.mark.root


@needs_root
def test_defaults_of_a_run_are_limits_that_hold(configured, nothing_left):
    trivet = configured("run:\n  memory: 64m\n  pids: 33\n  cpus: 0.5\n  network: none\n"
                        "  shm-size: 4m\n  stop-timeout: 3s\n  log-max-files: 2\n  log-max-size: 1m\n")
    trivet.run("create", "--name", "one", "busybox", "true")
    host = trivet.inspect("one")["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["CpuQuota"]) == (64 << 20, 33, 50000)
    assert host["NetworkMode"] == "none" and host["ShmSize"] == 4 << 20
    assert host["LogConfig"] == {**host["LogConfig"], "MaxSize": 1 << 20, "MaxFiles": 2}
    trivet.run("create", "--name", "two", "--memory", "0", "--pids", "-1", "--cpu-quota", "20000",
               "--network", "host", "busybox", "true")
    host = trivet.inspect("two")["HostConfig"]
    assert not host["Memory"] and not host["PidsLimit"] and host["CpuQuota"] == 20000
    assert host["NetworkMode"] == "host"


@needs_root
def test_pools_and_pods_next_to_a_configuration(configured, nothing_left, tmp_path):
    trivet = configured("runtime: microvm\nrun: {memory: 64m, network: none}\n")
    trivet.run("pool", "create", "--isolation", "native", "p", "busybox", "true")
    member = trivet.run("pool", "inspect", "p").json()[0]["Members"][0]
    assert trivet.inspect(member)["HostConfig"]["Memory"] == 64 << 20
    trivet.run("pool", "rm", "-f", "p")
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", ""))
    trivet.run("pod", "run", "--isolation", "native", manifest)
    assert trivet.run("pod", "inspect", "web").json()[0]["Isolation"] == "native"
    trivet.run("pod", "rm", "--force", "web")


@needs_root
def test_the_number_of_containers_is_limited(configured, nothing_left):
    trivet = configured("limits: {containers: 1}\n")
    trivet.run("create", "--network", "none", "busybox", "true")
    assert "the limit is 1" in trivet.fails("create", "busybox", "true", code=125).stderr


@needs_root
def test_a_timeout_ends_every_run(configured, nothing_left):
    trivet = configured("run: {timeout: 1s, network: none}\n")
    assert trivet.run("run", "--rm", "busybox", "sleep", "60", check=False).returncode == 124


@needs_root
@pytest.mark.microvm
def test_the_sizes_of_microvms(configured, nothing_left):
    trivet = configured("runtime: microvm\nexperimental: true\nrun: {network: none}\n"
                        "microvm: {cpus: 2, memory: 300m}\n")
    said = trivet.run("run", "--rm", "busybox", "sh", "-c", "nproc; cat /proc/meminfo", timeout=240).stdout
    assert said.startswith("2\n")
    total = int(said.split("MemTotal:")[1].split()[0])
    assert 200 << 10 < total < 300 << 10
    # An option is stronger.
    assert trivet.out("run", "--rm", "--isolation", "native", "busybox", "echo", "native") == "native"
