"""A WebAssembly program in a container: what it is given, what it says, how it ends."""

import random
import subprocess
import time

import pytest

import wasm_harness
from harness import wait_for

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]


# ---------------------------------------------------------------- what it is given

def test_arguments_arrive_as_they_are(wasm):
    words = ["", "two words", "ü", "-x", "--", "$HOME", 'a"b', "line\nbreak", "x" * 5000]
    assert wasm("args", *words).stdout == "".join(f"<{word}>\n" for word in words)


def test_the_environment_is_the_container_s_and_nothing_of_the_host_s(wasm):
    env = wasm("env", options=["-e", "A=b c", "-e", "EMPTY=", "-e", "EQUALS=a=b", "-e", "FROM_CALLER"],
               env={"FROM_CALLER": "yes", "SECRET_OF_THE_HOST": "no"}).stdout
    assert {"A=b c", "EMPTY=", "EQUALS=a=b", "FROM_CALLER=yes", "HOME=/"} <= set(env.splitlines())
    assert "SECRET" not in env and "TRIVET" not in env and "TOKIO" not in env


def test_the_user_may_be_anyone(wasm, trivet):
    done = wasm("write", "/tmp/a", "x", ",", "write", "/root-s", "x", ",", "echo", "on",
                options=["-u", "1234:1234", "--tmpfs", "/tmp:mode=1777"])
    assert done.lines == ["write ok", "write: Permission denied", "on"]
    name = trivet.spawn("sleep", "100000", options=["-u", "1234:77"], image=wasm_probe(trivet, wasm))
    status = status_of(trivet.inspect(name)["State"]["Pid"])
    assert status["Uid"].split() == ["1234"] * 4 and status["Gid"].split() == ["77"] * 4


def wasm_probe(trivet, wasm):
    """The image that the fixture made of the probe."""
    wasm("echo", "made")
    return next(image["Names"][0] if "Names" in image else image["RepoTags"][0]
                for image in trivet.run("images", "--format", "json").json()
                if "busybox" not in str(image))


def status_of(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":", 1) for line in file)


def test_clocks(wasm):
    real, slept, resolution = map(int, wasm("clocks").stdout.split())
    assert abs(real - time.time()) < 60
    assert 30 <= slept < 5000 and 0 < resolution < 100_000_000


def test_random_bytes_are_never_the_same(wasm):
    lines = wasm("random", ",", "random").lines + wasm("random").lines
    assert len(set(lines)) == 3 and all(len(line) == 32 for line in lines)


# ---------------------------------------------------------------- streams

def test_output_and_errors_are_apart(wasm):
    done = wasm("echo", "out", ",", "err", "wrong")
    assert (done.stdout, done.stderr) == ("out\n", "wrong\n")


def test_output_without_a_line_end(wasm):
    assert wasm("raw", "no end").stdout == "no end"


def test_input_reaches_the_program_with_i_alone(wasm):
    assert wasm("upper", options=["-i"], stdin="some text\n").stdout == "SOME TEXT\n"
    assert wasm("upper", stdin="some text\n").stdout == ""


def test_binary_input_of_megabytes_comes_back(trivet, programs):
    data = random.Random(1).randbytes(3 << 20)
    command = trivet.command("run", "--rm", "-i", "--network", "none", programs.probe, "cat")
    done = subprocess.run(command, input=data, capture_output=True, env=trivet.env, timeout=60, check=True)
    assert done.stdout == data and done.stderr == b""


def test_large_output_is_whole(trivet, programs):
    size = (5 << 20) + 3
    command = trivet.command("run", "--rm", "--network", "none", programs.probe, "bytes", size)
    done = subprocess.run(command, capture_output=True, env=trivet.env, timeout=60, check=True)
    assert done.stdout == bytes(i & 255 for i in range(8192)) * (size // 8192) + bytes(
        i & 255 for i in range(size % 8192))


def test_a_reader_that_goes_away_does_not_hang_the_program(trivet, programs):
    process = trivet.start("run", "--rm", "--network", "none", programs.probe, "bytes", 50 << 20)
    process.stdout.read(10)
    process.stdout.close()
    process.wait(timeout=30)


def test_a_terminal(trivet, programs):
    terminal = trivet.spawn_tty("run", "--rm", "-it", "--network", "none", programs.probe, "tty", ",",
                                "upper", ",", "exit", "3")
    terminal.expect("1 1 1")
    terminal.send("typed\n\x04")
    terminal.expect("typed")
    terminal.expect("TYPED")
    assert terminal.wait() == 3


def test_without_a_terminal_there_is_none(wasm):
    assert wasm("tty").stdout == "0 0 0\n"


# ---------------------------------------------------------------- exit codes

CODES = [0, 1, 2, 63, 64, 100, 123, 124, 125, 126, 127, 128, 129, 130, 134, 137, 139, 143, 152, 200, 254, 255]


@pytest.mark.parametrize("code", CODES)
def test_the_exit_code_is_the_program_s(wasm, code):
    done = wasm("echo", "said", ",", "exit", code, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "said\n", "")


def test_an_exit_code_has_eight_bits(wasm):
    assert wasm("exit", 256, check=False).returncode == 0
    assert wasm("exit", 257, check=False).returncode == 1
    assert wasm("exit", -1, check=False).returncode == 255


@pytest.mark.parametrize("body,words", [
    ("unreachable", "unreachable"),
    ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
    ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "overflow"),
    ("(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion to integer"),
    ("(drop (i32.load (i32.const -8)))", "out of bounds memory access"),
    ("(memory.fill (i32.const 65530) (i32.const 1) (i32.const 100))", "out of bounds memory access"),
    ("(call_indirect (i32.const 9))", "out of bounds"),
    ("(call_indirect (i32.const 1))", "uninitialized element"),
    ("(drop (call_indirect (result i32) (i32.const 0)))", "indirect call type mismatch"),
])
def test_a_trap_is_134_and_says_where(trivet, programs, body, words):
    module = programs.wat(f'(module (memory (export "memory") 1 1) (table 2 funcref) '
                          f'(elem (i32.const 0) $inner) (func $inner) '
                          f'(func $culprit (export "_start") {body}))')
    done = trivet.box(image=module, check=False, options=["-m", "100m"])
    # One page of memory that is full is no sign of its being short.
    assert done.returncode == 134, done.stderr
    assert "trivet-wasm: trap: " in done.stderr and words in done.stderr


def test_abort_is_a_trap_with_a_backtrace(trivet, wasm):
    done = wasm("echo", "before", ",", "abort", check=False)
    assert (done.returncode, done.stdout) == (134, "before\n")
    assert "unreachable" in done.stderr and "!abort" in done.stderr and "_start" in done.stderr


# ---------------------------------------------------------------- modules as files

def test_a_text_file_is_a_program(trivet, tmp_path):
    (tmp_path / "x.wat").write_text(HELLO)
    assert trivet.box(image=tmp_path / "x.wat").stdout == "hello\n"


def test_a_file_without_a_suffix_is_known_by_its_first_bytes(trivet, tmp_path):
    (tmp_path / "tool").write_bytes(wasm_harness.SMALLEST_COMMAND)
    assert trivet.box(image=tmp_path / "tool").stdout == ""


def test_a_file_in_a_root_directory(trivet, tmp_path, programs):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_bytes(programs.probe.read_bytes())
    (root / "bin/tool").chmod(0o755)
    run = ["run", "--rm", "--network", "none", "--rootfs", root]
    assert trivet.run(*run, "/bin/tool", "ls", "/bin").stdout == "[tool]\n"
    assert trivet.run(*run, "tool", "echo", "by PATH").stdout == "by PATH\n"
    assert trivet.run(*run, "--isolation", "wasm", "-w", "/bin", "./tool", "echo", "x").stdout == "x\n"
    assert trivet.fails(*run, "--isolation", "wasm", "/bin/absent", code=127).stdout == ""


HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "hello\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""


@pytest.mark.parametrize("text,words", [
    ("(module", "expected"),
    ("(module (func (export \"_start\") (i32.const 1)))", "type mismatch"),
    ("(module (import \"env\" \"magic\" (func)) (func (export \"_start\")))", "env::magic"),
    ("(module (import \"wasi_snapshot_preview1\" \"no_such\" (func)) (func (export \"_start\")))", "no_such"),
    ("(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)) (func (export \"_start\")))", "fd_write"),
    ("(module)", 'no function "_start"'),
    ("(module (func (export \"main\")))", 'no function "_start"'),
    ("(module (memory (export \"_start\") 1))", 'no function "_start"'),
    ("(module (func (export \"_start\") (param i32)))", "takes 1 arguments"),
])
def test_what_is_no_program_is_126_and_says_why(trivet, tmp_path, text, words):
    (tmp_path / "x.wat").write_text(text)
    done = trivet.fails("run", "--rm", "--network", "none", tmp_path / "x.wat", code=126)
    assert words in done.stderr and done.stderr.count("\n") <= 12


def test_mutated_modules_never_crash_anything(trivet, tmp_path, programs):
    """Whatever comes of it is an exit code with its meaning, never a signal of the host's."""
    good = programs.wat(HELLO.replace("hello\\n", "hello\\n" + "-" * 100)).read_bytes()
    rng = random.Random(20)
    module = tmp_path / "m.wasm"
    seen = set()
    for _ in range(40):
        data = bytearray(good)
        match rng.randrange(4):
            case 0:
                del data[rng.randrange(9, len(data)):]
            case 1:
                data.insert(rng.randrange(8, len(data)), rng.randrange(256))
            case _:
                for _ in range(rng.randrange(1, 4)):
                    data[rng.randrange(8, len(data))] = rng.randrange(256)
        module.write_bytes(bytes(data))
        done = trivet.box(image=module, check=False, options=["--fuel", "1000000"])
        seen.add(done.returncode)
        assert done.returncode in {0, 126, 134, 137, 152}, (bytes(data).hex(), done.stderr)
        assert done.returncode == 0 or done.stderr != ""
    assert {0, 126} <= seen
    assert trivet.containers() == []


@pytest.mark.parametrize("data", [b"", b"\0as", b"\0asm", b"\0asm\1\0\0", b"\0asm\2\0\0\0", b"\0asm\1\0\1\0",
                                  b"\0asm\x0d\0\1\0garbage", b"\0asm\1\0\0\0\xff\xff\xff\xff\xff", b"text"])
def test_a_truncated_or_foreign_header_is_a_clear_error(trivet, tmp_path, data):
    module = tmp_path / "x.wasm"
    module.write_bytes(data)
    done = trivet.fails("run", "--rm", "--network", "none", module, code=126)
    assert done.stderr.startswith("trivet")


def test_a_module_may_have_100_000_exports(trivet, tmp_path):
    exports = "".join(f'(export "f{n}" (func 0))' for n in range(100_000))
    (tmp_path / "x.wat").write_text(f'(module (func (export "_start")) {exports})')
    assert trivet.box(image=tmp_path / "x.wat").returncode == 0


# ---------------------------------------------------------------- which isolation

def test_an_unknown_isolation_is_refused(trivet):
    assert "isolation" in trivet.fails("run", "--isolation", "magic", "busybox", "true", code=125).stderr


def test_fuel_is_for_wasm(trivet, programs):
    failed = trivet.fails("run", "--network", "none", "--fuel", "100", "busybox", "true", code=125)
    assert "--fuel" in failed.stderr and "native" in failed.stderr
    for value in ("0", "-1", "many", "1e9"):
        assert value in trivet.fails("run", "--network", "none", "--fuel", value, programs.probe).stderr


def test_a_native_program_is_no_module(trivet):
    failed = trivet.fails("run", "--rm", "--network", "none", "--isolation", "wasm", "busybox", "true", code=126)
    assert "no WebAssembly module" in failed.stderr and "/bin/true" in failed.stderr


def test_a_module_is_no_native_program(trivet, programs):
    failed = trivet.fails("run", "--rm", "--network", "none", "--isolation", "native", programs.probe, code=126)
    assert "exec format error" in failed.stderr


@pytest.mark.parametrize("annotation", ["dev.trivet.wasm.fuel=lots", "dev.trivet.wasm.memory-pages=65537",
                                        "dev.trivet.wasm.timeout=soon", "dev.trivet.wasm.typo=1",
                                        "dev.trivet.isolation=magic", "run.oci.handler=magic"])
def test_a_bad_annotation_is_refused(trivet, programs, annotation):
    failed = trivet.fails("run", "--rm", "--network", "none", "--annotation", annotation, programs.probe)
    assert annotation.split("=", maxsplit=1)[0] in failed.stderr and trivet.containers() == []


def test_an_exported_function_is_invoked_by_name(trivet, programs):
    module = programs.wat('(module (global $ready (mut i32) (i32.const 0)) '
                          '(func (export "_initialize") (global.set $ready (i32.const 100)))'
                          '(func (export "add") (param i32 i64) (result i64) '
                          '(i64.add (i64.extend_i32_s (i32.add (local.get 0) (global.get $ready))) (local.get 1)))'
                          '(func (export "pi") (result f64) (f64.const 3.25)))')

    def invoke(name, *words, **settings):
        return trivet.box(*words, image=module, options=["--annotation", f"dev.trivet.wasm.invoke={name}"],
                          **settings)
    assert invoke("add", "2", "-30").stdout == "72\n"
    assert invoke("pi").stdout == "3.25\n"
    for name, words in (("absent", []), ("add", ["1"]), ("add", ["1", "x"]), ("add", ["1", "99999999999999999999"])):
        failed = invoke(name, *words, check=False)
        assert failed.returncode == 126 and f'function "{name}"' in failed.stderr


def test_a_container_that_waits_is_seen_to_run(trivet, programs):
    name = trivet.spawn("echo", "up", ",", "sleep", "100000", image=programs.probe)
    wait_for(lambda: "up" in trivet.logs(name), what="the program's word")
    assert trivet.status(name) == "running"
