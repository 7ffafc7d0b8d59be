"""Errors for programs and for people: each has a code that is documented, and a hint where somebody
can act."""

import json
import re

import pytest

from harness import ROOT

DOCUMENT = ROOT / "docs/errors.md"


def documented() -> list[str]:
    return re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)


def test_every_code_is_documented_in_the_order_of_the_header():
    header = (ROOT / "include/trivet/result.h").read_text()
    body = header[header.index("enum class ErrorCode"):].split("};")[0]
    names = re.findall(r"^  k(\w+),", body, re.MULTILINE)
    kebab = [re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower() for name in names]
    assert documented() == kebab


# What people type wrong: words, the code, a part of the hint ("" where there is nothing to add).
MISTAKES = [
    (["frobnicate"], "invalid-argument", "--help"),
    (["rnu"], "invalid-argument", "run"),
    (["ps", "--al"], "invalid-argument", "--all"),
    (["image"] + ["ll"], "invalid-argument", "--help"),
    (["run"], "invalid-argument", "name an image"),
    (["run", "--memory", "lots", "x"], "invalid-argument", "64m"),
    (["run", "--cpus", "many", "x"], "invalid-argument", "1.5"),
    (["run", "--pull", "sometimes", "x"], "invalid-argument", "missing, always or never"),
    (["run", "--restart", "often", "x"], "invalid-argument", "on-failure"),
    (["run", "--mount", "type=nfs,target=/x", "x"], "invalid-argument", "type=bind"),
    (["run", "--memory-swap", "64m", "x"], "invalid-argument", "memory and swap together"),
    (["run", "--isolation", "microvn", "x"], "invalid-argument", "microvm"),
    (["run", "--rootfs", "/", "true"], "invalid-argument", "root file system of its own"),
    (["run", "--timeout", "soon", "x"], "invalid-argument", "1m30s"),
    (["run", "--stop-signal", "NOPE", "x"], "invalid-argument", ""),
    (["run", "--pull", "never", "nobody/has-this"], "not-found", ""),
    (["run", "UPPER/Case"], "invalid-argument", ""),
    (["start", "absent"], "not-found", "trivet ps"),
    (["stop", "absent"], "not-found", "trivet ps"),
    (["kill", "absent"], "not-found", "trivet ps"),
    (["rm", "absent"], "not-found", "trivet ps"),
    (["logs", "absent"], "not-found", "trivet ps"),
    (["exec", "absent", "true"], "not-found", "trivet ps"),
    (["inspect", "absent"], "not-found", ""),
    (["top", "absent"], "not-found", "trivet ps"),
    (["port", "absent"], "not-found", "trivet ps"),
    (["wait", "absent"], "not-found", "trivet ps"),
    (["pause", "absent"], "not-found", "trivet ps"),
    (["rename", "absent", "x"], "not-found", "trivet ps"),
    (["cp", "absent:/x", "."], "not-found", "trivet ps"),
    (["rmi", "absent"], "not-found", "trivet images"),
    (["tag", "absent", "x"], "not-found", "trivet images"),
    (["image", "inspect", "absent"], "not-found", "trivet images"),
    (["image", "import", "/absent"], "not-found", ""),
    (["volume", "rm", "absent"], "not-found", ""),
    (["pod", "run", "/absent.yaml"], "not-found", ""),
    (["pod", "stop", "absent"], "not-found", "trivet pod ps"),
    (["pod", "rm", "absent"], "not-found", "trivet pod ps"),
    (["logs", "--since", "someday", "x"], "invalid-argument", "10m"),
    (["ps", "--filter", "colour=red"], "invalid-argument", "filters are"),
    (["--error-format", "xml", "ps"], "invalid-argument", ""),
]


@pytest.mark.root
@pytest.mark.parametrize("words, code, hint", MISTAKES, ids=lambda value: " ".join(value) if
                         isinstance(value, list) else None)
def test_common_mistakes(empty_trivet, words, code, hint):
    result = empty_trivet.run(*words, check=False, env={"TRIVET_ERROR_FORMAT": "json"})
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("{")]
    assert lines or words[0] == "--error-format", result.stderr
    if not lines:
        return
    error = json.loads(lines[0])
    assert error["code"] == code and error["code"] in documented(), error
    assert error["message"] and "notes" in error
    assert hint in error["hint"] and (hint == "" or error["hint"]), error
