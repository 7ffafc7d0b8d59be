"""Runs trivet's test suites and sums them up; scripts/test is the way to start it.

Each suite prints what fails, and one line in the end. The last line of all is
`N passed, N failed, N skipped`. The exit code is 0 only when nothing failed.

The integration tests mostly wait, the rest mostly computes: the two run side by side in stages, the
rest with a lower priority.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
CPUS = len(os.sched_getaffinity(0))
FUZZ_SECONDS = 10
# Integration tests at the same time; they wait for containers, not for the processor.
TEST_WORKERS = 4
# Engines at the same time; they are busy themselves.
CALLER_WORKERS = 2
SOURCE_SUFFIXES = (".cc", ".h", ".c")
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def add(self, other: "Counts") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def run(command: list[str], timeout: float, **options) -> subprocess.CompletedProcess:
    """Runs a command with its output captured; a timeout is an exit code of 124."""
    process = subprocess.Popen(command, cwd=ROOT, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        output, _ = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(command, process.returncode, output)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the children of a build
        output, _ = process.communicate()
        return subprocess.CompletedProcess(command, 124, f"{output}\ntimed out after {timeout} s\n")


def low(command: list[str]) -> list[str]:
    """The same command with a low priority: what computes leaves the processor to what is tested."""
    return ["nice", "-n", "15", *command]


PRINTING = threading.Lock()


def show(title: str, output: str, lines: int = 200) -> None:
    text = "\n".join(output.rstrip().splitlines()[-lines:])
    with PRINTING:
        print(f"--- {title}\n{text}", flush=True)


def one_check(title: str, result: subprocess.CompletedProcess) -> Counts:
    if result.returncode == 0:
        return Counts(passed=1)
    show(title, result.stdout)
    return Counts(failed=1)


# ---------------------------------------------------------------- builds

def build(preset: str, *arguments: str) -> Counts:
    """The build itself is a test: no error, and the layering holds."""
    command = ["scripts/build", "--preset", preset, *arguments]
    # Without a compiler's cache, on a slow machine and beside other suites, 25 minutes did not do.
    counts = one_check(" ".join(command), run(low(command), timeout=2700))
    if preset == "release" and not counts.failed:
        # The built programs install the guest's kernel. Without it the tests of microVMs say so.
        run(["scripts/setup-vm"], timeout=300)
    return counts


# ---------------------------------------------------------------- style

def sources(*folders: str) -> list[str]:
    listed = run(["git", "ls-files", "--", *folders], timeout=60).stdout.split("\n")
    return [name for name in listed if name.endswith(SOURCE_SUFFIXES) and (ROOT / name).exists()]


def check_format() -> Counts:
    files = sources("src", "include", "tests", "bench")
    return one_check("clang-format", run(low(["clang-format-19", "--dry-run", "-Werror", *files]), 300))


def changed_since(base: str) -> set[str]:
    named = run(["git", "diff", "--name-only", base, "--"], timeout=60).stdout.split("\n")
    untracked = run(["git", "ls-files", "--others", "--exclude-standard"], timeout=60).stdout
    return {name for name in [*named, *untracked.split("\n")] if name}


def tidy_base() -> str:
    """What clang-tidy compares with: $TRIVET_TIDY_BASE, else where this branch left origin/main,
    else, on main itself, what the last commits changed: those of the 12 hours before the newest."""
    if base := os.environ.get("TRIVET_TIDY_BASE"):
        return base
    head = run(["git", "rev-parse", "HEAD"], 60).stdout.strip()
    merged = run(["git", "merge-base", "HEAD", "origin/main"], 60)
    if merged.returncode == 0 and merged.stdout.strip() != head:
        return merged.stdout.strip()
    newest = int(run(["git", "log", "-1", "--format=%ct"], 60).stdout)
    older = run(["git", "rev-list", "-1", f"--before={newest - 12 * 3600}", "HEAD"], 60).stdout
    if older.strip():
        return older.strip()
    empty_tree = run(["git", "hash-object", "-t", "tree", "/dev/null"], 60).stdout
    return empty_tree.strip()


def files_to_tidy() -> list[str]:
    """The compiled files that changed, or whose own header did."""
    database = json.loads((ROOT / "build/compile_commands.json").read_text())
    compiled = {os.path.relpath(entry["file"], ROOT) for entry in database}
    if ".clang-tidy" in (changed := changed_since(tidy_base())):
        changed |= compiled
    return sorted(name for name in compiled if name.startswith(("src/", "tests/", "bench/")) and
                  (name in changed or name.rsplit(".", 1)[0] + ".h" in changed))


def check_tidy(budget: float) -> Counts:
    """clang-tidy, newest files first, within a time budget: what does not fit is skipped, and said."""
    stop = time.monotonic() + budget
    files = sorted(files_to_tidy(), key=lambda name: -(ROOT / name).stat().st_mtime)

    def check(name: str) -> Counts:
        if time.monotonic() > stop:
            return Counts(skipped=1)
        command = ["clang-tidy-19", "-p", "build", "--quiet", "--extra-arg=-Wno-unknown-warning-option",
                   name]
        return one_check(f"clang-tidy {name}", run(low(command), timeout=300))

    total = Counts()
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        for counts in pool.map(check, files):
            total.add(counts)
    if total.skipped:
        total.note = f"{total.skipped} files did not fit into {budget:.0f} s"
    return total


# ---------------------------------------------------------------- tests

def run_gtest(program: pathlib.Path) -> Counts:
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        result = run([str(program), f"--gtest_output=json:{report.name}", "--gtest_brief=1"], 300,
                     env={**os.environ, **SANITIZER_ENVIRONMENT})
        try:
            summary = json.loads(pathlib.Path(report.name).read_text())
        except ValueError:
            show(program.name, result.stdout)
            return Counts(failed=1)
    cases = [case for suite in summary["testsuites"] for case in suite["testsuite"]]
    skipped = sum(case["result"] == "SKIPPED" for case in cases)
    failed = sum("failures" in case for case in cases)
    if result.returncode != 0:
        failed = max(failed, 1)  # a sanitizer's report after the last test
        show(program.name, result.stdout)
    return Counts(max(len(cases) - skipped - failed, 0), failed, skipped)


def unit_tests(preset: str) -> Counts:
    folder = ROOT / ("build" if preset == "release" else f"build-{preset}") / "bin"
    total = Counts()
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        for counts in pool.map(run_gtest, sorted(folder.glob("test_*"))):
            total.add(counts)
    return total


NO_TEST_SELECTED = 5  # pytest's exit code


def pytest_suite(title: str, preset: str, arguments: list[str], **variables: str) -> Counts:
    folder = ROOT / ("build" if preset == "release" else f"build-{preset}") / "bin"
    environment = {**os.environ, "TRIVET_BIN_DIR": str(folder), "TRIVET_TEST_PATIENCE": "4",
                   **variables}
    if preset != "release":
        environment.update(SANITIZER_ENVIRONMENT)
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-m", "pytest", "-q", "--color=no", "--tb=short",
                   "-p", "no:cacheprovider", f"--junitxml={report.name}", *arguments]
        result = run(command, timeout=1800, env=environment)
        if result.returncode not in (0, NO_TEST_SELECTED):
            show(f"{title}, {preset}", result.stdout, lines=1000)
        if reports := os.environ.get("TRIVET_TEST_REPORTS"):  # for tests/payload_table.py
            shutil.copy(report.name, pathlib.Path(reports) / f"{title}, {preset}.xml")
        try:
            suites = list(xml.etree.ElementTree.parse(report.name).getroot().iter("testsuite"))
        except xml.etree.ElementTree.ParseError:
            return Counts(failed=1)
    count = {key: sum(int(suite.get(key, 0)) for suite in suites)
             for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    if result.returncode not in (0, NO_TEST_SELECTED):
        failed = max(failed, 1)
    return Counts(max(count["tests"] - failed - count["skipped"], 0), failed, count["skipped"])


# What the guest with cgroup v2 runs: all that a cgroup has a part in. It is slow.
GUEST_TESTS = ("test_oci_lifecycle.py", "test_oci_fields.py", "test_run_limits.py",
               "test_run_crash.py")


# On cgroup v1 too, where systemd has a part of the controllers and its own names for limits.
SYSTEMD_V1_TESTS = ("(life or survive or update or devices or slices or fails or subgroup or memory) "
                    "and not user")


def guest_tests() -> Counts:
    """The native and cgroup tests in a virtual machine with cgroup v2 and a kernel of its own."""
    return in_guest([], "-n", str(CPUS), *(f"tests/integration/{name}" for name in GUEST_TESTS))


def systemd_tests() -> Counts:
    """The systemd cgroup driver, for root, ordinary users and podman, where systemd is PID 1."""
    total = Counts()
    # Side by side: such a guest keeps one processor busy.
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        for guest in [pool.submit(in_guest, ["--systemd"], "tests/guest"),
                      pool.submit(in_guest, ["--systemd", "--cgroups", "v1"],
                                  "tests/guest/test_systemd.py", "-k", SYSTEMD_V1_TESTS)]:
            total.add(guest.result())
    return total


def in_guest(options: list[str], *arguments: str) -> Counts:
    """pytest with these arguments in a virtual machine with these options of guest.py."""
    environment = {**os.environ, "TRIVET_BIN_DIR": str(ROOT / "build/bin"),
                   "TRIVET_TEST_PATIENCE": "20"}
    command = [sys.executable, "tests/guest/guest.py", *options, "--timeout", "900", "--",
               sys.executable, "-m", "pytest", "-q", "--color=no", "--tb=short", "-p",
               "no:cacheprovider", *arguments]
    result = run(command, timeout=1000, env=environment)
    # The guest's files are gone with it; its console has pytest's last line, perhaps with one of
    # systemd's behind it.
    summaries = re.findall(r"^.*\d (?:passed|failed|errors?|skipped|deselected).* in [\d.]+s.*$",
                           result.stdout, re.MULTILINE)
    counts = {word: int(number) for number, word in
              re.findall(r"(\d+) (passed|failed|errors?|skipped)", summaries[-1] if summaries else "")}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    if result.returncode != 0 or not summaries:
        failed = max(failed, 1)
        show("tests in the guest", result.stdout, lines=1000)
    return Counts(counts.get("passed", 0), failed, counts.get("skipped", 0))


# Those that need no particular isolation, with a virtual machine around each container.
MICROVM_TESTS = ("test_run_errors.py", "test_run_exec.py", "test_run_files.py", "test_run_isolation.py",
                 "test_run_lifecycle.py", "test_run_limits.py", "test_run_logs.py",
                 "test_run_network.py", "test_run_program.py", "test_run_terminal.py")


def microvm_tests(arguments: list[str]) -> Counts:
    """The integration tests of `trivet run`, each container in a microVM."""
    return pytest_suite("integration tests in microVMs", "release",
                        ["-n", str(CPUS), *(f"tests/integration/{name}" for name in MICROVM_TESTS),
                         *arguments], TRIVET_TEST_ISOLATION="microvm", TRIVET_TEST_PATIENCE="8")


def machine_tests(arguments: list[str]) -> Counts:
    """What only a microVM has: sizes, templates, its own failures."""
    return pytest_suite("tests of microVMs", "release",
                        ["-n", str(CPUS), *map(str, sorted(ROOT.glob("tests/integration/test_vm_*.py"))),
                         *arguments], TRIVET_TEST_PATIENCE="8")


def vmm_tests(arguments: list[str]) -> Counts:
    """The supervisor alone, in a shell that the tests make."""
    return pytest_suite("tests of trivet-vmm", "release", ["-n", str(CPUS), "tests/vmm", *arguments],
                        TRIVET_TEST_PATIENCE="8")


def vminit_tests(arguments: list[str]) -> Counts:
    """The guest's init and agent alone, driven by the tests. Each machine keeps a processor busy."""
    return pytest_suite("tests of the guest's init", "release",
                        ["-n", str(CPUS), "tests/vminit", *arguments])


def integration_tests(preset: str, arguments: list[str]) -> Counts:
    # A guest has no libraries, so its init can't be a sanitized one.
    selected = [] if preset == "release" else ["-m", "not microvm"]
    return pytest_suite("integration tests", preset,
                        ["-n", str(TEST_WORKERS), "--ignore-glob=*test_vm_*", *selected,
                         "tests/integration", *arguments])


def python_tests(arguments: list[str]) -> Counts:
    """The Python package, its manual and its example."""
    return pytest_suite("Python package", "release", ["-n", str(TEST_WORKERS), "tests/python", *arguments])


def conformance_tests(arguments: list[str]) -> Counts:
    """Never beside another run of pytest: both compare the host's cgroups."""
    return pytest_suite("conformance", "release",
                        ["-n", str(TEST_WORKERS), "tests/conformance", *arguments])


def fault_tests(arguments: list[str]) -> Counts:
    """Every kernel call of trivet-oci fails in turn."""
    return pytest_suite("faults", "release", ["-n", str(TEST_WORKERS), "tests/faults", *arguments])


def package_tests(arguments: list[str]) -> Counts:
    """What is installed: the library in a project of somebody else, and Debian's packages."""
    return pytest_suite("packages", "release",
                        ["-n", str(CPUS), "--dist", "loadfile", "tests/packages", *arguments])


def caller_tests(arguments: list[str]) -> Counts:
    """Real engines drive trivet-oci. A worker has a whole file, and its engine to itself."""
    return pytest_suite("callers", "release",
                        ["-n", str(CALLER_WORKERS), "--dist", "loadfile", "tests/callers", *arguments])


def fuzz(seconds: int) -> Counts:
    """Each fuzzer of the sanitized build from its seeds, for a while: it finds nothing."""
    total = Counts()
    fuzzers = sorted((ROOT / "build-asan/bin").glob("fuzz_*"))
    assert fuzzers

    def fuzz_one(program: pathlib.Path) -> Counts:
        with tempfile.TemporaryDirectory(prefix="trivet-fuzz-") as scratch:
            seeds = ROOT / "tests/fuzz/corpus" / program.name
            # The first directory receives what is found; the seeds are only read.
            command = [str(program), f"-max_total_time={seconds}", "-timeout=10",
                       "-rss_limit_mb=2048", f"-artifact_prefix={scratch}/", scratch]
            if seeds.is_dir():
                command.append(str(seeds))
            return one_check(program.name, run(low(command), timeout=seconds * 2 + 60))

    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        for counts in pool.map(fuzz_one, fuzzers):
            total.add(counts)
    return total


# ---------------------------------------------------------------- all together

@dataclasses.dataclass
class Suite:
    title: str
    function: Callable[[], Counts]
    # Without it, nothing that follows makes sense.
    essential: bool = False


# A track's suites run one after the other; the tracks of a stage run side by side.
Track = list[Suite]
Stage = list[Track]


def plan(options: argparse.Namespace) -> list[Stage]:
    build_release = Suite("build", lambda: build("release"), essential=True)
    build_asan = Suite("build with sanitizers", lambda: build("asan"), essential=True)
    style = Suite("format", check_format)
    tidy = Suite("clang-tidy", lambda: check_tidy(options.tidy_seconds))
    unit = Suite("unit tests, sanitizers", lambda: unit_tests("asan"))
    integration = Suite("integration tests", lambda: integration_tests("release", options.pytest))
    python = Suite("Python package", lambda: python_tests(options.pytest))
    callers = Suite("callers", lambda: caller_tests(options.pytest))
    conformance = Suite("conformance", lambda: conformance_tests(options.pytest))
    integration_asan = Suite("integration tests, sanitizers",
                             lambda: integration_tests("asan", options.pytest))
    fuzzers = Suite("fuzzers", lambda: fuzz(options.fuzz_seconds))
    microvms = Suite("integration tests in microVMs", lambda: microvm_tests(options.pytest))
    faults = Suite("faults", lambda: fault_tests(options.pytest))
    vmm = Suite("tests of trivet-vmm", lambda: vmm_tests(options.pytest))
    machines = Suite("tests of microVMs", lambda: machine_tests(options.pytest))
    vminit = Suite("tests of the guest's init", lambda: vminit_tests(options.pytest))
    packages = Suite("packages", lambda: package_tests(options.pytest))
    guest = Suite("tests in a guest with cgroup v2", guest_tests)
    systemd = Suite("tests in guests with systemd", systemd_tests)
    if options.unit:
        return [[[build_asan, unit]]]
    if options.integration:
        return [[[build_release, integration, python]]]
    if options.faults:
        return [[[build_release, faults]]]
    if options.guest:
        return [[[build_release, guest, systemd]]]
    if options.microvm:
        return [[[build_release, vminit, vmm, machines, microvms]]]
    if options.packages:
        return [[[build_release, packages]]]
    if options.callers:
        return [[[build_release, callers]]]
    if options.conformance:
        return [[[build_release, conformance]]]
    if options.asan:
        return [[[build_asan]], [[unit], [integration_asan]]]
    if options.fuzz:
        return [[[build_asan, fuzzers]]]
    if options.quick:
        return [[[build_release]], [[integration, python, conformance, callers], [style, build_asan, unit]]]
    return [[[build_release]], [[integration, python, conformance, callers], [style, build_asan, unit]],
            [[integration_asan], [fuzzers, tidy]], [[faults]], [[vminit, vmm, machines, microvms]],
            [[guest, systemd], [packages]]]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Installs what is needed, builds, and runs all tests: the release build, "
        "clang-format and clang-tidy (on what changed), the integration and conformance tests, "
        "podman, docker and containerd driving trivet-oci, then unit and integration tests with "
        "AddressSanitizer and UndefinedBehaviorSanitizer, a few seconds of every fuzzer, the faults, "
        "the cgroup tests in virtual machines with cgroup v2 and with systemd, and what is "
        "installed: the library in a project of its own and Debian packages.")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--unit", action="store_true", help="only the unit tests (with sanitizers)")
    some.add_argument("--integration", action="store_true",
                      help="only the integration tests, of the release build")
    some.add_argument("--faults", action="store_true",
                      help="only the tests that fail every kernel call in turn")
    some.add_argument("--guest", action="store_true",
                      help="only the tests in virtual machines with cgroup v2 and with systemd")
    some.add_argument("--microvm", action="store_true",
                      help="only the integration tests of trivet run with a microVM each")
    some.add_argument("--packages", action="store_true",
                      help="only what is installed: the library, its reference, Debian packages")
    some.add_argument("--callers", action="store_true",
                      help="only podman, buildah, docker and containerd driving trivet-oci")
    some.add_argument("--conformance", action="store_true",
                      help="only the conformance tests: the validation suite of runtime-tools, and "
                      "tests of the runtime specification")
    some.add_argument("--asan", action="store_true", help="only what runs with sanitizers")
    some.add_argument("--quick", action="store_true",
                      help="without clang-tidy, fuzzers and integration tests with sanitizers")
    some.add_argument("--fuzz", action="store_true", help="only the fuzzers")
    parser.add_argument("--tidy-seconds", type=float, metavar="N",
                        help="how long clang-tidy may take (default: 240; with --nightly 7200)")
    parser.add_argument("--fuzz-seconds", type=int, metavar="N",
                        help=f"how long each fuzzer runs (default: {FUZZ_SECONDS}; with --nightly 300)")
    parser.add_argument("--nightly", action="store_true",
                        help="take the time: five minutes a fuzzer, and clang-tidy to its end")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENT",
                        help="for pytest, such as -- -k exec")
    options = parser.parse_args()
    if options.tidy_seconds is None:
        options.tidy_seconds = 7200 if options.nightly else 240
    if options.fuzz_seconds is None:
        options.fuzz_seconds = 300 if options.nightly else FUZZ_SECONDS
    return options


@dataclasses.dataclass
class Row:
    suite: Suite
    counts: Counts
    seconds: float


def run_track(track: Track) -> list[Row]:
    rows = []
    for suite in track:
        start = time.monotonic()
        counts = suite.function()
        rows.append(Row(suite, counts, time.monotonic() - start))
        note = f" ({counts.note})" if counts.note else ""
        with PRINTING:
            print(f"=== {suite.title}: {counts}{note}, {rows[-1].seconds:.0f} s", flush=True)
        if suite.essential and counts.failed:
            break
    return rows


def run_stages(stages: list[Stage]) -> list[Row]:
    rows: list[Row] = []
    for stage in stages:
        with concurrent.futures.ThreadPoolExecutor(len(stage)) as pool:
            for done in pool.map(run_track, stage):
                rows += done
        if any(row.suite.essential and row.counts.failed for row in rows):
            break
    return rows


def main() -> int:
    options = parse_options()
    # A background job of a shell has it ignored, and so would all that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Where whoever calls keeps containers is of no concern to the tests.
    for name in ("TRIVET_DATA_DIR", "TRIVET_STATE_DIR"):
        os.environ.pop(name, None)
    if shutil.which("git") is None:
        print("scripts/test: git is needed", file=sys.stderr)
        return 2
    start = time.monotonic()
    rows = run_stages(plan(options))
    total = Counts()
    print()
    for row in rows:
        note = f"  ({row.counts.note})" if row.counts.note else ""
        print(f"{row.suite.title:32} {row.seconds:6.0f} s   {row.counts}{note}")
        total.add(row.counts)
    print(f"{'all':32} {time.monotonic() - start:6.0f} s")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
