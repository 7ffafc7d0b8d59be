"""`trivet install` registers trivet-oci with the real programs, and `trivet uninstall` takes it out."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

import engines
import harness
import vm_harness
import wasm_harness

EXPERIMENTAL = {"dev.trivet.experimental": "true"}


class Trivet(engines.Client):
    """The command line with a data directory of its own."""

    def __init__(self, base: pathlib.Path):
        super().__init__([str(harness.BIN_DIR / "trivet")],
                         engines.environment(TRIVET_DATA_DIR=str(base / "data"), HOME=str(base)))
        self.base = base


@pytest.fixture
def trivet(tmp_path):
    return Trivet(tmp_path)


# ---------------------------------------------------------------- docker

@pytest.fixture
def docker(scratch):
    base = scratch / "di"
    base.mkdir()
    docker = engines.Docker(base, registered=False)
    yield docker
    docker.close()


def run_docker(docker, runtime: str, **settings) -> harness.Result:
    return docker.run("run", "--rm", "--network", "none", "--runtime", runtime, "box", "echo", "hello",
                      **settings)


def knows(docker, runtime: str) -> bool:
    return runtime in docker.run("info", "--format", "{{json .Runtimes}}").json()


@pytest.mark.docker
def test_docker(docker, trivet):
    before = docker.config.read_bytes()
    assert run_docker(docker, "trivet", check=False).returncode != 0
    trivet.run("install", "docker", "--config", docker.config, "--default", "--yes", "--restart")
    harness.wait_for(lambda: knows(docker, "trivet"), what="dockerd has read its configuration")
    assert run_docker(docker, "trivet").stdout == "hello\n"
    assert docker.out("info", "--format", "{{.DefaultRuntime}}") == "trivet"
    name = docker.spawn("sleep", "100")
    assert docker.inspect(name)["HostConfig"]["Runtime"] == "trivet"
    docker.remove_all()

    done = trivet.run("uninstall", "docker", "--config", docker.config, "--yes", "--restart")
    assert docker.config.read_bytes() == before and "restart Docker" in done.stdout
    docker.daemon.close()
    docker.daemon = docker.start_daemon()
    assert not knows(docker, "trivet")
    assert run_docker(docker, "trivet", check=False).returncode != 0
    assert docker.out("info", "--format", "{{.DefaultRuntime}}") == "runc"


# ---------------------------------------------------------------- podman

class OwnEtc(engines.Client):
    """A command for which /etc/containers is a directory of the test's."""

    def __init__(self, client: engines.Client, folder: pathlib.Path):
        script = f"mount --bind {folder} /etc/containers && exec \"$@\""
        env = {name: value for name, value in client.env.items() if name != "CONTAINERS_CONF"}
        super().__init__(["/usr/bin/unshare", "--mount", "sh", "-c", script, "sh", *client.words], env)


@pytest.mark.podman
def test_podman_reads_the_drop_in(podman, trivet, tmp_path):
    folder = tmp_path / "containers"
    folder.mkdir()
    (folder / "policy.json").write_bytes((podman.base / "policy.json").read_bytes())
    (folder / "containers.conf").write_text(
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
        f'static_dir = "{podman.base}/static"\nvolume_path = "{podman.base}/volumes"\n'
        f'tmp_dir = "{podman.base}/tmp"\n[network]\nnetwork_config_dir = "{podman.base}/networks"\n')
    own_podman, own_trivet = OwnEtc(podman, folder), OwnEtc(trivet, folder)

    def runtime() -> str:
        return own_podman.out("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}")
    assert runtime().startswith("runc ")
    own_trivet.run("install", "podman", "--default", "--yes")
    assert runtime() == f"trivet {harness.BIN_DIR / 'trivet-oci'}"
    hello = ["run", "--rm", "--network", "none", "box", "echo", "hello"]
    assert own_podman.out(*hello) == "hello"
    # Podman asks for errors as JSON only from those of its list, and then finds the reason in them.
    failed = own_podman.run(*hello[:-2], "no-such-program", check=False)
    assert failed.returncode == 127 and "executable file not found" in failed.stderr
    assert own_podman.out("run", "--rm", "--network", "none", "--cgroups", "disabled", "box", "echo", "hi") == "hi"
    own_trivet.run("uninstall", "podman", "--yes")
    assert runtime().startswith("runc ")
    assert sorted(path.name for path in folder.rglob("*")) == ["containers.conf", "policy.json"]


# ---------------------------------------------------------------- containerd

@pytest.fixture(scope="module")
def installed_cri(scratch):
    """A containerd whose runtimes `trivet install` has put into its configuration."""
    base = scratch / "ci"
    base.mkdir()
    trivet = Trivet(base)
    # Containers of microVMs look for their kernel where the host's trivet has it.
    place = pathlib.Path("/var/lib/trivet/vm")
    if not vm_harness.missing() and not os.path.ismount(place):
        place.mkdir(exist_ok=True)
        subprocess.run(["/bin/mount", "--bind", harness.VM_DIR, place], check=True)
    cri = engines.Cri(base, register=lambda config: trivet.run(
        "install", "containerd", "--config", config, "--default", "--yes"))
    yield cri
    cri.close()


@pytest.fixture
def cri(installed_cri):
    yield installed_cri
    installed_cri.remove_all()


def life_of_a_pod(cri, handler: str, *command: str, image: str = "", **fields) -> str:
    """From RunPodSandbox to RemovePodSandbox; what its container has printed."""
    pod = cri.pod(handler=handler, **fields)
    assert pod.inspect()["status"]["state"] == "SANDBOX_READY"
    more = {"image": {"image": image}} if image else {}
    # As a kubelet does it, but for pods with shareProcessNamespace.
    alone = {"security_context": {"namespace_options": {"pid": 1}}}
    container = pod.start(*command, linux=alone, **more)
    assert pod.wait_for_exit(container)["exitCode"] == 0
    printed = cri.out("logs", container)
    cri.run("rm", container)
    cri.run("stopp", pod.id)
    cri.run("rmp", pod.id)
    assert cri.out("pods", "--quiet") == ""
    return printed


@pytest.mark.cri
@pytest.mark.parametrize("handler", ["", "trivet", "runc"])
def test_pods_of_the_handlers(cri, handler):
    assert life_of_a_pod(cri, handler, "cat", "/proc/sys/kernel/osrelease") == os.uname().release


@pytest.mark.cri
def test_a_pod_of_microvms(cri):
    if reason := vm_harness.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    release = life_of_a_pod(cri, "trivet-microvm", "cat", "/proc/sys/kernel/osrelease",
                            annotations=EXPERIMENTAL)
    assert release and release != os.uname().release


@pytest.mark.cri
def test_a_pod_of_webassembly(cri):
    if reason := wasm_harness.toolchain_missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    probe = wasm_harness.Builder(cri.base / "wasm").probe
    layer = harness.LayerTar().file("app.wasm", probe.read_bytes(), 0o755)
    name = "localhost/wasm:latest"
    folder = cri.base / "wasm-image"
    folder.mkdir()
    cri.load(engines.archive_of(folder, name, [layer.bytes()], {"Entrypoint": ["/app.wasm"]}))
    assert life_of_a_pod(cri, "trivet-wasm", "/app.wasm", "echo", "hello", image=name) == "hello"


@pytest.mark.cri
def test_containerd_without_trivet_again(scratch, trivet):
    base = scratch / "cu"
    base.mkdir()
    texts = []

    def there_and_back(config: pathlib.Path) -> None:
        texts.append(config.read_bytes())
        trivet.run("install", "containerd", "--config", config, "--default", "--yes")
        trivet.run("uninstall", "containerd", "--config", config, "--yes")
        texts.append(config.read_bytes())
    cri = engines.Cri(base, register=there_and_back)
    try:
        assert texts[0] == texts[1]
        sandbox = base / "pod.json"
        sandbox.write_text('{"metadata": {"name": "x", "namespace": "default", "uid": "x"}}')
        failed = cri.run("runp", "--runtime", "trivet", sandbox, check=False)
        assert failed.returncode != 0 and "failed to get sandbox runtime" in failed.stderr
    finally:
        cri.close()
