"""podman, docker and containerd run WebAssembly through trivet-oci: by annotation, platform or name."""

from __future__ import annotations

import os
import tarfile
import time

import pytest

import engines
import harness
import wasm_harness
from wasm_harness import Layout

UP = ["echo", "up", ",", "sleep", "100000000"]


@pytest.fixture(scope="session")
def probe(scratch):
    """wasm_probe.c."""
    if reason := wasm_harness.toolchain_missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return wasm_harness.Builder(scratch / "wasm").probe


@pytest.fixture(scope="session")
def root_tar(scratch, probe):
    """A root with busybox and the module /app.wasm."""
    tar = scratch / "wasm-root.tar"
    layer = harness.LayerTar().dir("bin").dir("etc").dir("proc").dir("tmp", 0o1777).dir("dev").dir("sys")
    layer.file("bin/busybox", harness.busybox().read_bytes(), 0o755).link("bin/sh", "busybox")
    layer.file("etc/passwd", "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
    layer.file("app.wasm", probe.read_bytes(), 0o755)
    tar.write_bytes(layer.bytes())
    return tar


# ---------------------------------------------------------------- podman

@pytest.fixture(scope="session")
def podman_wasm(podman_engine, root_tar):
    """podman with the images "wasm" (linux, a Wasm entrypoint) and "wasi" (platform wasi/wasm)."""
    podman_engine.run("import", "--change", 'ENTRYPOINT=["/app.wasm"]', root_tar, "wasm")
    layout = Layout(podman_engine.base / "wasi")
    layer = root_tar.read_bytes()
    layout.tag(layout.image([layer], {"Entrypoint": ["/app.wasm"]}, "wasi/wasm"), "localhost/wasi:latest")
    pulled = podman_engine.out("pull", "-q", "--platform", "wasi/wasm", f"oci:{layout.folder}:localhost/wasi:latest")
    podman_engine.run("tag", pulled, "localhost/wasi")
    return podman_engine


@pytest.fixture
def podman_one(podman_wasm):
    yield podman_wasm
    podman_wasm.remove_all()


def run_podman(podman, *words, options=(), image="wasm", **settings):
    return podman.run("run", "--rm", "--network", "none", *options, image, *words, **settings)


@pytest.mark.podman
@pytest.mark.parametrize("options", [[], ["--annotation", "run.oci.handler=wasm"],
                                     ["--annotation", "dev.trivet.isolation=wasm"]])
def test_podman_runs_a_module(podman_one, options):
    done = run_podman(podman_one, "echo", "out", ",", "err", "wrong", ",", "exit", "130", options=options, code=130)
    assert (done.stdout, done.stderr) == ("out\n", "wrong\n")


@pytest.mark.podman
def test_podman_gives_files_environment_and_input(podman_one):
    folder = podman_one.base / "shared"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("bound")
    done = run_podman(podman_one, "read", "/v/a", ",", "write", "/v/b", "x", ",", "env", ",", "upper",
                      options=["-i", "-e", "A=b", "-v", f"{folder}:/v:ro"], stdin="typed\n")
    assert done.lines[:2] == ["bound", "write: I/O error"]
    assert "A=b" in done.lines and done.lines[-1] == "TYPED"


@pytest.mark.podman
def test_podman_runs_the_platform(podman_one):
    done = podman_one.run("run", "--rm", "--network", "none", "--platform", "wasi/wasm", "localhost/wasi", "echo", "wasi")
    assert done.stdout == "wasi\n"


@pytest.mark.podman
def test_podman_s_crun_wasm_is_ours(podman_one):
    link = podman_one.base / "crun-wasm"
    if not link.exists():
        link.symlink_to(engines.RUNTIME)
    done = podman_one.run("--runtime", link, "run", "--rm", "--network", "none", "wasm", "echo", "by name")
    assert done.stdout == "by name\n"
    failed = podman_one.run("--runtime", link, "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", "wasm",
                            check=False)
    assert failed.returncode == 126 and "no WebAssembly module" in failed.stderr


@pytest.mark.podman
def test_podman_logs_exec_top_stop(podman_one):
    name = podman_one.out("run", "-d", "--network", "none", "wasm", *UP)
    harness.wait_for(lambda: podman_one.out("logs", name) == "up", what="the program's word")
    assert podman_one.run("exec", name, "/app.wasm", "echo", "inside", ",", "exit", "9", code=9).stdout == "inside\n"
    podman_one.run("exec", name, "/app.wasm", "trap", code=134)
    assert podman_one.run("exec", name, "/bin/sh", check=False).returncode in {126, 255}
    podman_one.run("pause", name)
    podman_one.run("unpause", name)
    begin = time.monotonic()
    podman_one.run("stop", "--time", "30", name)
    assert time.monotonic() - begin < 15 * harness.SLOW
    assert podman_one.inspect(name)["State"]["ExitCode"] == 143


@pytest.mark.podman
def test_podman_limits_memory(podman_one):
    run_podman(podman_one, "fill", "200", options=["--memory", "64m"], code=137)
    assert run_podman(podman_one, "fill", "20", options=["--memory", "64m"]).stdout == "filled 20 MiB\n"


@pytest.mark.podman
def test_podman_gets_127_for_an_absent_module(podman_one):
    failed = podman_one.run("run", "--rm", "--network", "none", "--annotation", "run.oci.handler=wasm", "--entrypoint",
                            "/absent.wasm", "wasm", code=127)
    assert "no such file or directory" in failed.stderr


@pytest.mark.podman
def test_podman_on_a_terminal(podman_one):
    terminal = podman_one.terminal("run", "--rm", "-it", "--network", "none", "wasm", "tty", ",", "upper")
    terminal.expect("1 1 1")
    terminal.send("typed\n\x04")
    terminal.expect("TYPED")
    assert terminal.wait() == 0
    terminal.close()


# ---------------------------------------------------------------- docker

@pytest.fixture(scope="session")
def docker_wasm(docker_engine, root_tar):
    docker_engine.run("import", "--change", 'ENTRYPOINT ["/app.wasm"]', root_tar, "wasm")
    return docker_engine


@pytest.fixture
def docker_one(docker_wasm):
    yield docker_wasm
    docker_wasm.remove_all()


@pytest.mark.docker
def test_docker_runs_a_wasm_entrypoint(docker_one):
    run = ["run", "--rm", "-i", "--network", "none", "-e", "A=b", "wasm"]
    done = docker_one.run(*run, "echo", "out", ",", "env", ",", "upper", ",", "exit", "200", stdin="typed\n", code=200)
    assert done.lines[0] == "out" and done.lines[-1] == "TYPED" and "A=b" in done.lines
    docker_one.run(*run, "trap", code=134)
    docker_one.run(*run, "fill", "200", code=0)


@pytest.mark.docker
def test_docker_logs_exec_top_stop(docker_one):
    name = docker_one.out("run", "-d", "--network", "none", "wasm", *UP)
    harness.wait_for(lambda: docker_one.out("logs", name) == "up", what="the program's word")
    assert docker_one.run("exec", name, "/app.wasm", "echo", "inside", ",", "exit", "9", code=9).stdout == "inside\n"
    assert len(docker_one.out("top", name).splitlines()) == 2
    docker_one.run("stop", "-t", "30", name)
    assert docker_one.inspect(name)["State"]["ExitCode"] == 143


@pytest.mark.docker
def test_docker_leaves_native_programs_of_the_image_native(docker_one):
    done = docker_one.run("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", "wasm", "-c", "echo native")
    assert done.stdout == "native\n"


# ---------------------------------------------------------------- containerd

@pytest.fixture(scope="session")
def containerd_wasm(containerd_engine, root_tar):
    base = containerd_engine.base
    layout = base / "wasm-layout"
    harness.write_oci_layout(layout, [root_tar.read_bytes()], {"Entrypoint": ["/app.wasm"]}, "localhost/wasm:latest")
    with tarfile.open(base / "wasm.tar", "w") as tar:
        for entry in sorted(layout.iterdir()):
            tar.add(entry, entry.name)
    containerd_engine.run("image", "import", "--snapshotter", "native", base / "wasm.tar")
    return containerd_engine


@pytest.fixture
def containerd_one(containerd_wasm):
    yield containerd_wasm
    containerd_wasm.remove_all()


@pytest.mark.containerd
@pytest.mark.parametrize("options", [[], ["--annotation", "run.oci.handler=wasm"]])
def test_containerd_runs_a_module(containerd_one, options):
    done = containerd_one.run("run", "--rm", *containerd_one.runtime, *options, "--env", "A=b", "localhost/wasm:latest",
                              "one", "/app.wasm", "echo", "out", ",", "env", ",", "exit", "77", code=77)
    assert done.lines[0] == "out" and "A=b" in done.lines


@pytest.mark.containerd
def test_containerd_exec_pause_kill(containerd_one):
    containerd_one.run("run", "--detach", *containerd_one.runtime, "localhost/wasm:latest", "one", "/app.wasm", *UP)
    done = containerd_one.run("task", "exec", "--exec-id", "e", "one", "/app.wasm", "echo", "inside", ",", "exit", "6",
                              code=6)
    assert done.stdout == "inside\n"
    containerd_one.run("task", "pause", "one")
    assert containerd_one.status("one") == "PAUSED"
    containerd_one.run("task", "resume", "one")
    containerd_one.run("task", "kill", "--signal", "TERM", "one")
    harness.wait_for(lambda: containerd_one.status("one") == "STOPPED", what="the end")
    assert "exit code 143" in containerd_one.run("task", "delete", "one").stderr


@pytest.mark.containerd
def test_containerd_refuses_what_is_no_module(containerd_one):
    failed = containerd_one.run("run", "--rm", *containerd_one.runtime, "--annotation", "run.oci.handler=wasm",
                                "localhost/wasm:latest", "one", "/bin/sh", check=False)
    assert failed.returncode != 0 and "no WebAssembly module" in failed.stderr
