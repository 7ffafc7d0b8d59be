"""trivet-oci runs WebAssembly for engines: by annotation, option, name or the program's first bytes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess

import pytest

import harness
from oci_harness import NAME
from test_oci_rootless import Rootless

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.wasm]

ANNOTATIONS = {"run.oci.handler": "wasm", "dev.trivet.isolation": "wasm", "module.wasm.image/variant": "compat"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIVET_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data/wasm"


@pytest.fixture
def bundle(oci, programs, tmp_path):
    """The bundle's root has /p.wasm, the probe, and no more than a few directories."""
    root = tmp_path / "root"
    for name in ("proc", "sys", "dev", "tmp", "bin"):
        (root / name).mkdir(parents=True)
    shutil.copy(programs.probe, root / "p.wasm")
    (root / "p.wasm").chmod(0o755)
    oci.config["root"] = {"path": str(root)}
    return oci


def annotate(oci, **annotations):
    oci.config.setdefault("annotations", {}).update(annotations)


@pytest.mark.parametrize("key", ANNOTATIONS)
def test_an_annotation_asks_for_wasm(bundle, key):
    annotate(bundle, **{key: ANNOTATIONS[key]})
    bundle.write("/p.wasm", "echo", "out", ",", "err", "err", ",", "exit", "200")
    done = bundle.run(code=200)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_an_option_asks_for_wasm(bundle):
    bundle.write("/p.wasm", "echo", "x")
    assert bundle("run", "--isolation", "wasm", "--bundle", bundle.bundle, NAME).stdout == "x\n"
    failed = bundle("run", "--isolation", "magic", "--bundle", bundle.bundle, NAME, code=1)
    assert "magic" in failed.stderr and "native" in failed.stderr
    assert bundle.left() == []


def test_the_name_crun_wasm_asks_for_wasm(bundle, tmp_path):
    link = tmp_path / "crun-wasm"
    link.symlink_to(bundle.program)
    bundle.program = link
    bundle.write("/p.wasm", "echo", "x")
    assert bundle.run().stdout == "x\n"
    bundle.config["root"] = {"path": str((bundle.bundle / "rootfs").resolve())}
    bundle.write("/bin/true")
    assert "no WebAssembly module" in bundle.run(code=1).stderr


def test_the_first_bytes_are_enough(bundle):
    bundle.write("/p.wasm", "echo", "x")
    assert bundle.run().stdout == "x\n"


def test_isolation_native_wins_over_the_first_bytes(bundle):
    annotate(bundle, **{"dev.trivet.isolation": "native"})
    bundle.write("/p.wasm")
    assert "exec format error" in bundle.run(code=1).stderr


def test_a_pod_s_pause_container_stays_native(oci):
    """The containers of a pod share annotations, and its pause container is no module."""
    annotate(oci, **{"run.oci.handler": "wasm", "io.kubernetes.cri.container-type": "sandbox"})
    oci.write("echo", "native")
    assert oci.run().stdout == "native\n"


def test_wasm_smart_leaves_native_programs_alone(oci):
    annotate(oci, **{"run.oci.handler": "wasm-smart"})
    oci.write("echo", "native")
    assert oci.run().stdout == "native\n"


@pytest.mark.parametrize("program,words", [
    ("/absent.wasm", "no such file or directory"), ("absent", "executable file not found"),
    ("/bin", "no such file or directory"), ("/text", "exec format error")])
def test_what_is_no_program_is_found_out_at_create(bundle, program, words):
    (pathlib.Path(bundle.config["root"]["path"]) / "text").write_text("#!/bin/sh\n")
    annotate(bundle, **{"run.oci.handler": "wasm"})
    bundle.write(program)
    assert words in bundle("create", "--bundle", bundle.bundle, NAME, code=1).stderr
    assert bundle.left() == []


def test_an_invalid_module_is_found_out_at_create(bundle):
    (pathlib.Path(bundle.config["root"]["path"]) / "p.wasm").write_bytes(b"\0asm\1\0\0\0\xff\xff")
    bundle.write("/p.wasm")
    failed = bundle("create", "--bundle", bundle.bundle, NAME, code=1)
    assert "/p.wasm" in failed.stderr and bundle.left() == []


def test_the_life_of_a_container(bundle):
    bundle.write("/p.wasm", "echo", "up", ",", "sleep", "1000000")
    bundle.create(NAME)
    state = bundle.state(NAME)
    assert state["status"] == "created" and bundle.output() == ""
    bundle("start", NAME)
    harness.wait_for(lambda: bundle.output() == "up\n", what="the program's word")
    state = bundle.state(NAME)
    assert state["status"] == "running" and state["annotations"]["dev.trivet.isolation"] == "wasm"
    assert json.loads(bundle("ps", "--format", "json", NAME).stdout) == [state["pid"]]
    bundle("pause", NAME)
    assert bundle.state(NAME)["status"] == "paused"
    bundle("resume", NAME)
    bundle("kill", NAME, "TERM")
    harness.wait_for(lambda: bundle.state(NAME)["status"] == "stopped", what="it ends on SIGTERM")
    bundle("delete", NAME)
    assert bundle.left() == []


def test_exec(bundle, own_cache):
    bundle.write("/p.wasm", "sleep", "1000000")
    bundle.create(NAME)
    bundle("start", NAME)
    done = bundle("exec", "--env", "A=b", NAME, "/p.wasm", "write", "/tmp/x", "y", ",", "env", ",", "exit", "126", code=126)
    assert "A=b" in done.stdout.splitlines() and "TRIVET" not in done.stdout
    bundle("exec", NAME, "/p.wasm", "trap", code=134)
    assert "executable file not found" in bundle("exec", NAME, "sh", code=255).stderr
    assert len(list(own_cache.glob("*.cwasm"))) == 1
    bundle("delete", "--force", NAME)


def test_limits_by_annotation(bundle):
    annotate(bundle, **{"dev.trivet.wasm.fuel": "1000000"})
    bundle.write("/p.wasm", "spin")
    assert "out of fuel" in bundle.run(code=152).stderr
    annotate(bundle, **{"dev.trivet.wasm.fuel": "off", "dev.trivet.wasm.timeout": "200ms"})
    bundle.write("/p.wasm", "spin")
    assert "timeout" in bundle.run(code=124).stderr
    annotate(bundle, **{"dev.trivet.wasm.memory-pages": "100"})
    bundle.write("/p.wasm", "fill", "100")
    assert "out of memory" in bundle.run(code=137).stderr


@pytest.mark.parametrize("key,value", [("dev.trivet.wasm.fuel", "-1"), ("dev.trivet.wasm.timeout", "x"),
                                       ("dev.trivet.wasm.memory-pages", "99999"), ("dev.trivet.wasm.fule", "1")])
def test_a_bad_limit_is_refused(bundle, key, value):
    annotate(bundle, **{key: value})
    bundle.write("/p.wasm")
    assert key in bundle("create", "--bundle", bundle.bundle, NAME, code=1).stderr


def test_memory_of_the_configuration(bundle):
    bundle.config["linux"].setdefault("resources", {})["memory"] = {"limit": 64 << 20}
    bundle.write("/p.wasm", "fill", "100")
    bundle.run(code=137)


def test_confinement_does_not_depend_on_the_configuration(bundle):
    every = json.loads(json.dumps(bundle.config["process"]["capabilities"]))
    bundle.config["process"]["capabilities"] = {kind: [*every["bounding"], "CAP_SYS_ADMIN"] for kind in every}
    bundle.config["process"]["noNewPrivileges"] = False
    bundle.config["linux"].pop("seccomp", None)
    bundle.write("/p.wasm", "echo", "up", ",", "sleep", "1000000")
    bundle.create(NAME)
    bundle("start", NAME)
    harness.wait_for(lambda: bundle.output() == "up\n", what="the program's word")
    lines = pathlib.Path(f"/proc/{bundle.state(NAME)['pid']}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_kernel_file_systems_are_left_out(bundle):
    bundle.write("/p.wasm", "ls", "/proc", ",", "ls", "/sys", ",", "read", "/proc/self/status")
    assert bundle.run().stdout == "[]\n[]\nread: No such file or directory\n"


@pytest.mark.parametrize("source", ["/proc", "/proc/self", "../../../../../../../proc", "/"])
def test_a_bind_mount_of_proc_is_refused(bundle, source):
    bundle.config["mounts"].append({"destination": "/host", "source": source, "type": "none", "options": ["rbind"]})
    bundle.write("/p.wasm", "ls", "/host")
    failed = bundle("create", "--bundle", bundle.bundle, NAME, code=1)
    assert "proc file system" in failed.stderr and bundle.left() == []


def test_the_terminal_goes_to_the_console_socket(bundle):
    bundle.write("/p.wasm", "tty", ",", "upper", terminal=True)
    path = str(bundle.base / "console.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        subprocess.run([bundle.program, "--root", bundle.root, "create", "--bundle", bundle.bundle,
                        "--console-socket", path, NAME], check=True)
        peer, _ = listener.accept()
        with peer:
            _, fds, _, _ = socket.recv_fds(peer, 100, 1)
    bundle("start", NAME)
    os.write(fds[0], b"typed\n")
    text = b""
    while b"TYPED" not in text:
        text += os.read(fds[0], 1000)
    os.close(fds[0])
    assert b"1 1 1" in text


# ---------------------------------------------------------------- as an ordinary user

@pytest.fixture
def rootless(busybox_rootfs, programs):
    base = pathlib.Path(f"/tmp/tv-wasm-{os.getpid()}")
    base.mkdir(mode=0o755)
    try:
        user = Rootless(base, busybox_rootfs)
        shutil.copy(harness.BIN_DIR / "trivet-wasm", base)
        shutil.copy(programs.probe, user.bundle / "rootfs/p.wasm")
        yield user
        user("delete", "--force", "box")
    finally:
        shutil.rmtree(base)


def test_an_ordinary_user_runs_wasm(rootless, monkeypatch):
    monkeypatch.delenv("TRIVET_DATA_DIR")
    done = rootless.run("/p.wasm", "echo", "x", ",", "write", "/made", "y", ",", "exit", "9", code=9)
    assert done.stdout == "x\nwrite ok\n"
    assert (rootless.bundle / "rootfs/made").read_text() == "y"
    assert list((rootless.base / ".local/share/trivet/wasm").glob("*.cwasm"))
    rootless.write("/p.wasm", "sleep", "1000000")
    with (rootless.base / "out").open("w") as out:
        rootless("create", "--bundle", rootless.bundle, "box", output=out)
    rootless("start", "box")
    assert rootless("exec", "box", "/p.wasm", "read", "/made").stdout == "y\n"
