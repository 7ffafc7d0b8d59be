"""The library's contract (tests/contract): images with its probe, and the program that checks it."""

from __future__ import annotations

import os
import pathlib
import subprocess

import harness

# What tests/contract/contract.h says of /probe.
PROBE = r"""#!/bin/sh
while [ $# -gt 0 ]; do
  word=$1
  shift
  case $word in
    ,) ;;
    echo) printf '%s\n' "$1"; shift ;;
    err) printf '%s\n' "$1" >&2; shift ;;
    env) env ;;
    upper) tr a-z A-Z ;;
    bytes) head -c "$1" /dev/zero; shift ;;
    read) cat "$1"; echo; shift ;;
    sleep) trap 'kill $!; exit 143' TERM; sleep $(($1 / 1000)) & wait $!; shift ;;
    exit) exit "$1" ;;
    *) echo "$word: what?"; exit 2 ;;
  esac
done
"""
CONFIG = {"Entrypoint": ["/probe"], "Labels": {"purpose": "contract"}}
IMAGE = "docker.io/library/probe:latest"


def shell_layers() -> list[bytes]:
    probe = harness.LayerTar().file("probe", PROBE, 0o755)
    return [harness.busybox_layers()[0], probe.bytes()]


def wasm_layers(module: bytes) -> list[bytes]:
    folders = harness.LayerTar().dir("tmp", 0o1777)
    return [folders.bytes(), harness.LayerTar().file("probe", module, 0o755).bytes()]


def add_image(trivet: harness.Trivet, folder: pathlib.Path, layers: list[bytes]) -> None:
    harness.write_oci_layout(folder, layers, {**CONFIG, "Env": ["PATH=/usr/bin:/bin"]}, "probe")
    trivet.run("image", "import", folder, "probe")


def check_contract(trivet: harness.Trivet, runtime: str, timeout: float = 120) -> None:
    run_contract(trivet.env, runtime, timeout)


def run_contract(env: dict[str, str], runtime: str, timeout: float) -> None:
    program = harness.BIN_DIR / "trivet-contract"
    assert program.exists(), "trivet-contract was not built: is GoogleTest installed?"
    done = subprocess.run([program, "--gtest_brief=1"], capture_output=True, text=True, check=False,
                          timeout=timeout * harness.SLOW,
                          env={**env, "TRIVET_CONTRACT_RUNTIME": runtime, "TRIVET_CONTRACT_IMAGE": IMAGE,
                               "TRIVET_TEST_PATIENCE": os.environ.get("TRIVET_TEST_PATIENCE", "1")})
    assert done.returncode == 0, done.stdout + done.stderr
