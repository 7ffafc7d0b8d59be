"""Measures trivet against other programs doing the same; scripts/bench is the way to start it.

A row compares one subject with one baseline. Both run alternately, the order changing from pair to
pair, so that what else the machine does hits both alike; the medians are compared. Wall time is from
the start of the process to its end as its parent sees it, CPU time is the user and system time of
the process and all its descendants that were waited for. Memory is the largest resident set that a
process of the command had.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import harness  # noqa: E402  (found by the line above)
import memory  # noqa: E402
import peers  # noqa: E402
import pod  # noqa: E402
import pool  # noqa: E402
import vm  # noqa: E402
import wasm  # noqa: E402

BIN_DIR = harness.BIN_DIR
WARM_UP = 3
SETTLED_SECONDS = 0.1  # from a start to a program that waits
IN_BOX = "TRIVET_BENCH_IN_BOX"


@dataclasses.dataclass
class Sample:
    wall: float = 0.0  # milliseconds
    cpu: float = 0.0   # milliseconds
    memory: float = 0.0  # KiB


class Workspace:
    """A temporary directory with the bundle, the image and the state of every program measured."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        # Where /run is in memory, as on most hosts; what a program keeps there goes with it.
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="tvb-", dir="/dev/shm"))
        self.number = 0
        self.errors = (folder / "stderr").open("w+b")
        self.nothing = os.open(os.devnull, os.O_RDWR)
        self.floor = self.compile("floor")
        self.peak = self.compile("peak")
        self.rootfs = self.make_rootfs()
        self.cleanups: list[Callable[[], None]] = []

    def compile(self, name: str) -> pathlib.Path:
        program = self.folder / name
        subprocess.run(["gcc", "-O2", "-static", "-o", program, ROOT / f"bench/{name}.c"],
                       check=True)
        return program

    def make_rootfs(self) -> pathlib.Path:
        rootfs = self.folder / "bundle" / "rootfs"
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            (rootfs / name).mkdir(parents=True)
        shutil.move(self.compile("true"), rootfs / "bin/true")
        return rootfs

    def default_seccomp(self) -> dict:
        """Docker's default profile for 14 capabilities, as trivet resolves it into a config.json."""
        data = self.folder / "seccomp-data"
        environment = {**os.environ, "TRIVET_DATA_DIR": str(data),
                       "TRIVET_STATE_DIR": str(self.run / "seccomp-state")}
        subprocess.run([BIN_DIR / "trivet", "create", "--network", "none", "--rootfs", self.rootfs,
                        "/bin/true"], env=environment, stdout=subprocess.DEVNULL, check=True)
        config, = data.glob("containers/*/config.json")
        return json.loads(config.read_text())["linux"]["seccomp"]

    def bundle(self, arguments: list[str], with_cgroups: bool = False,
               with_seccomp: bool = False) -> pathlib.Path:
        """A directory with config.json for a program of the common root file system."""
        name = arguments[-1].strip("/").replace("/", "-")
        folder = self.folder / f"bundle-{name}-{with_cgroups:d}{with_seccomp:d}"
        if not folder.exists():
            folder.mkdir()
            config = make_config(self.rootfs, arguments, with_cgroups)
            if with_seccomp:
                config["linux"]["seccomp"] = self.default_seccomp()
            (folder / "config.json").write_text(json.dumps(config))
        return folder

    def trivet(self, base: pathlib.Path) -> harness.Trivet:
        """trivet with data of its own below a directory, which is made."""
        base.mkdir(exist_ok=True)
        made = harness.Trivet(base)
        made.state = self.run / "trivet"
        made.env["TRIVET_STATE_DIR"] = str(made.state)
        return made

    def next_id(self) -> str:
        self.number += 1
        return f"bench-{os.getpid()}-{self.number}"

    def measure(self, command: list[object], env: dict[str, str] | None = None) -> Sample:
        """Runs a command to its end; one that fails ends the benchmark with its error."""
        words = [str(word) for word in command]
        program = shutil.which(words[0]) or words[0]
        streams = [(os.POSIX_SPAWN_DUP2, self.nothing, 0), (os.POSIX_SPAWN_DUP2, self.nothing, 1),
                   (os.POSIX_SPAWN_DUP2, self.errors.fileno(), 2)]
        start = time.perf_counter()
        pid = os.posix_spawn(program, words, env or os.environ, file_actions=streams)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - start
        if os.waitstatus_to_exitcode(status) != 0:
            self.errors.flush()
            text = (self.folder / "stderr").read_text(errors="replace")
            raise SystemExit(f"bench: {' '.join(words)}: exit code "
                             f"{os.waitstatus_to_exitcode(status)}\n{text[-2000:]}")
        return Sample(wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3)

    def close(self) -> None:
        for cleanup in self.cleanups:
            cleanup()
        shutil.rmtree(self.run, ignore_errors=True)
        self.errors.close()
        os.close(self.nothing)


def make_config(rootfs: pathlib.Path, arguments: list[str], with_cgroups: bool) -> dict:
    """What `runc spec` writes, less the network namespace and the masked paths: five namespaces,
    the usual mounts, no seccomp. The cgroup mount only where it is asked for: on version 1 it is ten
    mounts, which would hide everything else."""
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]
    if with_cgroups:
        mounts.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                       "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]})
    return {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": arguments,
                    "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "noNewPrivileges": True,
                    "capabilities": {name: capabilities
                                     for name in ("bounding", "effective", "permitted")}},
        "root": {"path": str(rootfs), "readonly": False},
        "hostname": "bench",
        "mounts": mounts,
        "linux": {"namespaces": [{"type": name}
                                 for name in ("pid", "mount", "uts", "ipc", "cgroup")]},
    }


# ---------------------------------------------------------------- what is measured

def children() -> set[int]:
    """What runtimes leave behind is ours: see become_subreaper(). A container's init; gVisor has two."""
    return set(map(int, pathlib.Path("/proc/thread-self/children").read_text().split()))


class OciRuntime:
    """An OCI runtime, with a state root of its own."""

    def __init__(self, workspace: Workspace, program: str):
        self.workspace = workspace
        state = workspace.run / f"state-{pathlib.Path(program).name}"
        self.command = [program, "--root", state]
        self.exec_target = ""

    def run(self, **options: bool) -> Sample:
        bundle = self.workspace.bundle(["/bin/true"], **options)
        return self.workspace.measure(
            [*self.command, "run", "--bundle", bundle, self.workspace.next_id()])

    def memory(self, **options: bool) -> Sample:
        report = self.workspace.folder / "peak-report"
        bundle = self.workspace.bundle(["/bin/true"], **options)
        self.workspace.measure([self.workspace.peak, report, *self.command, "run", "--bundle", bundle,
                                self.workspace.next_id()])
        return Sample(memory=float(report.read_text()))

    def _create_and_start(self, arguments: list[str]) -> tuple[str, set[int], Sample]:
        name = self.workspace.next_id()
        others = children()
        # With a file for the pid, as engines ask for it.
        create = self.workspace.measure([*self.command, "create", "--pid-file", self.workspace.folder / "pid",
                                         "--bundle", self.workspace.bundle(arguments), name])
        start = self.workspace.measure([*self.command, "start", name])
        total = Sample(create.wall + start.wall, create.cpu + start.cpu)
        return name, children() - others, total

    def lifecycle(self) -> Sample:
        """create, start and delete; not the time that the program itself takes in between."""
        name, left, total = self._create_and_start(["/bin/true"])
        for pid in left:
            os.waitpid(pid, 0)
        delete = self.workspace.measure([*self.command, "delete", name])
        return Sample(total.wall + delete.wall, total.cpu + delete.cpu)

    def exec(self) -> Sample:
        if not self.exec_target:
            self.exec_target, left, _ = self._create_and_start(["/bin/true", "wait"])
            self.workspace.cleanups.append(lambda: self._end(self.exec_target, left))
        return self.workspace.measure([*self.command, "exec", self.exec_target, "/bin/true"])

    def idle(self) -> Sample:
        """What a container that waits takes: the program, and gVisor's kernel."""
        name, left, _ = self._create_and_start(["/bin/true", "wait"])
        time.sleep(SETTLED_SECONDS)
        sample = Sample(memory=memory.private_of(left))
        self._end(name, left)
        return sample

    def _end(self, name: str, left: set[int]) -> None:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.workspace.measure([*self.command, "delete", name])


class Floor:
    def __init__(self, workspace: Workspace):
        self.workspace = workspace

    def run(self, with_cgroups: bool = False) -> Sample:
        flags = ["--cgroups"] if with_cgroups else []
        return self.workspace.measure(
            [self.workspace.floor, *flags, self.workspace.rootfs, "/bin/true"])


def image_layout(workspace: Workspace) -> pathlib.Path:
    layout = workspace.folder / "image"
    if not layout.exists():
        harness.write_oci_layout(layout, harness.busybox_layers(), harness.BUSYBOX_CONFIG, "bench")
    return layout


class TrivetImages:
    """`trivet run` of an image in a store of its own."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.trivet = workspace.trivet(workspace.folder / "trivet")
        self.trivet.run("image", "import", image_layout(workspace), "bench")

    def run(self, *options: str) -> Sample:
        return self.workspace.measure(
            [self.trivet.program, "run", "--rm", *options, "bench", "/bin/true"], self.trivet.env)


class Podman:
    """`podman run` of the same image, in a store of its own."""

    def __init__(self, workspace: Workspace, runtime: str):
        self.workspace = workspace
        folder = workspace.folder / f"podman-{runtime}"
        folder.mkdir()
        settings = folder / "containers.conf"
        # Podman raises limits to values that a process without CAP_SYS_RESOURCE can't have.
        settings.write_text('[containers]\ndefault_ulimits = ["nofile=20000:20000", '
                            '"nproc=32768:32768"]\n')
        self.env = {**os.environ, "CONTAINERS_CONF": str(settings)}
        self.command = ["podman", "--root", folder / "root",
                        "--runroot", workspace.run / folder.name,
                        "--tmpdir", workspace.run / f"{folder.name}-tmp", "--storage-driver", "overlay",
                        "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                        "--runtime", runtime]
        layout = image_layout(workspace)
        # By a relative path: podman makes a name of it, which a temporary directory's may not be part of.
        copy = [*self.command, "pull", "-q", f"oci:{layout.name}:bench"]
        done = subprocess.run([*map(str, copy)], env=self.env, cwd=layout.parent, check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: podman pull: {done.stderr}")
        self.image = done.stdout.split()[-1]

    def run(self) -> Sample:
        return self.workspace.measure([*self.command, "run", "--rm", "--network", "none", self.image,
                                       "/bin/true"], self.env)


@dataclasses.dataclass
class Row:
    name: str
    subject: str
    baseline: str
    text: str
    # Makes the two functions that are measured alternately.
    make: Callable[[Workspace], tuple[Callable[[], Sample], Callable[[], Sample]]]
    boxed: bool = True  # in bench/cgbox, which crun needs on hybrid hosts
    metrics: tuple[str, ...] = ("wall", "cpu")  # or "memory" alone, or "wall" alone
    peer: str = ""  # one of peers.PROGRAMS, without which there is no row


def oci(workspace: Workspace) -> OciRuntime:
    return OciRuntime(workspace, os.environ.get("TRIVET_BENCH_SUBJECT", str(BIN_DIR / "trivet-oci")))


def against(peer: str, method: str, **options) -> Callable:
    def make(workspace: Workspace):
        subject, baseline = oci(workspace), OciRuntime(workspace, peers.find(peer))
        return (lambda: getattr(subject, method)(**options),
                lambda: getattr(baseline, method)(**options))
    return make


def against_each(row: str, text: str, method: str, **options) -> list[Row]:
    return [Row(f"{row}/{peer}", "trivet-oci", peer, text, against(peer, method), peer=peer, **options)
            for peer in peers.PROGRAMS]


def against_floor(**options) -> Callable:
    def make(workspace: Workspace):
        subject, floor = oci(workspace), Floor(workspace)
        return lambda: subject.run(**options), lambda: floor.run(**options)
    return make


def against_podman(runtime: str, *options: str) -> Callable:
    def make(workspace: Workspace):
        subject, podman = TrivetImages(workspace), Podman(workspace, runtime)
        return lambda: subject.run(*options), podman.run
    return make


def oci_wasm(make_pair: Callable) -> Callable:
    program = os.environ.get("TRIVET_BENCH_SUBJECT", str(BIN_DIR / "trivet-oci"))
    return lambda workspace: make_pair(workspace, program, make_config)


def trivet_wasm(workspace: Workspace):
    return wasm.hello_image(workspace, workspace.trivet(workspace.folder / "trivet"))


def microvm(make_pair: Callable) -> Callable:
    return lambda workspace: make_pair(workspace, Sample)


def pods_against_podman(which: int) -> Callable:
    return lambda workspace: pod.against_podman(workspace, image_layout(workspace),
                                                Podman(workspace, "crun"), which)


def pooled(make_pair: Callable, *, image: bool = True) -> Callable:
    return lambda workspace: make_pair(workspace, Sample,
                                       *([image_layout(workspace)] if image else []))


RUN = "run a static true: five namespaces, the usual mounts, no seccomp"
POOL = "a container that waited, to its program's first line; made from nothing"
ROWS = [
    *against_each("oci-run", RUN, "run"),
    Row("oci-run/floor", "trivet-oci", "floor", RUN, against_floor()),
    Row("oci-run-hybrid/floor", "trivet-oci", "floor", RUN + ", outside the box",
        against_floor(), boxed=False),
    Row("oci-run-cgroups/crun", "trivet-oci", "crun", RUN + ", and the cgroup mount",
        against("crun", "run", with_cgroups=True)),
    Row("oci-run-cgroups/floor", "trivet-oci", "floor", RUN + ", and the cgroup mount",
        against_floor(with_cgroups=True)),
    Row("oci-run-seccomp/crun", "trivet-oci", "crun", RUN.replace("no seccomp", "Docker's seccomp profile"),
        against("crun", "run", with_seccomp=True)),
    *against_each("oci-memory", "the most memory that a process of such a run has", "memory",
                  metrics=("memory",)),
    *against_each("oci-idle", "private memory of what stays while a container waits", "idle",
                  metrics=("memory",)),
    *against_each("oci-lifecycle", "create, start and delete the same", "lifecycle"),
    *against_each("oci-exec", "exec true in a running container", "exec"),
    Row("run/podman", "trivet", "podman with crun",
        "run --rm of a local image in the foreground, both with --network none",
        against_podman("crun", "--network", "none")),
    Row("run/podman-runc", "trivet", "podman with runc",
        "run --rm of a local image in the foreground, both with --network none",
        against_podman("runc", "--network", "none")),
    Row("run-network/podman", "trivet", "podman with crun",
        "trivet with its default network (pasta), podman still with --network none",
        against_podman("crun")),
    Row("pod-run/podman", "trivet", "podman kube play",
        "a pod of ten containers until all run, local image; podman's without a network",
        pods_against_podman(0)),
    Row("pod-run/one", "trivet", "trivet run -d", "the same; one container with the same network",
        lambda workspace: pod.against_one(workspace, image_layout(workspace))),
    Row("pod-rm/podman", "trivet", "podman pod rm", "kill and remove that pod", pods_against_podman(1)),
    Row("wasm-oci-run/wasmtime", "trivet-oci", "wasmtime",
        "a module that says hello, compiled before, in a container; wasmtime without one",
        oci_wasm(wasm.hello), boxed=False),
    Row("wasm-run/wasmtime", "trivet", "wasmtime", "the same by trivet run --network none",
        trivet_wasm, boxed=False),
    Row("wasm-compute/wasmtime", "trivet-oci", "wasmtime", "a module that computes for a while",
        oci_wasm(wasm.compute), boxed=False),
    Row("wasm-large/compile", "trivet-oci", "wasmtime",
        "a module of 10 MB from the cache; wasmtime compiles it at every start, as crun does",
        oci_wasm(wasm.large), boxed=False),
    Row("vm-template/cold", "trivet", "--no-template",
        "a microVM from trivet run to its program's first line, restored from a template; booted",
        microvm(vm.template), boxed=False, metrics=("wall",)),
    Row("vm-cold/qemu", "trivet", "bare QEMU",
        "the same without a template; QEMU with the same kernel, whose init says a line",
        microvm(vm.cold), boxed=False, metrics=("wall",)),
    Row("vm-cold/qemu-plain", "trivet", "plain QEMU",
        "the same; QEMU's microvm machine as its documentation starts it, whose init says a line",
        microvm(vm.cold_plain), boxed=False, metrics=("wall",)),
    Row("vm-memory/cold", "trivet", "--no-template",
        "private memory of five microVMs, restored from a template; booted",
        microvm(vm.memory), boxed=False, metrics=("memory",)),
    Row("vm-exec/native", "trivet", "native", "exec true in a running microVM; in a native container",
        microvm(vm.exec_program), boxed=False),
    Row("vm-read/virtiofs", "trivet", "--rootfs DIR",
        "reading 100 MB in a microVM from its image (erofs); from a shared directory (virtiofs)",
        microvm(vm.read), boxed=False, metrics=("wall",)),
    Row("pool-native/run", "trivet pool run", "trivet run", POOL, pooled(pool.native), boxed=False,
        metrics=("wall",)),
    Row("pool-network/run", "trivet pool run", "trivet run", POOL + ", with its default network",
        pooled(pool.network), boxed=False, metrics=("wall",)),
    Row("pool-wasm/run", "trivet pool run", "trivet run", POOL + ", a module compiled before",
        pooled(pool.module, image=False), boxed=False, metrics=("wall",)),
    Row("pool-vm/run", "trivet pool run", "trivet run", POOL + ", a microVM of a template",
        pooled(pool.microvm), boxed=False, metrics=("wall",)),
]


# ---------------------------------------------------------------- measuring and telling

def become_subreaper() -> None:
    """The init of a created container is orphaned by design: make it our child, to be waited for."""
    kPrSetChildSubreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(kPrSetChildSubreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def measure_row(row: Row, pairs: int) -> list[dict]:
    with tempfile.TemporaryDirectory(prefix="tvb-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(pathlib.Path(folder))
        try:
            subject, baseline = row.make(workspace)
            for _ in range(WARM_UP):
                subject(), baseline()
            samples: tuple[list[Sample], list[Sample]] = ([], [])
            for number in range(pairs):
                order = ((0, subject), (1, baseline))
                for side, function in order if number % 2 == 0 else reversed(order):
                    samples[side].append(function())
        finally:
            workspace.close()
    return [result_of(row, metric, samples, pairs) for metric in row.metrics]


def result_of(row: Row, metric: str, samples: tuple[list[Sample], list[Sample]],
              pairs: int) -> dict:
    subject, baseline = (statistics.median(getattr(sample, metric) for sample in side)
                         for side in samples)
    return {"name": row.name, "subject": row.subject, "baseline": row.baseline, "metric": metric,
            "ratio": round(subject / baseline, 4) if baseline else None,
            "subject_median": round(subject, 3), "baseline_median": round(baseline, 3),
            "unit": "KiB" if metric == "memory" else "ms", "pairs": pairs}


def print_head() -> None:
    print(f"{'name':24} {'subject':12} {'ms':>8} {'cpu ms':>8}   {'baseline':18} {'ms':>8} "
          f"{'cpu ms':>8}   {'ratio':>6} {'cpu':>6}   pairs", flush=True)


def print_row(results: list[dict]) -> None:
    if len(results) == 1:
        only, = results
        print(f"{only['name']:24} {only['subject']:12} {only['subject_median']:8.0f} {only['unit']:>8}   "
              f"{only['baseline']:18} {only['baseline_median']:8.0f} {only['unit']:>8}   "
              f"{only['ratio'] or 0:6.3f} {'':6}   {only['pairs']}", flush=True)
        return
    wall, cpu = results
    print(f"{wall['name']:24} {wall['subject']:12} {wall['subject_median']:8.2f} "
          f"{cpu['subject_median']:8.2f}   {wall['baseline']:18} {wall['baseline_median']:8.2f} "
          f"{cpu['baseline_median']:8.2f}   {wall['ratio'] or 0:6.3f} {cpu['ratio'] or 0:6.3f}   "
          f"{wall['pairs']}", flush=True)


def measure_boxed(row: Row, pairs: int) -> list[dict]:
    """The same in bench/cgbox, by another process of this program."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run([ROOT / "bench/cgbox", sys.executable, __file__, "--only", row.name, "--pairs",
                        str(pairs), "--json", report.name],
                       env={**os.environ, IN_BOX: "1"}, check=True)
        return json.loads(pathlib.Path(report.name).read_text())


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures trivet against other runtimes and a floor.",
        epilog="TRIVET_BENCH_SUBJECT names another program to be measured in place of trivet-oci.")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--only", metavar="NAME", nargs="+", action="extend", default=[],
                        help="only these rows; NAME may be the part before the slash")
    parser.add_argument("--pairs", type=int, default=40, metavar="N",
                        help="measurements of each side (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    if options.list:
        for row in ROWS:
            print(f"{row.name:24} {row.text}")
        return 0
    known = {row.name for row in ROWS} | {row.name.split("/")[0] for row in ROWS}
    if unknown := [name for name in options.only if name not in known]:
        print(f"bench: no row is named {unknown[0]}; see --list", file=sys.stderr)
        return 2
    rows = [row for row in ROWS if not options.only or row.name in options.only or
            row.name.split("/")[0] in options.only]
    boxed_here = os.environ.get(IN_BOX) == "1"
    results: list[dict] = []
    if boxed_here:
        become_subreaper()
    else:
        print_head()
    for row in rows:
        if row.peer and not peers.find(row.peer):
            print(f"{row.name:24} {row.peer} is not installed: scripts/setup-peers builds it", flush=True)
            continue
        if boxed_here or not row.boxed:
            measured = measure_row(row, options.pairs)
        else:
            measured = measure_boxed(row, options.pairs)
        results += measured
        if not boxed_here:
            print_row(measured)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"bench: {failed}")
