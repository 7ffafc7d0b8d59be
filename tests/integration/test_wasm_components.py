"""Components of WASI preview 2: by hand in text, and what rustc makes."""

import pytest

from wasm_harness import Layout, module_layer

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]


def command(result: int, imports: str = "", version: str = "0.2.0") -> str:
    """The text of a component whose wasi:cli/run gives ok (0) or an error (1)."""
    return f"""(component {imports}
      (core module $m (func (export "run") (result i32) (i32.const {result})))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (component $shim
        (import "import-run" (func $f (result (result))))
        (export "run" (func $f)))
      (instance $cli (instantiate $shim (with "import-run" (func $run))))
      (export "wasi:cli/run@{version}" (instance $cli)))"""


SERVER = """(component
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func $handle (canon lift (core func $i "handle")))
  (component $shim (import "import-handle" (func $f)) (export "handle" (func $f)))
  (instance $http (instantiate $shim (with "import-handle" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.0" (instance $http)))"""

# wasi:cli/stdout gives a stream, whose blocking-write-and-flush writes a list of bytes.
HELLO = """(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error-type (type $io-error))
    (export "error" (type $e (eq $io-error)))
    (type $failure (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $o))
    (export "output-stream" (type $s (eq $o)))
    (export "get-stdout" (func (result (own $s))))))
  (core module $libc (memory (export "memory") 1) (data (i32.const 64) "hello, component\\n"))
  (core instance $l (instantiate $libc))
  (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $write))
  (core func $core-write (canon lower (func $write) (memory (core memory $l "memory"))))
  (core func $core-stdout (canon lower (func $stdout "get-stdout")))
  (core module $m
    (import "wasi" "stdout" (func $stdout (result i32)))
    (import "wasi" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "run") (result i32)
      (call $write (call $stdout) (i32.const 64) (i32.const 17) (i32.const 0)) (i32.const 0)))
  (core instance $i (instantiate $m (with "wasi" (instance
    (export "stdout" (func $core-stdout)) (export "write" (func $core-write))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $shim (import "import-run" (func $f (result (result)))) (export "run" (func $f)))
  (instance $cli (instantiate $shim (with "import-run" (func $run))))
  (export "wasi:cli/run@0.2.0" (instance $cli)))"""


@pytest.fixture
def run_text(trivet, tmp_path):
    def run(text, *words, options=(), **settings):
        (tmp_path / "x.wat").write_text(text)
        return trivet.box(*words, image=tmp_path / "x.wat", options=options, check=False, **settings)
    return run


def test_a_component_says_hello(run_text):
    done = run_text(HELLO)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello, component\n", "")


def test_the_result_of_run_is_the_exit_code(run_text):
    assert run_text(command(0)).returncode == 0
    assert run_text(command(1)).returncode == 1


@pytest.mark.parametrize("version", ["0.2.1", "0.2.3", "0.2.6"])
def test_later_versions_of_preview_2_are_the_same(run_text, version):
    assert run_text(command(1, version=version)).returncode == 1


def test_a_trap_of_a_component(run_text):
    done = run_text(command(0).replace("(i32.const 0)", "unreachable", 1))
    assert done.returncode == 134 and "unreachable" in done.stderr


def test_an_import_that_nobody_has(run_text):
    done = run_text(command(0, '(import "example:host/magic@1.0.0" (instance (export "go" (func))))'))
    assert done.returncode == 126 and "example:host/magic" in done.stderr


def test_an_http_server_is_refused_in_clear_words(run_text):
    done = run_text(SERVER)
    assert done.returncode == 126 and "HTTP server" in done.stderr


def test_a_component_that_is_no_program(run_text):
    done = run_text("(component)")
    assert done.returncode == 126 and "wasi:cli/run" in done.stderr


def test_an_invalid_component(run_text):
    done = run_text("(component (core module (func (result i32))))")
    assert done.returncode == 126 and "type mismatch" in done.stderr


def test_fuel_holds_for_components(run_text):
    loop = command(0).replace("(i32.const 0)", "(loop $again (br $again)) (unreachable)", 1)
    done = run_text(loop, options=["--fuel", "1000000"])
    assert done.returncode == 152 and "out of fuel" in done.stderr


def test_an_export_of_a_component_has_no_name_to_call_it_by(run_text):
    done = run_text(command(0), options=["--annotation", "dev.trivet.wasm.invoke=run"])
    assert done.returncode == 126 and "component" in done.stderr


# ---------------------------------------------------------------- rustc's

RUST = """
use std::io::{Read, Write};
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |i: usize| words.get(i).map(String::as_str).unwrap_or("");
    match word(0) {
        "args" => for w in &words[1..] { println!("<{w}>") },
        "env" => println!("{:?}", std::env::var(word(1)).ok()),
        "upper" => { let mut t = String::new(); std::io::stdin().read_to_string(&mut t).unwrap();
                     print!("{}", t.to_uppercase()) }
        "exit" => std::process::exit(word(1).parse().unwrap()),
        "write" => println!("{:?}", std::fs::write(word(1), word(2)).map_err(|e| e.kind())),
        "read" => println!("{:?}", std::fs::read_to_string(word(1)).map_err(|e| e.kind())),
        "ls" => { let mut names: Vec<_> = std::fs::read_dir(word(1)).unwrap()
                      .map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
                  names.sort(); println!("{}", names.join(" ")) }
        "err" => { std::io::stderr().write_all(b"wrong\\n").unwrap() }
        "panic" => panic!("on purpose"),
        "fill" => { let mut all = Vec::new(); loop { all.push(vec![1u8; 1 << 20]); } }
        "spin" => loop { std::hint::black_box(0); },
        "sleep" => std::thread::sleep(std::time::Duration::from_millis(word(1).parse().unwrap())),
        "stack" => { fn f(n: u64) -> u64 { std::hint::black_box(if n == u64::MAX { 0 } else { f(n + 1) + n }) }
                     println!("{}", f(0)) }
        _ => std::process::exit(2),
    }
}
"""


@pytest.fixture
def rust(trivet, programs):
    def run(*words, options=(), **settings):
        return trivet.box(*words, image=programs.rust(RUST), options=options, **settings)
    return run


@pytest.mark.wasip2
def test_what_a_component_is_given(rust):
    assert rust("args", "a b", "", "ü").stdout == "<a b>\n<>\n<ü>\n"
    assert rust("env", "A", options=["-e", "A=b"]).stdout == 'Some("b")\n'
    assert rust("upper", options=["-i"], stdin="typed").stdout == "TYPED"
    assert rust("err").stderr == "wrong\n"


@pytest.mark.wasip2
def test_files_of_a_component(rust, tmp_path):
    (tmp_path / "a").write_text("from the host")
    writable, readonly = ["-v", f"{tmp_path}:/v"], ["-v", f"{tmp_path}:/v:ro"]
    assert rust("read", "/v/a", options=readonly).stdout == 'Ok("from the host")\n'
    assert rust("write", "/v/b", "x", options=readonly).stdout.startswith("Err(")
    assert rust("write", "/v/b", "x", options=writable).stdout == "Ok(())\n"
    assert (tmp_path / "b").read_text() == "x"
    assert rust("ls", "/v", options=writable).stdout == "a b\n"
    assert rust("read", "/../../../../etc/passwd").stdout.startswith("Err(")
    assert rust("read", "/proc/self/status").stdout == "Err(NotFound)\n"


@pytest.mark.wasip2
def test_how_a_component_ends(rust):
    assert rust("exit", 0).returncode == 0
    # Preview 2 has only success and failure.
    assert rust("exit", 77, check=False).returncode == 1
    panicked = rust("panic", check=False)
    assert panicked.returncode == 134 and "on purpose" in panicked.stderr
    assert rust("stack", check=False).returncode == 134
    assert rust("spin", options=["--fuel", "3000000"], check=False).returncode == 152
    assert rust("sleep", 1000000, options=["--annotation", "dev.trivet.wasm.timeout=300ms"],
                check=False).returncode == 124


@pytest.mark.wasip2
@pytest.mark.cgroup
def test_memory_of_a_component_is_limited(rust):
    done = rust("fill", options=["-m", "64m"], check=False)
    assert done.returncode in {134, 137} and "memory" in done.stderr


@pytest.mark.wasip2
def test_a_component_is_stopped(trivet, programs):
    name = trivet.spawn("sleep", 1000000, image=programs.rust(RUST))
    trivet.run("stop", "-t", "20", name)
    assert trivet.inspect(name)["State"]["ExitCode"] in {143, 137}


@pytest.mark.wasip2
def test_a_component_in_an_image(trivet, programs, tmp_path):
    module = programs.rust(RUST).read_bytes()
    image, artifact = Layout(tmp_path / "image"), Layout(tmp_path / "artifact")
    image.tag(image.image([module_layer(module)], {"Entrypoint": ["/app.wasm"]}, "wasip2/wasm"), "img")
    artifact.tag(artifact.artifact(module, config={"architecture": "wasm", "os": "wasip2", "layerDigests": []}), "art")
    for layout, name in ((image, "img"), (artifact, "art")):
        trivet.run("image", "import", layout.folder, name)
        assert trivet.box("args", "x", image=name).stdout == "<x>\n"
