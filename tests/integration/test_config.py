"""config.yml, project.yml and TRIVET_RUNTIME as people meet them."""

import json
import time

import jsonschema
import pytest
import yaml

import harness
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
            "run: {fuel: off}", "registries: {docker.io: {mirrors: ['https://a:5000/', 'http://[::1]']}}",
            "registries: {'127.0.0.1:5000': {plain-http: true, ca-file: ~/ca.pem}}", "registries:\n",
            "registries: {a.b: null}", "limits: {image-size: 1g}", "pods: {exec-timeout: none}",
            "microvm: {max-memory: 8g, max-cpus: 12}", "limits: {containers: 5}", "microvm: {disk: 8GiB}", "microvm:\n"]
MISTAKES = ["registries: [a]", "registries: {'https://a': {}}", "registries: {a: {mirrors: [a]}}",
            "registries: {a: {mirror: []}}", "registries: {a: {mirrors: ['https://a/b']}}",
            "registries: {a: {plain-http: 1}}", "registries: {a: {ca-file: b}}", "pods: {grace: soon}",
            "limits: {image-layers: 0}", "runtime: micro", "run: {memory: null}", "run: {memory: lots}", "run: {cpus: many}", "limits: {containers: 0}",
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


def test_a_pod_has_the_configured_runtime(configured, tmp_path):
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", ""))
    trivet = configured("runtime: microvm\n")
    # The gate of microVMs shows that it would have been one.
    for variable in ({}, {"TRIVET_RUNTIME": "krun"}):
        assert "experimental" in trivet.fails("pod", "run", manifest, code=1, env=variable).stderr
    manifest.write_text(MANIFEST.replace("HOST", "hostNetwork: true"))
    failed = trivet.fails("pod", "run", manifest, code=1)
    assert "the host's network" in failed.stderr and "--isolation native" in failed.stderr
    null = trivet.fails("pod", "run", manifest, code=1, env={"TRIVET_RUNTIME": "null"})
    assert "the runtime null runs nothing" in null.stderr
    podman = trivet.fails("pod", "run", manifest, code=1, env={"TRIVET_RUNTIME": "podman"})
    assert 'unknown runtime "podman"' in podman.stderr


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


@needs_root
@pytest.mark.microvm
def test_a_pod_is_a_microvm_where_that_is_configured(configured, nothing_left, tmp_path):
    trivet = configured("runtime: microvm\nexperimental: true\nmicrovm: {max-memory: 256m}\n")
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", ""))
    trivet.run("pod", "run", manifest, timeout=240)
    assert trivet.run("pod", "inspect", "web").json()[0]["Isolation"] == "microvm"
    total = int(trivet.out("pod", "exec", "web", "cat", "/proc/meminfo").split()[1])
    assert total < 256 << 10
    trivet.run("pod", "rm", "--force", "web")
    own = trivet.fails("run", "--rm", "--network", "none", "--memory", "300m", "busybox", "true", code=125)
    assert "300 MiB of memory, but a microVM has 128 to 256 MiB" in own.stderr


@needs_root
def test_the_times_of_pods(configured, nothing_left, tmp_path):
    trivet = configured("pods: {start-timeout: 2s, grace: 1s, exec-timeout: 1s}\n")
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", "").replace("sleep, '60'", "sh, -c, \"trap '' TERM; sleep 60\""))
    trivet.run("pod", "run", manifest)
    assert trivet.fails("pod", "exec", "web", "sleep", "60", code=124)
    started = time.monotonic()
    trivet.run("pod", "stop", "web")
    assert time.monotonic() - started < 25, "not the 30 seconds of Kubernetes"
    trivet.run("pod", "rm", "--force", "web")
    manifest.write_text(MANIFEST.replace("HOST", "").replace(
        "image:", "readinessProbe: {exec: {command: ['false']}}, image:"))
    assert "is not ready after 2 s" in trivet.fails("pod", "run", manifest, code=1).stderr


# ---------------------------------------------------------------- registries and what comes from them

@pytest.fixture
def mirrored(registry, busybox_layout, config):
    """trivet for which REGISTRY.invalid, which nobody has, is the test's own registry."""
    registry.push_layout(busybox_layout, "b:t")
    trivet = config(f"registries:\n  registry.invalid: {{mirrors: ['http://{registry.host}']}}\n")
    trivet.image = "registry.invalid/b:t"
    return trivet


def test_a_mirror_is_asked_by_pull(mirrored):
    mirrored.run("pull", "--quiet", mirrored.image)
    assert mirrored.run("image", "inspect", mirrored.image).json()
    assert values(mirrored, "registries")["registries.registry.invalid.mirrors"]["Origin"].endswith(":2")


@needs_root
def test_a_mirror_is_asked_by_run_pools_and_pods(mirrored, nothing_left, tmp_path):
    trivet, none = mirrored, ("--network", "none")
    assert trivet.out("run", "--rm", *none, trivet.image, "echo", "ran") == "ran"
    trivet.run("rmi", trivet.image)
    trivet.run("pool", "create", *none, "p", trivet.image, "true")
    trivet.run("pool", "rm", "-f", "p")
    trivet.run("rmi", trivet.image)
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(MANIFEST.replace("HOST", "").replace("busybox", trivet.image))
    trivet.run("pod", "run", manifest)
    trivet.run("pod", "rm", "--force", "web")


def test_plain_http_is_for_the_registry_that_is_named(config, make_registry, busybox_layout, tmp_path):
    registry = make_registry()
    reference = registry.push_layout(busybox_layout, "b:t")
    # Another name of the loopback address, with which HTTP is not tried by itself.
    named = reference.replace("127.0.0.1", "0.0.0.0")
    assert config("").run("pull", "--quiet", named, check=False).returncode != 0
    trivet = config(f"registries: {{'{named.split('/')[0]}': {{plain-http: true}}}}\n")
    trivet.run("pull", "--quiet", named)
    trivet.run("push", "--quiet", named, named.replace("b:t", "b:new"))
    assert "b:new" not in trivet.run("images").stdout
    trivet.run("pull", "--quiet", named.replace("b:t", "b:new"))


def test_what_a_project_says_of_registries_is_refused(mirrored, tmp_path):
    (tmp_path / "project.yml").write_text("runtime: native\nregistries: {docker.io: {plain-http: true}}\n")
    failed = mirrored.fails("run", mirrored.image, code=125, cwd=tmp_path)
    assert "project.yml:2:1: registries: a project can't set it" in failed.stderr


@pytest.mark.parametrize("limit, said", [
    ("image-layers: 1", "the limit is 1"), ("image-layer-files: 3", "more than 3 files"),
    ("image-size: 1m", "MiB")])
def test_images_have_limits(config, registry, scratch, limit, said):
    layers = [harness.LayerTar().file("a", b"a" * (2 << 20)).bytes(),
              harness.LayerTar().file("b", b"b").file("c", b"c").file("d", b"d").file("e", b"e").bytes()]
    layout = scratch / "layout"
    harness.write_oci_layout(layout, layers, {}, "two")
    reference = registry.push_layout(layout, "two:t", "two")
    trivet = config(f"limits: {{{limit}}}\n")
    assert said in trivet.fails("pull", "--quiet", reference).stderr
    assert trivet.run("images", "--quiet").stdout == ""
    config("").run("pull", "--quiet", reference)
