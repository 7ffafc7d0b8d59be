"""Every kernel call of create, start, exec, delete and run fails once, and every one is the last one
before a SIGKILL: whatever comes of it, `delete --force` leaves nothing, and the id can be used again.

strace(1) injects the faults. Without -f it sees trivet-oci alone; `run` is followed, so that the
container's init fails as well.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest

import harness
from oci_harness import NAME, cgroups_of

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

FAULTS = {"error": "error=EIO", "kill": "signal=KILL"}
TIMEOUT = 30


def calls_of(log: pathlib.Path) -> dict[str, list[str]]:
    """The calls of each process in a log of strace -f."""
    calls: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        if "resumed>" not in line:
            calls.setdefault(line.split(None, 1)[0], []).append(line)
    return calls


class Faulty:
    """trivet-oci of one test, run under strace."""

    def __init__(self, oci):
        self.oci = oci
        self.log = oci.base / "trace"
        self.out = oci.base / "out"
        self.data: pathlib.Path | None = None  # TRIVET_DATA_DIR, where it matters

    def strace(self, options: list[str], *args) -> int:
        """The exit code; output goes to a file, which a container may hold open for long."""
        command = ["strace", "-qq", "-o", self.log, *options, self.oci.program, "--root",
                   self.oci.root, *args]
        with self.out.open("ab") as out:
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  env=self.env(), timeout=TIMEOUT * harness.SLOW, check=False).returncode

    def env(self) -> dict[str, str] | None:
        return {**os.environ, "TRIVET_DATA_DIR": str(self.data)} if self.data else None

    def count_calls(self, follow: bool, *args) -> int:
        """How many calls a run without a fault makes, in the process that makes most."""
        assert self.strace(["-f"] if follow else [], *args) == 0, self.out.read_text()
        if not follow:
            return len(self.log.read_text().splitlines())
        return max(len(calls) for calls in calls_of(self.log).values())

    def processes(self) -> list[str]:
        """Processes whose standard output is ours: the container's, in whatever state they are."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "fd/1") == str(self.out):
                    found.append(f"{entry.name} {(entry / 'comm').read_text().strip()}")
            except OSError:
                continue
        return found

    def left(self) -> list[str]:
        return [*self.oci.left(), *cgroups_of(NAME), *self.processes()]

    def clean_up(self, where: str) -> None:
        done = self.oci("delete", "--force", NAME, check=False)
        assert done.returncode == 0, f"{where}: delete --force: {done.stderr}"
        harness.wait_for(lambda: not self.left(), timeout=5, what=f"{where}: left: {self.left()}")


@pytest.fixture
def faulty(oci):
    oci.write("sleep", "1000")
    return Faulty(oci)


def inject(faulty: Faulty, fault: str, number: int, follow: bool, *args) -> int:
    options = ["-f"] if follow else []
    return faulty.strace([*options, "-e", f"inject=all:{FAULTS[fault]}:when={number}"], *args)


def map_ids(oci) -> None:
    """A user namespace of its own: the init waits for its maps before it is the stage."""
    entry = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    oci.config["linux"]["namespaces"].append({"type": "user"})
    oci.config["linux"].update({"uidMappings": entry, "gidMappings": entry})
    oci.write("sleep", "1000")


# (module (func (export "_start")))
MODULE = bytes.fromhex("0061736d01000000" "0104016000 00" "03020100" "070a01065f7374617274 0000"
                       "0a040102000b")


def write_module(faulty: Faulty) -> pathlib.Path:
    """A WebAssembly program, with a root and a cache of code of its own."""
    oci = faulty.oci
    root = oci.base / "wasm-root"
    root.mkdir()
    (root / "start.wasm").write_bytes(MODULE)
    oci.config["root"] = {"path": str(root)}
    oci.write("/start.wasm")
    faulty.data = oci.base / "data"
    return root / "start.wasm"


def create_args(oci) -> list[str]:
    return ["create", "--bundle", str(oci.bundle), NAME]


def prepare(oci, verb: str) -> None:
    if verb in ("start", "exec", "delete"):
        oci.create(NAME)
    if verb in ("exec", "delete"):
        oci("start", NAME)
    if verb == "delete":
        oci("kill", NAME, "KILL")
        harness.wait_for(lambda: oci.state(NAME)["status"] == "stopped", what="its end")


def arguments(oci, verb: str) -> list[str]:
    return {"create": create_args(oci), "create-mapped": create_args(oci), "start": ["start", NAME],
            "exec": ["exec", NAME, "true"], "delete": ["delete", NAME],
            "run": ["run", "--bundle", str(oci.bundle), NAME],
            "run-wasm": ["run", "--bundle", str(oci.bundle), NAME]}[verb]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["create", "create-mapped", "start", "exec", "delete", "run",
                                  "run-wasm"])
def test_each_call_may_fail(faulty, verb, fault):
    oci = faulty.oci
    follow = verb == "run"
    if follow:
        oci.write("true")
    if verb == "run-wasm":
        write_module(faulty)  # not followed: what its host does with a fault is its own affair
        faulty.count_calls(follow, *arguments(oci, verb))  # compiles it
    if verb == "create-mapped":
        map_ids(oci)
    prepare(oci, verb)
    total = faulty.count_calls(follow, *arguments(oci, verb))
    faulty.clean_up("without a fault")
    # The first is the execve of trivet-oci itself.
    for number in range(2, total + 1):
        prepare(oci, verb)
        inject(faulty, fault, number, follow, *arguments(oci, verb))
        faulty.clean_up(f"{verb}, {fault} at call {number} of {total}")
    oci.create(NAME, env=faulty.env())


def code_files(faulty: Faulty) -> set[str]:
    """What is in the cache of compiled modules, without the locks."""
    return {entry.name for entry in (faulty.data / "wasm").iterdir()
            if not entry.name.startswith("lock-")}


def test_a_compilation_may_end_at_any_call(faulty):
    """Whatever becomes of the compiler, the cache has whole entries, and the next start works."""
    module = write_module(faulty)
    host = str(harness.BIN_DIR / "trivet-wasm")
    cache = faulty.data / "wasm"
    cache.mkdir(parents=True, mode=0o711)
    compile_command = ["strace", "-f", "-qq", "-o", faulty.log]

    def compile_with(*options: str) -> int:
        with module.open("rb") as source:
            return subprocess.run([*compile_command, *options, host, "compile", cache, "plain"],
                                  stdin=source, capture_output=True, check=False,
                                  timeout=TIMEOUT * harness.SLOW).returncode

    assert compile_with() == 0
    whole = code_files(faulty)
    total = max(len(list(calls)) for calls in calls_of(faulty.log).values())
    for fault in FAULTS:
        for number in range(2, total + 1):
            for name in code_files(faulty):
                (cache / name).unlink()
            compile_with("-e", f"inject=all:{FAULTS[fault]}:when={number}")
            # Killed, it can't take its temporary file away.
            left = {name for name in code_files(faulty) if not name.startswith("part-")}
            assert left <= whole, f"{fault} at call {number} of {total}"
            assert compile_with() == 0, f"after {fault} at call {number} of {total}"
    faulty.oci("run", "--bundle", faulty.oci.bundle, NAME, env=faulty.env())


def test_a_failure_says_what_failed(faulty):
    """A call that matters is named with its operand and the reason."""
    oci = faulty.oci
    for call, words in (("mkdir", "mkdir"), ("clone3", "clone (new namespaces"),
                        ("memfd_create", "memfd_create")):
        faulty.out.write_text("")
        assert faulty.strace(["-e", f"inject={call}:error=ENOSPC"], *create_args(oci)) == 1
        text = faulty.out.read_text()
        assert words in text and "No space left on device" in text, text
        faulty.clean_up(call)


def test_the_harness_sees_what_is_left(faulty):
    """The check itself: a container that runs is found by its processes, cgroups and state."""
    faulty.oci.create(NAME)
    left = faulty.left()
    assert NAME in left and any(re.search(r"^\d+ trivet-init", entry) for entry in left)
    assert any(entry.startswith("/sys/fs/cgroup") for entry in left)
