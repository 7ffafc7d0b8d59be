"""Writes docs/payloads.md: which verb does what it should under which isolation, as the tests found it.

usage: tests/payload_table.py NATIVE.xml MICROVM.xml > docs/payloads.md

The files are junit reports of tests/integration: of all of it, and of what `scripts/test --microvm`
runs (TRIVET_TEST_ISOLATION=microvm). Wasm has tests of its own, which are in the first. A row counts
the tests that passed; those that can't hold under an isolation are listed below with their reasons,
and the suites fail when one of them passes.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import xml.etree.ElementTree

# A verb or subject, and what the names of its tests have (file::test), for native and microVM, and
# for Wasm.
ROWS = (
    ("run, exit codes", r"test_run_program::", r"test_wasm_program::"),
    ("exec", r"test_run_exec::", r"test_wasm_life::test_exec"),
    ("terminals, resize, detach", r"test_run_terminal::", r"test_wasm.*terminal"),
    ("attach", r"test_run_lifecycle::test_attach", r"test_wasm_life::test_attach"),
    ("logs", r"test_run_logs::", r"test_wasm_life::test_logs"),
    ("stop, kill, signals", r"test_run_lifecycle::test_(stop|kill|a_stop)",
     r"test_wasm_limits::test_(stop|a_signal|interrupt)"),
    ("pause, unpause", r"test_run_lifecycle::.*pause", r"test_wasm_life::.*pause"),
    ("wait, restart, restart policies", r"test_run_lifecycle::.*(wait|restart|on_failure|always)",
     r"test_wasm_life::.*(wait|restart)"),
    ("stats, top, inspect, ps", r"test_run_(lifecycle|limits)::.*(stats|top|inspect|ps_)",
     r"test_wasm_life::.*(stats|top|inspect)"),
    ("memory, CPU, process limits", r"test_run_limits::", r"test_wasm_limits::"),
    ("volumes, cp, tmpfs, read-only", r"test_run_files::", r"test_wasm_files::"),
    ("networks, published ports, DNS", r"test_run_network::", r"test_wasm_life::.*(port|network|hosts)"),
    ("isolation, users, capabilities", r"test_run_isolation::",
     r"test_wasm_life::.*(privileges|namespaces|open_in_it|writable)"),
    ("errors", r"test_run_errors::", r"test_wasm_(images|program)::.*(error|refused|not)"),
)


@dataclasses.dataclass
class Case:
    name: str
    outcome: str  # "passed", "failed", "skipped", "expected"
    reason: str


def read_cases(path: str) -> list[Case]:
    cases = []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            cases.append(Case(name, "failed", ""))
        elif skipped is not None and skipped.get("type") == "pytest.xfail":
            cases.append(Case(name, "expected", skipped.get("message", "")))
        elif skipped is not None:
            cases.append(Case(name, "skipped", skipped.get("message", "")))
        else:
            cases.append(Case(name, "passed", ""))
    return cases


def cell(cases: list[Case], pattern: str) -> str:
    chosen = [case for case in cases if re.search(pattern, case.name)]
    counts = {outcome: sum(case.outcome == outcome for case in chosen)
              for outcome in ("passed", "failed", "expected", "skipped")}
    if not chosen or not counts["passed"]:
        return "—"
    text = f"yes ({counts['passed']})"
    if counts["expected"]:
        text += f", {counts['expected']} can't hold"
    if counts["failed"]:
        text += f", **{counts['failed']} failed**"
    return text


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    native, microvm = read_cases(sys.argv[1]), read_cases(sys.argv[2])
    print("# The same verbs under every isolation\n")
    print("Made by `tests/payload_table.py` from the reports of the integration tests; the numbers are "
          "tests that\npassed. The tests of native containers run unchanged with a microVM around each "
          "container\n(`scripts/test --microvm`); WebAssembly has its own.\n")
    print("| | native | microVM | Wasm |\n|---|---|---|---|")
    for title, pattern, wasm in ROWS:
        print(f"| {title} | {cell(native, pattern)} | {cell(microvm, pattern)} | {cell(native, wasm)} |")
    expected = [case for case in microvm if case.outcome == "expected"]
    if expected:
        print("\n## What can't hold in a microVM\n\n| test | why |\n|---|---|")
        for case in sorted(expected, key=lambda case: case.name):
            print(f"| `{case.name}` | {case.reason} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
