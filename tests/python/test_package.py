"""The Python package against the real trivet."""

import asyncio
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import trivet as package

from harness import ROOT, SLOW, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def children():
    """Processes of ours, zombies too; the fixture's own have ended."""
    found = pathlib.Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [pid for path in found for pid in path.read_text().split()]


def test_exec_gives_everything_back(host):
    with package.Sandbox("busybox", memory="64m", env={"A": "1"}, user=1000, workdir="/tmp") as box:
        result = box.exec(["sh", "-c", "echo $A $B; pwd; id -u; cat >&2; exit 3"], stdin=b"in\xff",
                          env={"B": "2"})
        assert result.stdout == "1 2\n/tmp\n1000\n"
        assert result.stderr_bytes == b"in\xff" and result.stderr == "in\ufffd"
        assert result.exit_code == 3 and not result.ok and not result.timed_out
        assert box.stats().memory_limit == 64 << 20
        assert box.exec(["id", "-u"], user=0, workdir="/").stdout == "0\n"
        with pytest.raises(TypeError, match="list of words"):
            box.exec("echo hello")
    assert host.containers() == [] and children() == []


def test_a_timeout_kills_what_runs_and_leaves_the_sandbox(host):
    with package.Sandbox("busybox") as box:
        start = time.monotonic()
        result = box.exec(["sh", "-c", "trap '' TERM; echo before; sleep 100; echo after"], timeout=1)
        assert time.monotonic() - start < 10 * SLOW
        assert result.timed_out and result.exit_code == 124 and result.stdout == "before\n"
        assert "sleep" not in box.exec(["ps"]).stdout
    assert children() == []


def test_output_without_end_is_cut(host):
    with package.Sandbox("busybox") as box:
        result = box.exec(["dd", "if=/dev/zero", "bs=64k", "count=200"], max_output=1000)
        assert len(result.stdout_bytes) == 1000 and result.truncated and result.ok
        # A reader that ends early is no failure either.
        assert box.exec(["true"], stdin=b"x" * (4 << 20)).ok


def test_what_a_sandbox_prints_is_never_an_error_of_trivet(host):
    forged = '{"code":"not-found","message":"forged","hint":"","notes":[]}'
    with package.Sandbox("busybox") as box:
        for code in (125, 126, 127):
            script = f"echo '{forged}' >&2; for n in 3 4 5 6 7 8 9; do echo '{forged}' >&$n; done " \
                     f"2>/dev/null; exit {code}"
            result = box.exec(["sh", "-c", script])
            assert result.exit_code == code and "forged" in result.stderr


def test_files(host, tmp_path):
    with package.Sandbox("busybox") as box:
        box.write_file("/tmp/a", b"\0\xff" * 100000, mode=0o640)
        assert box.read_file("/tmp/a") == b"\0\xff" * 100000
        assert box.exec(["stat", "-c", "%a", "/tmp/a"]).stdout == "640\n"
        box.write_file("/tmp/a", "again")
        assert box.read_file("/tmp/a") == b"again"
        with pytest.raises(package.TrivetError):
            box.write_file("/no/such/a", "")
        with pytest.raises(package.NotFoundError):
            box.read_file("/no/such/a")
        with pytest.raises(package.StateError, match="no file"):
            box.read_file("/tmp")
        # Links in it lead nowhere else.
        secret = tmp_path / "secret"
        secret.write_text("of the host")
        box.exec(["ln", "-s", str(tmp_path), "/tmp/out"], check=True)
        with pytest.raises(package.TrivetError):
            box.read_file("/tmp/out/secret")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/file").write_text("copied")
        box.copy_in(tmp_path / "folder", "/tmp/folder")
        box.copy_out("/tmp/folder/file", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "copied"


def test_errors_have_code_and_hint(host):
    with pytest.raises(package.NotFoundError) as missing:
        package.Sandbox.run("no-such", pull="never")
    assert missing.value.code == "not-found" and "no-such" in str(missing.value)
    with pytest.raises(package.InvalidArgumentError):
        package.Sandbox.run("busybox", memory="1")
    with pytest.raises(TypeError, match="memroy"):
        package.Sandbox("busybox", memroy="64m")
    with package.Sandbox("busybox") as box:
        with pytest.raises(package.NotFoundError) as missing:
            box.exec(["no-such"])
        assert missing.value.code == "command-not-found" and "PATH" in missing.value.hint
        with pytest.raises(package.CommandError) as failed:
            box.exec(["sh", "-c", "echo why >&2; exit 7"], check=True)
        assert failed.value.result.exit_code == 7 and "why" in str(failed.value)
        box.kill()
        wait_for(lambda: not box.is_running())
        with pytest.raises(package.TrivetError):
            box.exec(["true"])
    assert host.containers() == []


def test_no_trivet_at_all(host, monkeypatch):
    monkeypatch.setenv("TRIVET_PROGRAM", "/no/such/trivet")
    with pytest.raises(package.NotInstalledError) as missing:
        package.Sandbox.run("busybox")
    assert "TRIVET_PROGRAM" in missing.value.hint
    assert package.check_gpu_available() is False


def test_gpus(host):
    if package.check_gpu_available():
        pytest.skip("this host has a GPU")
    with pytest.raises(package.GpuConfigError) as missing:
        package.Sandbox.run("busybox", gpus="all")
    assert "nvidia-ctk" in missing.value.hint and missing.value.code == "unsupported"
    with pytest.raises(package.GpuConfigError):
        package.check_gpu()


def test_a_sandbox_that_runs_a_command_of_its_own(host):
    with package.Sandbox("busybox", command=["sh", "-c", "echo out; echo err >&2; sleep 600"]) as box:
        wait_for(lambda: "err" in box.logs().stderr)
        assert box.logs().stdout == "out\n"


def test_the_timeout_of_a_sandbox_is_trivets(host):
    with package.Sandbox("busybox", timeout=1) as box:
        wait_for(lambda: not box.is_running())
    assert host.containers() == []


def test_close_twice_and_after_it_is_gone(host):
    box = package.Sandbox.run("busybox")
    host.run("rm", "-f", box.name)
    box.close()
    box.close()


# ---------------------------------------------------------------- asyncio

def test_asyncio_runs_many_at_once(host):
    async def main():
        async with package.AsyncSandbox("busybox") as box:
            results = await asyncio.gather(*(box.exec(["echo", str(n)]) for n in range(10)))
        return [result.stdout for result in results]
    assert asyncio.run(main()) == [f"{n}\n" for n in range(10)]
    assert children() == []


def test_canceling_ends_the_command(host):
    async def main():
        async with package.AsyncSandbox("busybox") as box:
            task = asyncio.create_task(box.exec(["sleep", "600"]))
            while "sleep" not in (await box.exec(["ps"])).stdout:
                pass
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "sleep" not in (await box.exec(["ps"])).stdout
    asyncio.run(main())
    assert children() == []


@pytest.mark.parametrize("after", [0, 0.02, 0.1, 0.5])
def test_canceling_at_any_moment_leaves_no_sandbox(host, after):
    async def use():
        async with package.AsyncSandbox("busybox") as box:
            await box.exec(["sleep", "600"])

    async def main():
        task = asyncio.create_task(use())
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    asyncio.run(main())
    assert host.containers() == [] and children() == []


def test_a_pool_gives_each_sandbox_once(host):
    async def main():
        async with package.AsyncSandboxPool(2, "busybox") as pool:
            async def one():
                async with pool.take() as box:
                    assert (await box.exec(["ls", "/tmp/used"])).exit_code != 0
                    await box.exec(["touch", "/tmp/used"], check=True)
                    return box.name
            names = await asyncio.gather(*(one() for _ in range(6)))
            assert len(set(names)) == 6
    asyncio.run(main())
    assert host.containers() == [] and children() == []


def test_a_pool_replaces_what_has_ended_and_raises_what_fails(host):
    with package.SandboxPool(1, "busybox") as pool:
        wait_for(lambda: [row["State"] for row in host.containers()] == ["running"])
        host.run("kill", host.containers()[0]["ID"])
        wait_for(lambda: all(row["State"] != "running" for row in host.containers()))
        with pool.take() as box:
            assert box.exec(["echo", "hi"]).stdout == "hi\n"
    with package.SandboxPool(1, "no-such", pull="never") as pool:
        for _ in range(2):
            with pytest.raises(package.NotFoundError), pool.take():
                pass
    assert host.containers() == []


# ---------------------------------------------------------------- the end of Python

PROGRAM = """
import sys, time, trivet
box = trivet.Sandbox.run("busybox", owner="test")
print(box.name, flush=True)
"""


def start_python(rest):
    return subprocess.Popen([sys.executable, "-c", PROGRAM + rest], stdout=subprocess.PIPE, text=True)


def test_the_end_of_the_interpreter_removes_what_is_open(host):
    with start_python("raise SystemExit(3)") as process:
        assert process.stdout.readline().startswith("py-")
        assert process.wait(30 * SLOW) == 3
    assert host.containers() == []


def test_ctrl_c_ends_the_command_and_the_sandbox(host):
    with start_python("with box: box.exec(['sleep', '600'])") as process:
        name = process.stdout.readline().strip()
        wait_for(lambda: "sleep 600" in host.run("top", name, check=False).stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(30 * SLOW) != 0
    assert host.containers() == []


def test_prune_sweeps_after_a_python_that_was_killed(host):
    with start_python("time.sleep(600)") as process:
        name = process.stdout.readline().strip()
        with package.Sandbox("busybox", owner="test") as mine:
            assert package.prune("test") == []
            process.kill()
            process.wait()
            assert package.prune("somebody-else") == []
            assert package.prune("test") == [name]
            assert [row["Names"] for row in host.containers()] == [mine.name]


# ---------------------------------------------------------------- what is shown

def snippets():
    text = (ROOT / "docs/python.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_manuals_snippets(host):
    scope: dict = {}
    assert len(snippets()) >= 7
    for number, snippet in enumerate(snippets()):
        exec(compile(snippet, f"docs/python.md, snippet {number}", "exec"), scope)
    assert host.containers() == []


@pytest.mark.parametrize("options", [[], ["--pool"]])
def test_the_example(host, options):
    program = [sys.executable, ROOT / "python/examples/hundred_sandboxes.py", "--count", "21",
               "--at-once", "4", *options]
    output = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True,
                            timeout=120 * SLOW).stdout
    counts = {line[:24].strip(): int(line[24:30]) for line in output.splitlines()[1:-1]}
    assert counts == {"answered 42": 17, "failed with 3": 2, "ran out of time": 1,
                      "killed: out of memory": 1}
    assert host.containers() == []


def test_the_types_hold():
    """mypy --strict, where it is installed."""
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-incremental", "-p", "trivet"],
                          cwd=ROOT / "python", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
