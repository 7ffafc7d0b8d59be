"""Runs one program of opencontainers/runtime-tools' validation suite and judges what it printed.

The programs speak TAP, version 13. They can say nothing at all, stop in the middle, or print a
verdict and exit with an error; none of that is a pass here.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TIMEOUT = 100  # seconds; programs that wait for what never comes give up after 30 themselves
POINT = re.compile(r"^(?P<not>not )?ok\b(?: \d+)?(?: -)? ?(?P<text>[^#]*?)\s*"
                   r"(?:# *(?P<directive>SKIP|TODO)\b.*)?$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)")
ERROR = re.compile(r'^ *"error": "(.+)"', re.MULTILINE)
# No program of the suite itself, but executed inside of the containers.
INSIDE = "runtimetest"


@functools.cache
def suite_directory() -> pathlib.Path:
    """Where scripts/setup-conformance puts the programs."""
    found = subprocess.run([ROOT / "scripts/setup-conformance", "--print-directory"],
                           stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(found.stdout.strip())


def programs() -> list[str]:
    if not suite_directory().is_dir():
        return []
    return sorted(entry.name for entry in suite_directory().iterdir()
                  if entry.name != INSIDE and os.access(entry, os.X_OK))


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The runtime under test: trivet-oci, or a peer to compare with."""
    program: str

    @staticmethod
    def chosen() -> "Runtime":
        built = pathlib.Path(os.environ.get("TRIVET_BIN_DIR", ROOT / "build/bin"))
        return Runtime(os.environ.get("RUNTIME") or str(built / "trivet-oci"))

    @property
    def name(self) -> str:
        return pathlib.Path(self.program).name

    @property
    def is_peer(self) -> bool:
        return self.name != "trivet-oci"

    def wrapper(self, folder: pathlib.Path) -> pathlib.Path:
        """A command that keeps the runtime's state in `folder`: the programs give no options.

        Debian's crun refuses documents of a version newer than itself, which it reads well.
        """
        path = folder / self.name
        lower = ""
        if self.name == "crun":
            lower = ('[ "$1" != create ] || for word; do [ ! -f "$word/config.json" ] || '
                     "sed -i 's/\"ociVersion\": *\"1\\.3\\.0\"/\"ociVersion\":\"1.0.2\"/' "
                     '"$word/config.json"; done\n')
        program = shutil.which(self.program) or self.program
        path.write_text(f'#!/bin/sh\n{lower}exec {program} --root {folder}/state "$@"\n')
        path.chmod(0o755)
        return path


@dataclasses.dataclass
class Verdict:
    """What a program found: its points by their texts, and what is wrong with the report itself."""
    passed: list[str]
    failed: list[str]
    skipped: list[str]
    defects: list[str]
    output: str
    complaint: str = ""  # some programs print no point, but a diagnostic when they don't like it

    @property
    def ok(self) -> bool:
        return bool(self.passed) and not self.failed and not self.defects

    def __str__(self) -> str:
        counts = f"{len(self.passed)} ok, {len(self.failed)} not ok, {len(self.skipped)} skipped"
        return "; ".join([counts, *self.defects])


def judge(output: str, returncode: int) -> Verdict:
    verdict = Verdict([], [], [], [], output)
    planned: int | None = None
    for line in output.splitlines():
        if plan := PLAN.match(line):
            planned = (planned or 0) + int(plan[1])  # one program prints two reports
        elif point := POINT.match(line):
            text = point["text"].strip()
            if (point["directive"] or "").upper() == "SKIP":
                verdict.skipped.append(text)
            else:
                (verdict.failed if point["not"] else verdict.passed).append(text)
    seen = len(verdict.passed) + len(verdict.failed) + len(verdict.skipped)
    if returncode != 0:
        verdict.defects.append(f"exit code {returncode}")
    if planned is not None and planned != seen:
        verdict.defects.append(f"{planned} points announced, {seen} printed")
    if not verdict.passed and not verdict.failed:
        verdict.defects.append("no assertion")
        if complaint := ERROR.search(output):
            verdict.complaint = complaint[1]
    return verdict


def run(name: str, runtime: Runtime, scratch: pathlib.Path) -> Verdict:
    """Runs a program in a cgroup tree, a mount namespace and directories of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rt-", dir=scratch))
    bundles = folder / "tmp"
    bundles.mkdir()
    environment = {**os.environ, "RUNTIME": str(runtime.wrapper(folder)), "TMPDIR": str(bundles)}
    command = [ROOT / "bench/cgbox", "timeout", "--kill-after=5", str(TIMEOUT),
               suite_directory() / name]
    with (folder / "output").open("w+", errors="replace") as output:
        # A file and no pipe: what a program leaves running must not keep us waiting.
        status = subprocess.run(command, cwd=suite_directory(), env=environment,
                                stdin=subprocess.DEVNULL, stdout=output,
                                stderr=subprocess.STDOUT, check=False).returncode
        output.seek(0)
        verdict = judge(output.read(), status)
    shutil.rmtree(folder)
    return verdict
