"""The library as a program sees it that embeds trivet: one contract, whatever is behind it."""

import re
import subprocess
import textwrap

import pytest

import harness
import library_harness

pytestmark = [pytest.mark.usefixtures("nothing_left")]


def test_the_null_backend_keeps_the_contract(trivet):
    library_harness.check_contract(trivet, "null")


@pytest.mark.root
@pytest.mark.cgroup
def test_native_containers_keep_the_contract(trivet, tmp_path):
    library_harness.add_image(trivet, tmp_path / "image", library_harness.shell_layers())
    library_harness.check_contract(trivet, "native")


@pytest.mark.root
@pytest.mark.cgroup
@pytest.mark.wasm
def test_wasm_containers_keep_the_contract(trivet, tmp_path, programs):
    layers = library_harness.wasm_layers(programs.probe.read_bytes())
    library_harness.add_image(trivet, tmp_path / "image", layers)
    library_harness.check_contract(trivet, "wasm")


# ---------------------------------------------------------------- docs/library.md and examples/

def test_the_tutorial_shows_the_examples():
    """Each piece of C++ in it is in a source that is compiled, as it is."""
    tutorial = (harness.ROOT / "docs/library.md").read_text()
    sources = [path.read_text() for path in (harness.ROOT / "examples").glob("judge*")]
    pieces = re.findall(r"```cpp\n(.*?)```", tutorial, re.DOTALL)
    assert len(pieces) >= 6
    for piece in pieces:
        assert any(piece in source for source in sources), f"in no example:\n{textwrap.indent(piece, '  ')}"


def test_the_example_is_tested_without_containers(trivet):
    done = subprocess.run([harness.BIN_DIR / "example-judge-test"], capture_output=True, text=True,
                          check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr


def judge(trivet, *arguments, stdin="", env=None):
    return subprocess.run([harness.BIN_DIR / "example-judge-main", *map(str, arguments)], input=stdin,
                          capture_output=True, text=True, check=False,
                          env={**trivet.env, **(env or {})}, timeout=60 * harness.SLOW)


@pytest.mark.root
@pytest.mark.cgroup
def test_the_example_judges(trivet, tmp_path):
    script = tmp_path / "add.sh"
    script.write_text("read a b; echo $((a + b)); exit 3\n")
    done = judge(trivet, "native", "busybox", script, stdin="3 4\n")
    assert (done.returncode, done.stdout) == (3, "7\n"), done.stderr
    assert trivet.containers() == []
    failed = judge(trivet, "native", "no-such-registry.invalid/x", script)
    assert failed.returncode == 1 and "judge: " in failed.stderr
    assert trivet.containers() == []


@pytest.mark.root
@pytest.mark.cgroup
def test_a_program_that_names_no_runtime_has_the_configured_one(trivet, tmp_path):
    config, script = tmp_path / "config.yml", tmp_path / "add.sh"
    script.write_text("read a b; echo $((a + b))\n")

    def answer(runtime="", **variables):
        env = {"TRIVET_CONFIG": str(config), **variables}
        done = judge(trivet, runtime, "busybox", script, stdin="3 4\n", env=env)
        assert trivet.containers() == []
        return done.stdout + done.stderr

    config.write_text("runtime: mikrovm\n")
    assert f'judge: {config}:1:1: runtime: unknown runtime "mikrovm"' in answer()
    config.write_text("runtime: microvm\n")
    assert "experimental" in answer()
    config.write_text("runtime: wasm\n")
    assert "it is no WebAssembly module" in answer()
    # A name and the variable are stronger than the file.
    assert answer("native") == "7\n"
    assert answer(TRIVET_RUNTIME="crun") == "7\n"


def test_an_unknown_runtime_is_explained(trivet):
    failed = judge(trivet, "runc", "busybox", "/dev/null")
    assert failed.returncode == 1
    assert failed.stderr.startswith('judge: unknown runtime "runc"\nknown runtimes are native (or crun)')
