"""Programs that people use, built for WASI by others' compilers: C++, Go and Rust.

Their compiled code stays in a cache of its own from run to run: compiling them takes many seconds.
"""

import json
import os
import shutil

import pytest

import wasm_harness

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.real_wasm, pytest.mark.usefixtures("nothing_left")]


@pytest.fixture
def real(trivet, tmp_path):
    """real("gojq", words…, options=[…]): a program in an otherwise empty root."""
    code = wasm_harness.real_programs() / f"code-{os.geteuid()}"
    code.mkdir(mode=0o711, exist_ok=True)
    code.chmod(0o711)
    (trivet.data / "wasm").symlink_to(code)
    root = tmp_path / "real"
    (root / "etc").mkdir(parents=True)

    def run(name, *words, options=(), **settings):
        shutil.copy(wasm_harness.real_programs() / f"{name}.wasm", root / f"{name}.wasm")
        return trivet.run("run", "--rm", "-i", "--network", "none", *options, "--rootfs", root,
                          f"/{name}.wasm", *words, timeout=120, **settings)
    return run


PROBLEM = """(set-logic QF_BV)
(declare-fun x () (_ BitVec 16))
(assert (= (bvmul x #x0003) #x001b))
(assert (bvult x #x0100))
(check-sat)
"""


def test_a_solver_in_cpp(real, tmp_path):
    solved = real("boolector", "-m", stdin=PROBLEM, check=False)
    assert solved.stdout.startswith("sat\n") and "#b0000000000001001" in solved.stdout
    assert solved.returncode == 10, "the solvers' code for satisfiable"
    (tmp_path / "p.smt2").write_text(PROBLEM.replace("#x0100", "#x0008"))
    unsolved = real("boolector", "/v/p.smt2", options=["-v", f"{tmp_path}:/v:ro"], check=False)
    assert (unsolved.returncode, unsolved.stdout) == (20, "unsat\n")
    failed = real("boolector", "/absent", check=False)
    assert failed.returncode == 1 and "/absent" in failed.stderr + failed.stdout


def test_jq_in_go(real):
    document = json.dumps({"rows": [{"n": i, "name": f"row {i}"} for i in range(2000)]})
    done = real("gojq", "-c", "[.rows[] | select(.n % 500 == 0) | .name]", options=["--fuel", "off"], stdin=document)
    assert done.stdout == '["row 0","row 500","row 1000","row 1500"]\n'
    failed = real("gojq", ".[", options=["--fuel", "off"], stdin="{}", check=False)
    assert failed.returncode == 3 and "invalid query" in failed.stderr
    assert real("gojq", "-n", "env.A", options=["--fuel", "off", "-e", "A=b"], stdin="").stdout == '"b"\n'


def test_ripgrep_in_rust(real, tmp_path):
    tree = tmp_path / "tree"
    for number in range(20):
        (tree / f"d{number}").mkdir(parents=True)
        (tree / f"d{number}/file.txt").write_text("hay\n" * 500 + (f"needle {number}\n" if number % 7 == 0 else ""))
    (tree / ".ignore").write_text("d14\n")
    options = ["--fuel", "off", "-v", f"{tree}:/tree:ro"]
    found = real("ripgrep", "--no-heading", "-n", "needle", "/tree", options=options, stdin="")
    assert sorted(found.lines) == ["/tree/d0/file.txt:501:needle 0", "/tree/d7/file.txt:501:needle 7"]
    assert real("ripgrep", "absent", "/tree", options=options, stdin="", check=False).returncode == 1


def test_the_three_run_out_of_fuel_politely(real):
    done = real("boolector", "-m", options=["--fuel", "10000"], stdin=PROBLEM, check=False)
    assert done.returncode == 152 and "out of fuel" in done.stderr
