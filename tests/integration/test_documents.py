"""The tutorials say what is typed and what is answered, and this types it.

A block ```console has commands behind "# " and what they print. "…" stands for anything in a line; a line of "…"
alone for any number of lines. A block behind <!-- file: NAME --> is that file.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

TUTORIALS = harness.ROOT / "docs" / "tutorials"
SESSION = [pytest.param("pods-at-the-edge.md", marks=pytest.mark.network),
           pytest.param("sandboxes.md", marks=[pytest.mark.wasm, pytest.mark.microvm])]
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
SECONDS = 60


@dataclasses.dataclass
class Step:
    command: str
    expected: list[str]


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("# "):
            steps.append(Step(line[2:], []))
        else:
            steps[-1].expected.append(line)
    return steps


def pattern_of(expected: list[str]) -> str:
    lines = [r"(?:.*\n)*" if line == "…" else
             ".*".join(map(re.escape, line.split("…"))) + "\n" for line in expected]
    return "".join(lines)


def answer(command: str, trivet: harness.Trivet, folder: pathlib.Path) -> str:
    done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=trivet.env, cwd=folder, check=False,
                          timeout=SECONDS * harness.SLOW)
    text = done.stdout.decode(errors="replace")
    return harness.without_emulation_warning(text)


@pytest.mark.parametrize("name", SESSION)
def test_a_tutorial_is_true(trivet, tmp_path, name):
    trivet.env["PATH"] = f"{harness.BIN_DIR}:{trivet.env['PATH']}"
    ran = 0
    for block in BLOCK.finditer((TUTORIALS / name).read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
        if block["kind"] != "console":
            continue
        for step in steps_of(block["text"]):
            said = answer(step.command, trivet, tmp_path)
            assert re.fullmatch(pattern_of(step.expected), said), \
                f"{name}: {step.command}\nshould print\n" + "\n".join(step.expected) + f"\nand prints\n{said}"
            ran += 1
    assert ran > 5


def test_every_page_that_is_linked_is_there():
    pages = [harness.ROOT / "README.md", harness.ROOT / "CONTRIBUTING.md",
             *sorted((harness.ROOT / "docs").rglob("*.md"))]
    missing = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(harness.ROOT)}: {target}")
    assert not missing
