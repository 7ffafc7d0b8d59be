"""Fixtures of the integration tests; harness.py has the parts they are made of.

A test says what it needs with the markers of NEEDS. A missing need skips it, but where the environment
has CI set most needs were promised, and it fails.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

import harness
import oci_harness
import payloads
import pod_harness
import vm_harness
import wasm_harness

NEEDS = {
    "root": "root, to make namespaces without a user namespace",
    "cgroup": "cgroup controllers for memory, cpu and pids that can be written",
    "network": "pasta (Debian's package passt) and /dev/net/tun",
    "microvm": "QEMU, and a guest's kernel from scripts/setup-vm",
    "wasm": "trivet-wasm, and Debian's clang-19, lld-19, wasi-libc, libclang-rt-19-dev-wasm32, wabt",
    "wasip2": "rustc with the target wasm32-wasip2, which scripts/setup-wasm-programs adds",
    "debian": "apt-get, and a network to Debian's packages",
    "real_wasm": "programs that scripts/setup-wasm-programs fetches and builds",
}

# What CI does not promise: they come from further places than Debian and the registry of crates, and
# the tests say so when they are not there.
NOT_PROMISED = {"wasip2", "real_wasm"}


def missing_need(name: str) -> str | None:
    if name == "root" and os.geteuid() != 0:
        return "not root"
    if name == "cgroup":
        writable = [path for path in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/cgroup.procs")
                    if os.access(path, os.W_OK)]
        if not writable:
            return "no cgroup hierarchy can be written"
    if name == "network":
        if harness.program_missing("pasta"):
            return "pasta is not installed"
        if not os.path.exists("/dev/net/tun"):
            return "there is no /dev/net/tun"
    if name == "microvm":
        return vm_harness.missing()
    if name == "wasm":
        return wasm_harness.toolchain_missing()
    if name == "wasip2":
        return wasm_harness.rust_missing()
    if name == "debian" and harness.program_missing("apt-get"):
        return "there is no apt-get"
    if name == "real_wasm":
        return wasm_harness.real_programs_missing()
    return None


def pytest_configure(config):
    for name, text in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {text}")


def pytest_collection_modifyitems(items):
    payloads.mark(items)


def pytest_runtest_setup(item):
    for name in NEEDS:
        if item.get_closest_marker(name) is None:
            continue
        reason = missing_need(name)
        if reason and os.environ.get("CI") and name not in NOT_PROMISED:
            pytest.fail(f"needs {NEEDS[name]}: {reason}", pytrace=False)
        elif reason:
            pytest.skip(f"needs {NEEDS[name]}: {reason}")


def pytest_sessionstart(session):
    session.config.cgroups_before = harness.cgroups_of_trivet()
    harness.collect_sanitizer_reports()


@pytest.fixture(autouse=True)
def no_sanitizer_report():
    """Fails the test when a sanitizer complains in any program, also one that nobody hears: the
    stderr of monitors is /dev/null."""
    yield
    if reports := harness.take_sanitizer_reports():
        pytest.fail(f"a sanitizer has complained:\n{reports}", pytrace=False)


def pytest_sessionfinish(session):
    """With several workers, cgroups can't be attributed to a test: then they are compared here."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    left = harness.cgroups_of_trivet() - session.config.cgroups_before
    # Other suites make some for a moment; what stays was left behind.
    for _ in range(10):
        if left:
            time.sleep(0.5)
            left &= harness.cgroups_of_trivet()
    if left:
        print(f"\nleft behind: {sorted(left)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def scratch():
    """A short path (sockets have at most 107 bytes), removed in the end with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="tv-", dir="/tmp") as folder:
        yield pathlib.Path(folder)


@pytest.fixture(scope="session")
def busybox_layout(scratch):
    """An OCI layout of three layers around busybox, named "busybox"."""
    folder = scratch / "busybox-layout"
    harness.write_oci_layout(folder, harness.busybox_layers(), harness.BUSYBOX_CONFIG, "busybox")
    return folder


@pytest.fixture(scope="session")
def busybox_rootfs(scratch):
    """A root file system as a directory, for --rootfs."""
    folder = scratch / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy(harness.busybox(), folder / "bin/busybox")
    (folder / "bin/busybox").chmod(0o755)
    for name in harness.applets():
        (folder / "bin" / name).symlink_to("busybox")
    return folder


@pytest.fixture(scope="session")
def store_with_busybox(scratch, busybox_layout):
    """A data directory into which the image "busybox" was imported once."""
    base = scratch / "template"
    base.mkdir()
    trivet = harness.Trivet(base)
    trivet.run("image", "import", busybox_layout, "busybox")
    return trivet.data


@pytest.fixture
def empty_trivet(scratch):
    """trivet with an empty store of its own."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="", dir=scratch))
    trivet = harness.Trivet(base)
    yield trivet
    trivet.close()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def trivet(scratch, store_with_busybox):
    """trivet with a store of its own that has the image "busybox"."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="", dir=scratch))
    trivet = harness.Trivet(base, store_with_busybox)
    yield trivet
    trivet.close()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def pods(trivet, tmp_path):
    """Writes manifests of pods, runs them, looks at them."""
    return pod_harness.Pods(trivet, tmp_path)


@pytest.fixture
def vm(trivet):
    """The fixture `trivet` whose containers are microVMs; "--isolation", "native" makes others."""
    trivet.isolation = "microvm"
    return trivet


@pytest.fixture
def own_vm_dir(vm, scratch):
    """trivet has a directory for microVMs of its own, with the kernel and without templates."""
    folder = vm_harness.copy_vm_dir(pathlib.Path(tempfile.mkdtemp(prefix="vm-", dir=scratch)))
    vm.env["TRIVET_VM_DIR"] = str(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machines(vm):
    """What there is of machines; those that the test asked for must be gone in the end.

    Nothing in the environment or the command of QEMU names the test it belongs to.
    """
    found = vm_harness.Machines(vm)
    yield found
    vm.run("rm", "--force", "--volumes", "--all")
    harness.wait_for(lambda: not found.alive(), what="all processes of the machines are gone")


@pytest.fixture
def busybox_image(store_with_busybox):
    """The name of an image that the fixture `trivet` has."""
    return "busybox"


@pytest.fixture
def nothing_left(trivet):
    """Fails the test when it leaves a process, mount, cgroup, namespace or file of trivet behind.

    What containers it has still, `rm -f` must remove without a trace. Other tests may run at the
    same time (pytest -n): cgroups are then not attributable and not compared.
    """
    before = harness.HostState.take(trivet)
    yield
    trivet.remove_pods()
    trivet.remove_pools()
    trivet.run("rm", "--force", "--volumes", "--all")
    alone = "PYTEST_XDIST_WORKER" not in os.environ

    def leftovers():
        left = before.leftovers(harness.HostState.take(trivet))
        if not alone:
            left.pop("cgroups", None)
        return left

    try:
        harness.wait_for(lambda: not leftovers(), timeout=5, what="everything is gone")
    except AssertionError:
        pytest.fail(f"left behind: {leftovers()}", pytrace=False)


@pytest.fixture
def oci(scratch, busybox_rootfs):
    base = pathlib.Path(tempfile.mkdtemp(prefix="oci-", dir=scratch))
    runtime = oci_harness.Oci(base, busybox_rootfs)
    yield runtime
    if runtime.root.exists():
        for name in os.listdir(runtime.root):
            runtime("delete", "--force", name)
        assert os.listdir(runtime.root) == []
    assert oci_harness.cgroups_of(oci_harness.NAME) == []
    shutil.rmtree(base)


@pytest.fixture
def vm_oci(oci, monkeypatch):
    """The fixture `oci` with a bundle that asks for a microVM, as Podman's users do."""
    monkeypatch.setenv("TRIVET_VM_DIR", str(harness.VM_DIR))
    oci.config["annotations"] = {"run.oci.handler": "krun", "dev.trivet.experimental": "true"}
    return oci


@pytest.fixture
def own_root(oci, busybox_rootfs, tmp_path):
    """The container gets a root of its own that may be changed."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    oci.config["root"] = {"path": str(root)}
    return root


@pytest.fixture(scope="session")
def probe(scratch):
    """probe.c, a statically linked program that tries system calls and says what came of them."""
    program = scratch / "probe"
    source = pathlib.Path(__file__).with_name("probe.c")
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True)
    return program


@pytest.fixture(scope="session")
def programs(scratch):
    """Builds Wasm programs."""
    return wasm_harness.Builder(scratch / "programs")


@pytest.fixture
def wasm(trivet, programs):
    """Runs words of wasm_probe.c: wasm("echo", "a", options=[…]).stdout."""
    def run(*words, options=(), **settings):
        return trivet.box(*words, options=options, image=programs.probe, **settings)
    return run


class Registry:
    """Debian's docker-registry on a loopback port, with a temporary store."""

    def __init__(self, folder: pathlib.Path, extra: str = "", tls: str = ""):
        self.port = harness.free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = folder / "registry.log"
        configuration = folder / "registry.yml"
        configuration.write_text(
            f"version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem:\n"
            f"    rootdirectory: {folder}/store\n  delete: {{enabled: true}}\n"
            f"http:\n  addr: {self.host}\n{tls}{extra}")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", configuration],
                                            stdout=log, stderr=log, cwd=folder)

        def listening() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"docker-registry: {self.log.read_text()}")
            probe = subprocess.run(["curl", "-sk", "-o", "/dev/null", f"http://{self.host}/v2/"],
                                   check=False)
            return probe.returncode == 0
        harness.wait_for(listening, what="docker-registry answers")

    def push_layout(self, layout: pathlib.Path, name: str, tag: str = "busybox") -> str:
        """Copies TAG of an OCI layout to NAME in the registry; returns the reference."""
        reference = f"{self.host}/{name}"
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:{tag}",
                        f"docker://{reference}"], check=True, capture_output=True)
        return reference

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)


@pytest.fixture
def make_registry(scratch):
    """Starts registries: make_registry(extra="auth: …", tls="  tls: …")."""
    started = []

    def make(extra: str = "", tls: str = "") -> Registry:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="reg-", dir=scratch))
        started.append(Registry(folder, extra, tls))
        return started[-1]

    yield make
    for registry in started:
        registry.close()


@pytest.fixture
def registry(make_registry):
    return make_registry()
