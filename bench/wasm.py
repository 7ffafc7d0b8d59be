"""The rows of WebAssembly: against the wasmtime CLI, with the same version of the same engine."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable

# A file that has just been written is not recognised by its identity, but read and hashed at each start.
SETTLED_SECONDS = 2.5
SETUP = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "setup-wasmtime-cli"

HELLO = r"""
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
"""

# A sieve and a sum: a few hundred milliseconds of loads, stores, branches and arithmetic.
COMPUTE = r"""
#include <stdint.h>
#include <stdio.h>
static uint8_t sieve[1 << 22];
int main(void) {
  uint64_t sum = 0;
  for (int round = 0; round < 12; ++round) {
    for (uint32_t i = 0; i < sizeof sieve; ++i) sieve[i] = 0;
    for (uint32_t i = 2; i < sizeof sieve; ++i) {
      if (sieve[i]) continue;
      sum += i ^ (sum << 1);
      for (uint64_t j = (uint64_t)i * i; j < sizeof sieve; j += i) sieve[j] = 1;
    }
  }
  printf("%llu\n", (unsigned long long)sum);
  return 0;
}
"""


def large_module_text(functions: int = 24_000) -> str:
    """Some 10 MB of functions that are compiled and never called."""
    lines = ['(module (memory (export "memory") 1) (func (export "_start"))']
    body = "".join(
        f"(local.set 1 (i32.add (i32.mul (local.get 0) (i32.const {1_000_003 * n % 2**31}))"
        f" (i32.load (i32.and (local.get 1) (i32.const 65532)))))" for n in range(1, 24))
    lines += [f"(func (param i32) (result i32) (local i32) {body}"
              f" (i32.xor (local.get 1) (i32.const {n})))" for n in range(functions)]
    return "\n".join([*lines, ")"])


class Modules:
    """The modules, their code as wasmtime compiles it, and how each program is told to run them."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.folder = workspace.folder / "wasm"
        self.folder.mkdir()
        home = subprocess.run([SETUP, "--print-directory"], check=True, capture_output=True,
                              text=True).stdout.strip()
        built = pathlib.Path(home) / "bin" / "wasmtime"
        if not built.exists():
            subprocess.run([SETUP], check=True)
        # A copy, as of trivet's programs: see scripts/bench.
        self.wasmtime = self.folder / "wasmtime"
        shutil.copy2(built, self.wasmtime)

    def from_c(self, name: str, source: str) -> pathlib.Path:
        (self.folder / f"{name}.c").write_text(source)
        module = self.folder / f"{name}.wasm"
        subprocess.run(["clang-19", "--target=wasm32-wasi", "-O2", "-o", module,
                        self.folder / f"{name}.c"], check=True)
        return module

    def large(self) -> pathlib.Path:
        (self.folder / "large.wat").write_text(large_module_text())
        module = self.folder / "large.wasm"
        subprocess.run(["wat2wasm", "-o", module, self.folder / "large.wat"], check=True)
        return module

    def precompiled(self, module: pathlib.Path) -> pathlib.Path:
        code = module.with_suffix(".cwasm")
        subprocess.run([self.wasmtime, "compile", "-o", code, module], check=True)
        return code

    def wasmtime_run(self, module: pathlib.Path) -> Callable:
        # Without the cache that it has of its own, as other runtimes embed it.
        flags = ["--allow-precompiled"] if module.suffix == ".cwasm" else ["-C", "cache=n"]
        return lambda: self.workspace.measure([self.wasmtime, "run", *flags, module])

    def oci_run(self, program: str, module: pathlib.Path, make_config: Callable) -> Callable:
        """In the rootfs of a bundle of its own, like an image of one module."""
        bundle = self.folder / f"bundle-{module.stem}"
        (bundle / "rootfs").mkdir(parents=True)
        (bundle / "rootfs" / module.name).write_bytes(module.read_bytes())
        config = make_config(bundle / "rootfs", [f"/{module.name}"], False)
        (bundle / "config.json").write_text(json.dumps(config))
        time.sleep(SETTLED_SECONDS)
        env = {**os.environ, "TRIVET_DATA_DIR": str(self.folder / "data")}
        state = self.workspace.run / "state"
        return lambda: self.workspace.measure(
            [program, "--root", state, "run", "--bundle", bundle, self.workspace.next_id()], env)


def hello(workspace, program: str, make_config: Callable):
    modules = Modules(workspace)
    module = modules.from_c("hello", HELLO)
    return (modules.oci_run(program, module, make_config),
            modules.wasmtime_run(modules.precompiled(module)))


def hello_image(workspace, trivet):
    modules = Modules(workspace)
    module = modules.from_c("hello", HELLO)

    def run():
        return workspace.measure([trivet.program, "run", "--rm", "--network", "none", module], trivet.env)

    run()  # makes an image of the module
    time.sleep(SETTLED_SECONDS)
    return run, modules.wasmtime_run(modules.precompiled(module))


def compute(workspace, program: str, make_config: Callable):
    modules = Modules(workspace)
    module = modules.from_c("compute", COMPUTE)
    return (modules.oci_run(program, module, make_config),
            modules.wasmtime_run(modules.precompiled(module)))


def large(workspace, program: str, make_config: Callable):
    modules = Modules(workspace)
    module = modules.large()
    return modules.oci_run(program, module, make_config), modules.wasmtime_run(module)
