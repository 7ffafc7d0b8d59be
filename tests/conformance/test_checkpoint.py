"""checkpoint and restore with a real CRIU: what runc's commands of these names do.

runc 1.1 and 1.3 do less: they fail where 0, 1 or 2 of the init is a file of the host.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

import harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup]

COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; echo tick $i; sleep 0.05; done"


@pytest.fixture(autouse=True)
def criu(monkeypatch):
    if harness.criu_directory() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "needs a criu that works on this kernel: scripts/setup-newer fetches one")
    monkeypatch.setenv("PATH", f"{harness.criu_directory()}:{os.environ['PATH']}")


@pytest.fixture
def own_only(runtime):
    if runtime.is_peer:
        pytest.skip("of trivet-oci alone")


@pytest.fixture
def counter(container):
    """A container that counts, and has counted to three."""
    container.running("sh", "-c", COUNTER)
    harness.wait_for(lambda: count(container) >= 3, what="it counts")
    return container


def count(container) -> int:
    """Of the last whole line that it printed."""
    lines = container.printed().split("\n")[:-1]
    return int(lines[-1].split()[1]) if lines else 0


def image(container, name="image") -> pathlib.Path:
    return container.base / name


def checkpoint(container, *options, name="image", check=True):
    return container("checkpoint", "--image-path", image(container, name), *options, container.name,
                     check=check)


def restore(container, *options, name="image", check=True, stdin=subprocess.DEVNULL):
    """Detached, with its output where that of create goes."""
    with container.output_file.open("ab") as out, (container.base / "restore-err").open("w+") as err:
        code = subprocess.run([container.runtime, "restore", "--detach", "--bundle", container.bundle,
                               "--image-path", image(container, name), *options, container.name],
                              stdin=stdin, stdout=out, stderr=err, timeout=60, check=False).returncode
        err.seek(0)
        text = err.read()
    assert not check or code == 0, text
    return code, text


def test_a_container_goes_on_where_it_was(counter):
    checkpoint(counter)
    assert not counter.exists() and counter.cgroups() == []
    before = count(counter)
    pid_file = counter.base / "restored-pid"
    restore(counter, "--pid-file", pid_file)
    state = counter.state()
    assert state["status"] == "running" and str(state["pid"]) == pid_file.read_text()
    harness.wait_for(lambda: count(counter) > before + 3, what="it counts on")
    ticks = [int(line.split()[1]) for line in counter.printed().split("\n")[:-1]]
    assert ticks == list(range(1, len(ticks) + 1)), "not once more from the beginning"
    assert int(counter("exec", counter.name, "cat", "/dev/shm/count").stdout) > before
    counter.kill()
    counter.wait_until("stopped")
    counter.delete()


def test_a_restored_container_is_in_its_cgroup_with_its_limits(container):
    container.linux["resources"]["memory"] = {"limit": 64 << 20}
    container.running("sleep", "1000")
    checkpoint(container)
    restore(container)
    pid = container.state()["pid"]
    folder = harness.cgroup_directory(pid, "memory")
    assert folder.name == container.name
    limit = next(folder / name for name in ("memory.limit_in_bytes", "memory.max")
                 if (folder / name).exists())
    assert limit.read_text().strip() == str(64 << 20)
    container.delete("--force")


def test_a_container_that_is_left_running(counter):
    checkpoint(counter, "--leave-running")
    before = count(counter)
    harness.wait_for(lambda: count(counter) > before, what="it goes on")
    assert counter.state()["status"] == "running"
    counter.delete("--force")
    restore(counter)
    assert counter.state()["status"] == "running"
    counter.delete("--force")


def test_a_memory_image_before(counter):
    feature = subprocess.run(["criu", "check", "--feature", "mem_dirty_track"], capture_output=True, check=False)
    if feature.returncode != 0:
        pytest.skip("this kernel does not track which pages a process writes")
    checkpoint(counter, "--pre-dump", name="first")
    assert counter.state()["status"] == "running"
    checkpoint(counter, "--parent-path", "../first")
    assert (image(counter) / "parent").is_symlink()
    before = count(counter)
    restore(counter)
    harness.wait_for(lambda: count(counter) > before, what="it counts on")
    counter.delete("--force")


def test_logs_go_to_the_work_directory(counter):
    work = counter.base / "work"
    checkpoint(counter, "--work-path", work)
    assert (work / "dump.log").exists() and not (image(counter) / "dump.log").exists()
    restore(counter, "--work-path", work)
    assert (work / "restore.log").exists()
    counter.delete("--force")


def test_bind_mounts_come_from_the_host_again(container):
    directory = container.base / "volume"
    directory.mkdir()
    (directory / "file").write_text("before")
    plain = container.base / "plain"
    plain.write_text("plain\n")
    container.config["mounts"] += [
        {"destination": "/mnt", "type": "bind", "source": str(directory), "options": ["rbind"]},
        {"destination": "/etc/plain-file", "type": "bind", "source": str(plain), "options": ["bind", "ro"]}]
    container.linux["maskedPaths"] = ["/proc/keys", "/proc/acpi"]
    container.linux["readonlyPaths"] = ["/proc/sys"]
    container.running("sleep", "1000")
    checkpoint(container)
    (directory / "file").write_text("after")
    restore(container)
    script = ("cat /mnt/file /etc/plain-file; echo x > /mnt/other; echo $(cat /proc/keys | wc -c);"
              "touch /etc/plain-file 2>&1; echo 1 2>&1 > /proc/sys/kernel/msgmax")
    shown = container("exec", container.name, "sh", "-c", script, check=False)
    assert shown.stdout.startswith("afterplain\n0\n")
    assert (shown.stdout + shown.stderr).count("Read-only file system") == 2
    assert (directory / "other").read_text() == "x\n"
    container.delete("--force")


def test_a_network_namespace_of_another(container):
    other = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    try:
        own = os.readlink("/proc/self/ns/net")
        harness.wait_for(lambda: os.readlink(f"/proc/{other.pid}/ns/net") != own, what="a namespace")
        container.add_namespace("network", f"/proc/{other.pid}/ns/net")
        container.running("sleep", "1000")
        checkpoint(container)
        restore(container)
        assert os.readlink(f"/proc/{container.state()['pid']}/ns/net") == \
            os.readlink(f"/proc/{other.pid}/ns/net")
        container.delete("--force")
    finally:
        other.kill()
        other.wait()


def test_what_the_process_may_is_kept(container):
    container.process["capabilities"] = {kind: ["CAP_CHOWN"] for kind in
                                         ("bounding", "effective", "permitted")}
    container.process["noNewPrivileges"] = True
    # Another user would be too much: CRIU asks for the limits of his processes (CAP_SYS_RESOURCE).
    container.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                  "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}

    def powers() -> list[str]:
        status = pathlib.Path(f"/proc/{container.state()['pid']}/status").read_text().splitlines()
        return [line for line in status if line.split(":")[0] in
                ("Uid", "Gid", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")]
    container.running("sleep", "1000")
    before = powers()
    checkpoint(container)
    restore(container)
    assert powers() == before and "Seccomp:\t2" in before
    container.delete("--force")


def receive_terminal(listener: socket.socket) -> int:
    peer, _ = listener.accept()
    with peer:
        return socket.recv_fds(peer, 100, 1)[1][0]


def read_until(terminal: int, text: str) -> str:
    found = ""
    while text not in found:
        found += os.read(terminal, 4096).decode()
    return found


def test_a_terminal(container):
    container.process["terminal"] = True
    container.process["args"] = ["sh"]
    path = container.base / "console"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        container.create("--console-socket", path)
        terminal = receive_terminal(listener)
        container.start()
        os.write(terminal, b"a=41; tty\n")
        read_until(terminal, "/dev/pts/0\r\n")
        checkpoint(container)
        os.close(terminal)
        restore(container, "--console-socket", path)
        terminal = receive_terminal(listener)
        os.write(terminal, b"echo $((a + 1)); tty\n")
        read_until(terminal, "42\r\n/dev/pts/0\r\n")
        os.close(terminal)
    container.delete("--force")


def test_pipes_are_those_of_the_restorer(container):
    container.process["args"] = ["sh", "-c", "while read line; do echo got $line; done"]
    container.write()
    # Not pytest's: a file that was opened with O_NOFOLLOW can't be opened again.
    errors = (container.base / "errors").open("w")
    with subprocess.Popen([container.runtime, "run", "--bundle", container.bundle, container.name],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as first:
        first.stdin.write(b"one\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"got one\n"
        checkpoint(container)
    command = [container.runtime, "restore", "--bundle", container.bundle, "--image-path", image(container),
               container.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=errors) as second:
        out, _ = second.communicate(b"two\n", timeout=30)
        assert out == b"got two\n"
        assert second.returncode == 0
    errors.close()
    assert not container.exists()


def test_a_paused_container(counter):
    counter("pause", counter.name)
    checkpoint(counter)
    before = count(counter)
    restore(counter)
    harness.wait_for(lambda: count(counter) > before, what="it counts on")
    counter.delete("--force")


def test_hooks_of_a_restored_container(container, own_only):
    log = container.base / "hooks"
    container.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(cat | wc -c) >> {log}"]}]
        for kind in ("prestart", "createRuntime", "poststop")}
    container.running("sleep", "1000")
    checkpoint(container)
    log.write_text("")
    restore(container)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["prestart", "createRuntime"]
    container.delete("--force")


@pytest.mark.parametrize("status", ["created", "stopped"])
def test_only_what_runs_can_be_checkpointed(container, status):
    container.process["args"] = ["sleep", "1000"]
    container.create()
    if status == "stopped":
        container.start()
        container.kill()
        container.wait_until("stopped")
    failed = checkpoint(container, check=False)
    assert failed.returncode != 0 and status in failed.stderr
    assert container.state()["status"] == status
    container.delete("--force")


def test_without_criu_nothing_happens(counter, own_only, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    failed = checkpoint(counter, check=False)
    assert failed.returncode == 1
    assert "the program criu is not in PATH" in failed.stderr and "hint: " in failed.stderr
    assert counter.state()["status"] == "running"
    counter.delete("--force")


def test_a_dump_that_fails_lets_the_container_go_on(container, own_only):
    container.process["args"] = ["sleep", "1000"]
    container.write()
    ours, its = socket.socketpair()
    with ours, its, container.output_file.open("wb") as out:
        subprocess.run([container.runtime, "run", "--detach", "--bundle", container.bundle, container.name],
                       stdin=its, stdout=out, stderr=out, timeout=30, check=True)
        its.close()
        failed = checkpoint(container, check=False)  # without --ext-unix-sk
        assert failed.returncode == 1
        assert "criu could not dump it" in failed.stderr
        assert f"criu's log is \"{image(container)}/dump.log\"" in failed.stderr
        assert container.state()["status"] == "running"
    container.delete("--force")


def test_a_restore_that_fails_leaves_nothing(counter, own_only):
    checkpoint(counter)
    (image(counter) / "pstree.img").write_bytes(b"nonsense")
    code, text = restore(counter, check=False)
    assert code == 1 and "criu could not restore it" in text
    assert f"criu's log is \"{image(counter)}/restore.log\"" in text
    assert not counter.exists() and counter.leftovers() == []
    code, text = restore(counter, name="no-such-image", check=False)
    assert code == 1 and "no-such-image" in text and counter.leftovers() == []


def test_a_pid_file_that_cannot_be_written_undoes_the_restore(counter, own_only):
    checkpoint(counter)
    code, text = restore(counter, "--pid-file", "/no/such/directory/pid", check=False)
    assert code == 1 and "/no/such/directory" in text
    assert not counter.exists() and counter.leftovers() == []


@pytest.mark.parametrize("seconds", [0.02, 0.06, 0.09, 0.12, 0.15, 0.2])
def test_a_restore_that_is_killed_can_be_removed(counter, own_only, seconds):
    checkpoint(counter)
    with (counter.base / "killed").open("w") as out:
        restorer = subprocess.Popen([counter.runtime, "restore", "--detach", "--bundle", counter.bundle,
                                     "--image-path", image(counter), counter.name],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    time.sleep(seconds)
    restorer.kill()
    restorer.wait()
    counter.delete("--force")
    assert counter.leftovers() == []


@pytest.mark.parametrize("options,words", [
    (["--lazy-pages"], "--lazy-pages is not supported"),
    (["--manage-cgroups-mode", "some"], "--manage-cgroups-mode"),
    (["--empty-ns", "pid"], "--empty-ns"),
    (["--page-server", "nowhere"], "--page-server"),
    (["--parent-path", "/absolute"], "--parent-path"),
])
def test_options_that_can_not_be(counter, own_only, options, words):
    failed = checkpoint(counter, *options, check=False)
    assert failed.returncode == 1 and words in failed.stderr
    assert counter.state()["status"] == "running"
    counter.delete("--force")


def test_the_descriptors_beside_the_image(counter, own_only):
    checkpoint(counter)
    names = json.loads((image(counter) / "descriptors.json").read_text())
    assert len(names) == 3 and all(name.startswith("file[") for name in names)
