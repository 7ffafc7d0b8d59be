"""The files of a WebAssembly program: what WASI offers, and what no path leads to."""

import os
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]

SCRATCH = ["--tmpfs", "/tmp"]
READ_ONLY = ": I/O error"  # what Wasmtime makes of EROFS


def steps(wasm, *commands: str, options=SCRATCH) -> list[str]:
    """Each of "write /tmp/a text" in one program; returns the lines that it prints."""
    words = []
    for command in commands:
        words += [*command.split(" "), ","]
    return wasm(*words, options=options).lines


def test_files_are_made_read_changed_and_removed(wasm):
    assert steps(wasm, "write /tmp/a first", "read /tmp/a", "append /tmp/a +more", "read /tmp/a", "stat /tmp/a",
                 "write /tmp/a x", "stat /tmp/a", "create /tmp/a no", "rename /tmp/a /tmp/b", "stat /tmp/a",
                 "read /tmp/b", "truncate /tmp/b 100", "stat /tmp/b", "unlink /tmp/b", "unlink /tmp/b",
                 "ls /tmp") == [
        "write ok", "first", "append ok", "first+more", "file 10", "write ok", "file 1", "create: File exists",
        "rename ok", "stat: No such file or directory", "x", "truncate ok", "file 100", "unlink ok",
        "unlink: No such file or directory", "[]"]


def test_directories(wasm):
    assert steps(wasm, "mkdir /tmp/d", "mkdir /tmp/d", "mkdir /tmp/x/y", "write /tmp/d/f 1", "write /tmp/d/g 2",
                 "ls /tmp/d", "stat /tmp/d/.", "rmdir /tmp/d", "unlink /tmp/d", "rename /tmp/d /tmp/e",
                 "read /tmp/e/f", "unlink /tmp/e/f", "unlink /tmp/e/g", "rmdir /tmp/e", "ls /tmp",
                 "ls /tmp/absent", "read /tmp")[:6] == [
        "mkdir ok", "mkdir: File exists", "mkdir: No such file or directory", "write ok", "write ok", "[f g]"]
    assert steps(wasm, "mkdir /tmp/d", "write /tmp/d/f 1", "rmdir /tmp/d", "unlink /tmp/d", "rename /tmp/d /tmp/e",
                 "read /tmp/e/f", "unlink /tmp/e/f", "rmdir /tmp/e", "ls /tmp", "ls /tmp/absent") == [
        "mkdir ok", "write ok", "rmdir: Directory not empty", "unlink: Is a directory", "rename ok", "1",
        "unlink ok", "rmdir ok", "[]", "ls: No such file or directory"]


def test_a_directory_of_a_thousand_entries_is_listed_whole(wasm, tmp_path):
    for number in range(1000):
        (tmp_path / f"file-with-a-long-name-{number:04}").touch()
    listed = wasm("ls", "/v", options=["-v", f"{tmp_path}:/v"]).stdout
    assert listed == f"[{' '.join(sorted(os.listdir(tmp_path)))}]\n"


def test_links(wasm):
    assert steps(wasm, "write /tmp/a text", "symlink a /tmp/s", "readlink /tmp/s", "read /tmp/s", "lstat /tmp/s",
                 "stat /tmp/s", "link /tmp/a /tmp/h", "append /tmp/h +", "read /tmp/a", "symlink loop /tmp/loop",
                 "read /tmp/loop", "symlink absent /tmp/dangling", "read /tmp/dangling", "readlink /tmp/a") == [
        "write ok", "symlink ok", "-> a", "text", "symlink 1", "file 4", "link ok", "append ok", "text+",
        "symlink ok", "read: Symbolic link loop", "symlink ok", "read: No such file or directory",
        "readlink: Invalid argument"]


# ---------------------------------------------------------------- where it may write

def test_the_container_keeps_what_was_written_until_it_is_removed(trivet, programs):
    image = [programs.probe, "append", "/kept", "x", ",", "read", "/kept"]
    trivet.run("run", "--name", "kept", "--network", "none", *image)
    assert trivet.run("start", "-a", "kept").stdout.endswith("xx\n")
    # Another container of the same image starts anew.
    assert trivet.run("run", "--rm", "--network", "none", *image).stdout == "append ok\nx\n"


def test_volumes(wasm, trivet, tmp_path):
    (tmp_path / "from-host").write_text("hello\n")
    assert steps(wasm, "read /v/from-host", "write /v/made text", options=["-v", f"{tmp_path}:/v"]) == [
        "hello", "", "write ok"]
    assert (tmp_path / "made").read_text() == "text"
    assert steps(wasm, "write /n/a kept", options=["-v", "named:/n"]) == ["write ok"]
    assert steps(wasm, "read /n/a", options=["-v", "named:/n"]) == ["kept"]
    trivet.run("volume", "rm", "named")


def test_a_read_only_volume_is_read_only(wasm, tmp_path):
    (tmp_path / "a").write_text("a")
    refused = steps(wasm, "read /v/a", "write /v/a b", "write /v/new b", "unlink /v/a", "rename /v/a /v/b",
                    "mkdir /v/d", "truncate /v/a 0", "symlink x /v/s", options=["-v", f"{tmp_path}:/v:ro"])
    assert refused[0] == "a" and len(refused) == 8
    assert all(line.endswith(READ_ONLY) for line in refused[1:]), refused
    assert sorted(os.listdir(tmp_path)) == ["a"] and (tmp_path / "a").read_text() == "a"


def test_a_read_only_root_is_read_only(wasm):
    assert steps(wasm, "write /x y", "write /tmp/x y", options=["--read-only", "--tmpfs", "/tmp"]) == [
        f"write{READ_ONLY}", "write ok"]


def test_a_module_that_writes_no_files_has_a_read_only_root(trivet, programs):
    module = programs.wat('(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) '
                          '(result i32))) (memory (export "memory") 1) (func (export "_start") '
                          '(i64.store (i32.const 24) (i64.const 100000000000000)) (i32.store (i32.const 16) (i32.const 1))'
                          '(drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))')
    name = trivet.spawn(image=module)
    pid = trivet.inspect(name)["State"]["Pid"]
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        options = next(line.split()[5] for line in file if line.split()[4] == "/")
    assert "ro" in options.split(",")


def test_a_single_file_as_a_volume(wasm, tmp_path):
    (tmp_path / "conf").write_text("setting")
    (tmp_path / "secret").write_text("no")
    assert steps(wasm, "read /etc/conf", "read /etc/../etc/conf", "read /etc/secret",
                 options=["-v", f"{tmp_path}/conf:/etc/conf:ro"]) == [
        "setting", "setting", "read: No such file or directory"]


def test_the_program_itself_may_be_in_a_volume(trivet, tmp_path, programs, busybox_rootfs):
    (tmp_path / "p.wasm").write_bytes(programs.probe.read_bytes())
    done = trivet.run("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/v:ro", "--rootfs", busybox_rootfs,
                      "--", "/v/p.wasm", "ls", "/v")
    assert done.stdout == "[p.wasm]\n"


# ---------------------------------------------------------------- no way out

def test_dots_end_at_the_root(wasm):
    outside = f"/../../../../../..{os.path.abspath(__file__)}"
    lines = steps(wasm, f"read {outside}", "read ../../../../etc/passwd", "ls /..", "ls /tmp/../..", "write /../x y",
                  "rename /x /../../y")
    assert all(line.split(":")[0] in {"read", "ls", "write", "rename"} or line.startswith("[") or line.endswith(" ok")
               for line in lines)
    assert "root:" not in "".join(lines) and "usr" not in "".join(lines)
    assert lines[0].startswith("read: ") and lines[1].startswith("read: ")


def test_symlinks_of_a_volume_lead_nowhere_outside(wasm, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "absolute").symlink_to(secret)
    (shared / "relative").symlink_to("../secret")
    (shared / "up").symlink_to("../../../../../../../../..")
    (shared / "root").symlink_to("/")
    (shared / "proc").symlink_to("/proc/self/mem")
    lines = steps(wasm, "read /v/absolute", "read /v/relative", f"read /v/up{secret}", f"read /v/root{secret}",
                  "write /v/absolute x", "write /v/relative x", f"unlink /v/up{secret}", "read /v/proc",
                  f"rename /v/up{secret} /v/got", f"link {secret} /v/got", f"link /v/absolute /v/got2",
                  options=["-v", f"{shared}:/v"])
    assert "of the host" not in "".join(lines), lines
    assert secret.read_text() == "of the host"
    assert sorted(os.listdir(shared))[:5] == ["absolute", "got2", "proc", "relative", "root"] or \
        sorted(os.listdir(shared)) == ["absolute", "proc", "relative", "root", "up"]


def test_symlinks_the_program_makes_lead_nowhere_outside(wasm, tmp_path):
    (tmp_path / "secret").write_text("of the host")
    lines = steps(wasm, f"symlink {tmp_path}/secret /tmp/s", "read /tmp/s", "symlink ../../../.. /tmp/up",
                  f"read /tmp/up{tmp_path}/secret", "ls /tmp/up/home")
    assert "of the host" not in "".join(lines)


def test_the_kernel_s_file_systems_are_absent(wasm):
    lines = steps(wasm, "stat /proc", "stat /sys", "read /proc/self/mem", "read /proc/self/environ",
                  "ls /sys/fs/cgroup", "ls /dev/mqueue", "ls /dev/shm", "stat /dev/null", "read /dev/mem",
                  "read /dev/kmsg", "write /dev/null x")
    assert lines[:6] == ["stat: No such file or directory"] * 2 + ["read: No such file or directory"] * 2 + \
        ["ls: No such file or directory"] * 2
    assert lines[6:8] == ["[]", "other 0"] and lines[8].startswith("read: ") and lines[9].startswith("read: ")


@pytest.mark.parametrize("source", ["/proc", "/proc/self", "/proc/sys/kernel", "/proc/self/mem"])
def test_a_proc_file_system_of_the_host_is_refused(trivet, programs, source):
    failed = trivet.fails("run", "--rm", "--network", "none", "-v", f"{source}:/host", programs.probe, "echo", "no")
    assert "has a proc file system" in failed.stderr and "echo" not in failed.stdout
    assert trivet.containers() == []


def test_a_directory_with_a_proc_file_system_below_is_refused(trivet, programs):
    """A bind mount brings what is mounted below along."""
    failed = trivet.fails("run", "--rm", "--network", "none", "-v", "/:/host:ro", programs.probe,
                          "stat", "/host/proc/self/mem")
    assert "proc file system" in failed.stderr and '"/proc"' in failed.stderr, failed.stderr


def test_a_symlink_to_a_proc_file_system_is_refused(trivet, programs, tmp_path):
    (tmp_path / "link").symlink_to("/proc")
    failed = trivet.fails("run", "--rm", "--network", "none", "-v", f"{tmp_path}/link:/host", programs.probe,
                          "ls", "/host/self")
    assert "proc file system" in failed.stderr


def test_a_root_directory_with_a_proc_file_system_below_is_refused(trivet, programs, tmp_path):
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "p.wasm").write_bytes(programs.probe.read_bytes())
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    try:
        failed = trivet.fails("run", "--rm", "--network", "none", "--rootfs", root, "--rootfs-write", "/p.wasm",
                              "ls", "/proc/self")
    finally:
        subprocess.run(["umount", root / "proc"], check=True)
    assert "proc file system" in failed.stderr and f'"{root}/proc"' in failed.stderr
    assert trivet.run("run", "--rm", "--network", "none", "--rootfs", root, "/p.wasm", "ls", "/proc").stdout == "[]\n"


# ---------------------------------------------------------------- cp

def test_cp_both_ways(trivet, programs, tmp_path):
    name = trivet.spawn("write", "/made", "inside", ",", "tick", image=programs.probe)
    trivet.wait_for_log(name, "tick")
    trivet.run("cp", f"{name}:/made", tmp_path / "got")
    assert (tmp_path / "got").read_text() == "inside"
    (tmp_path / "put").write_text("outside")
    trivet.run("cp", tmp_path / "put", f"{name}:/etc/put")
    assert trivet.run("exec", name, f"/{programs.probe.name}", "read", "/etc/put").stdout == "outside\n"
