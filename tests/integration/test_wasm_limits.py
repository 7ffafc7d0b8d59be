"""What a WebAssembly program may use: fuel, time, memory, tables, stack; and how it is ended."""

import signal
import time

import pytest

from harness import SLOW, kill_hard, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]

LOOP = '(module (func (export "_start") (loop $again (br $again))))'


def ended(trivet, image, *words, options=()):
    """Runs a container in the foreground and keeps it; its Result, State and Wasm facts."""
    done = trivet.run("run", "--name", "ended", "--network", "none", *options, image, *words, check=False)
    document = trivet.inspect("ended")
    trivet.run("rm", "ended")
    return done, document["State"], document["Trivet"]["Wasm"]


# ---------------------------------------------------------------- fuel

def test_a_loop_runs_out_of_fuel(trivet, programs):
    done, state, facts = ended(trivet, programs.wat(LOOP), options=["--fuel", "5000000"])
    assert done.returncode == state["ExitCode"] == 152
    assert "out of fuel" in done.stderr
    assert facts["Outcome"] == "out of fuel" and facts["FuelUsed"] == 5_000_000
    assert state["OOMKilled"] is False


def test_fuel_is_limited_by_default(trivet, programs):
    done, _, facts = ended(trivet, programs.wat(LOOP))
    assert done.returncode == 152 and facts["FuelUsed"] == 1_000_000_000


def test_the_same_program_uses_the_same_fuel(trivet, programs):
    uses = {ended(trivet, programs.probe, "echo", "x", options=options)[2]["FuelUsed"]
            for options in ([], ["--fuel", "5000000"], ["--annotation", "dev.trivet.wasm.fuel=700000"])}
    assert len(uses) == 1 and 100 < uses.pop() < 700_000


def test_without_fuel_a_loop_goes_on_until_it_is_stopped(trivet, programs):
    name = trivet.spawn(image=programs.wat(LOOP), options=["--fuel", "off"])
    time.sleep(0.3)
    begin = time.monotonic()
    trivet.run("stop", "-t", "20", name)
    assert time.monotonic() - begin < 10 * SLOW
    document = trivet.inspect(name)
    assert document["State"]["ExitCode"] == 128 + signal.SIGTERM
    assert document["Trivet"]["Wasm"]["Outcome"] == "signal" and document["Trivet"]["Wasm"]["FuelUsed"] == 0


# ---------------------------------------------------------------- time, signals

@pytest.mark.parametrize("options", [["--timeout", "1"], ["--annotation", "dev.trivet.wasm.timeout=300ms"]])
@pytest.mark.parametrize("words", [["spin"], ["sleep", "1000000"]])
def test_a_timeout_is_124(trivet, programs, options, words):
    done, state, _ = ended(trivet, programs.probe, "echo", "started", ",", *words,
                           options=["--fuel", "off", *options])
    assert done.returncode == state["ExitCode"] == 124
    assert done.stdout == "started\n"


def test_a_timeout_that_is_not_reached_changes_nothing(trivet, programs):
    done, _, facts = ended(trivet, programs.probe, "exit", "3",
                           options=["--annotation", "dev.trivet.wasm.timeout=1m"])
    assert done.returncode == 3 and facts["Outcome"] == "exited" and facts["Message"] == ""


@pytest.mark.parametrize("words", [["spin"], ["sleep", "1000000"], ["cat"]])
def test_stop_ends_it_within_its_grace(trivet, programs, words):
    name = trivet.spawn("echo", "up", ",", *words, image=programs.probe, options=["-i", "--fuel", "off"])
    trivet.wait_for_log(name, "up")
    begin = time.monotonic()
    trivet.run("stop", "-t", "30", name)
    assert time.monotonic() - begin < 15 * SLOW
    assert trivet.inspect(name)["State"]["ExitCode"] == 143


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_ends_it(trivet, programs, number):
    name = trivet.spawn("echo", "up", ",", "sleep", "1000000", image=programs.probe)
    trivet.wait_for_log(name, "up")
    trivet.run("kill", "--signal", number.name, name)
    trivet.wait_for_state(name, "exited")
    assert trivet.inspect(name)["State"]["ExitCode"] == 128 + number


def test_a_signal_without_effect_by_default_has_none(trivet, programs):
    name = trivet.spawn("tick", image=programs.probe, options=["--fuel", "off"])
    trivet.wait_for_log(name, "tick 1")
    for number in ("WINCH", "CHLD", "CONT", "URG"):
        trivet.run("kill", "--signal", number, name)
    seen = len(trivet.logs(name).splitlines())
    wait_for(lambda: len(trivet.logs(name).splitlines()) > seen + 2, what="it goes on")


def test_interrupt_from_a_terminal(trivet, programs):
    terminal = trivet.spawn_tty("run", "--rm", "-it", "--network", "none", programs.probe, "echo", "up", ",",
                                "sleep", "1000000")
    terminal.expect("up")
    terminal.send("\x03")
    assert terminal.wait() == 130


def test_a_host_that_is_killed_from_outside_is_reported(trivet, programs):
    name = trivet.spawn("sleep", "1000000", image=programs.probe)
    kill_hard(trivet.inspect(name)["State"]["Pid"])
    trivet.wait_for_state(name, "exited")
    document = trivet.inspect(name)
    assert document["State"]["ExitCode"] == 137 and document["Trivet"]["Wasm"]["Outcome"] == "signal"
    assert document["State"]["OOMKilled"] is False


# ---------------------------------------------------------------- memory

def test_memory_beyond_the_container_s_limit_is_137(trivet, programs):
    done, state, facts = ended(trivet, programs.probe, "fill", "200", options=["-m", "64m"])
    assert done.returncode == 137 and state["OOMKilled"] is True
    assert facts["Outcome"] == "out of memory" and facts["MemoryBytes"] <= 64 << 20
    filled = int(done.stdout.split()[1])
    assert 40 <= filled < 64, "the host leaves little of the limit to itself"


def test_memory_within_the_container_s_limit_can_be_filled(trivet, programs):
    done, state, facts = ended(trivet, programs.probe, "fill", "30", options=["-m", "64m"])
    assert done.returncode == 0 and done.stdout == "filled 30 MiB\n" and state["OOMKilled"] is False
    assert 30 << 20 <= facts["MemoryBytes"] < 40 << 20


def test_pages_are_limited_by_an_annotation(trivet, programs):
    done, _, facts = ended(trivet, programs.probe, "fill", "200",
                           options=["--annotation", "dev.trivet.wasm.memory-pages=64"])
    assert done.returncode == 137 and facts["MemoryBytes"] <= 64 << 16
    done, _, _ = ended(trivet, programs.probe, "fill", "2",
                       options=["--annotation", "dev.trivet.wasm.memory-pages=64"])
    assert done.returncode == 0


@pytest.mark.parametrize("pages", [20_000, 65_536])
def test_a_huge_declared_memory_is_refused_under_a_limit(trivet, programs, pages):
    module = programs.wat(f'(module (memory (export "memory") {pages}) (func (export "_start")))')
    done, _, facts = ended(trivet, module, options=["-m", "64m"])
    assert done.returncode == 137 and facts["Outcome"] == "out of memory"
    assert "memory" in done.stderr


def test_a_huge_declared_memory_that_is_not_touched_costs_nothing(trivet, programs):
    module = programs.wat('(module (memory (export "memory") 65536) (func (export "_start")))')
    assert ended(trivet, module)[0].returncode == 0


def test_the_kernel_s_killer_is_told_apart(trivet, programs):
    """/dev/shm counts for the container, and no limit of the host's own stops the module before."""
    done, state, facts = ended(trivet, programs.c(FILL_FILE), options=["-m", "32m", "--shm-size", "500m"])
    assert done.returncode == 137 and state["OOMKilled"] is True
    assert facts["Outcome"] == "signal"


FILL_FILE = """
#include <fcntl.h>
#include <unistd.h>
int main(void) {
  static char block[1 << 16];
  for (int i = 0; i < sizeof block; ++i) block[i] = 1;
  int fd = open("/dev/shm/file", O_CREAT | O_WRONLY, 0600);
  for (int i = 0; i < 4000; ++i) if (write(fd, block, sizeof block) < 0) return 3;
  return 0;
}
"""


def test_deep_recursion_is_a_trap(trivet, programs):
    module = programs.wat('(module (func $f (export "_start") (call $f)))')
    done, _, facts = ended(trivet, module)
    assert done.returncode == 134 and "call stack exhausted" in done.stderr
    assert facts["Outcome"] == "trap" and "stack" in facts["Message"]


def test_a_small_stack_of_the_container_is_enough(trivet, programs):
    module = programs.wat('(module (func $f (export "_start") (call $f)))')
    done, _, _ = ended(trivet, module, options=["--ulimit", "stack=262144:262144"])
    assert done.returncode in {134, 139}


def test_tables_are_limited(trivet, programs):
    big = programs.wat('(module (table 100000000 funcref) (func (export "_start")))')
    done, _, _ = ended(trivet, big)
    assert done.returncode in {126, 134, 137} and "table" in done.stderr
    growing = programs.wat('(module (table $t 1 externref) (func (export "_start") (loop $again '
                           '(br_if $again (i32.ge_s (table.grow $t (ref.null extern) (i32.const 100000)) '
                           '(i32.const 0)))) (unreachable)))')
    done, _, _ = ended(trivet, growing)
    assert done.returncode == 134, "growing is refused at some point, and the module sees it"


def test_many_memories_and_globals(trivet, tmp_path):
    (tmp_path / "x.wat").write_text(f'(module {"(memory 1)" * 101} (func (export "_start")))')
    failed = trivet.fails("run", "--rm", "--network", "none", tmp_path / "x.wat")
    assert failed.returncode in {126, 134, 137} and "memor" in failed.stderr
    (tmp_path / "y.wat").write_text(f'(module {"(global i32 (i32.const 1))" * 50_000} (func (export "_start")))')
    assert trivet.box(image=tmp_path / "y.wat").returncode == 0


def test_processes_are_limited_and_it_needs_few(trivet, programs):
    done, _, _ = ended(trivet, programs.probe, "sleep", "10", ",", "echo", "done", options=["--pids-limit", "8"])
    assert done.stdout == "done\n"
