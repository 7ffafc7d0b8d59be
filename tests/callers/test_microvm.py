"""podman, containerd and docker run microVMs through trivet-oci: by annotation, or by the name krun."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import pytest

import engines
import harness
import vm_harness

EXPERIMENTAL = ["--annotation", "dev.trivet.experimental=true"]
KRUN = ["--annotation", "run.oci.handler=krun", *EXPERIMENTAL]
# Of the guest's kernel, which is never the host's.
RELEASE = ["cat", "/proc/sys/kernel/osrelease"]
# Long enough for a machine that boots in software on a busy host.
BOOT = 120.0


@pytest.fixture(scope="session", autouse=True)
def vm_directory():
    """The kernel of scripts/setup-vm, where an engine's runtime looks for it: in the box,
    /var/lib/trivet is the box's own. An engine does not pass TRIVET_VM_DIR on."""
    if reason := vm_harness.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    place = pathlib.Path("/var/lib/trivet/vm")
    if not os.path.ismount(place):
        place.mkdir(exist_ok=True)
        subprocess.run(["/bin/mount", "--bind", harness.VM_DIR, place], check=True)
    return place


def machines() -> set[int]:
    """The processes of microVMs; in the box there are no others than ours."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "exe").is_symlink():
            try:
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if name.startswith(("qemu-system", "virtiofsd", "trivet-vmm")):
                found.add(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def no_machine_left():
    yield
    harness.wait_for(lambda: not machines(), what="the end of all machines")


# ---------------------------------------------------------------- podman

class VmPodman:
    """podman whose containers are microVMs."""

    def __init__(self, podman: engines.Podman):
        self.podman = podman
        self.run, self.out, self.terminal = podman.run, podman.out, podman.terminal
        self.inspect, self.status = podman.inspect, podman.status
        self.base = podman.base

    def box(self, *words: object, options=(), **settings) -> harness.Result:
        return self.podman.box(*words, options=[*KRUN, *options], timeout=BOOT, **settings)

    def spawn(self, *words: object, options=(), network: str = "none") -> str:
        return self.out("run", "-d", "--network", network, *KRUN, *options, "box", *words, timeout=BOOT)

    def exit_code(self, name: str) -> int:
        return self.inspect(name)["State"]["ExitCode"]

    def wait_for_log(self, name: str, text: str) -> None:
        harness.wait_for(lambda: text in self.out("logs", name), timeout=30, what=f"\"{text}\" in the log")


@pytest.fixture
def vm(podman):
    yield VmPodman(podman)
    # Before it is looked whether anything is left.
    podman.remove_all()


@pytest.mark.podman
@pytest.mark.parametrize("options", [["--annotation", "run.oci.handler=krun"],
                                     ["--annotation", "dev.trivet.isolation=microvm"]])
def test_podman_runs_in_a_machine(podman, options):
    done = podman.box("sh", "-c", "echo out; echo err >&2; cat /proc/sys/kernel/osrelease; exit 77",
                      options=[*options, *EXPERIMENTAL], timeout=BOOT, code=77)
    assert done.lines[0] == "out" and done.lines[1] != os.uname().release
    assert "err" in done.stderr.splitlines()


@pytest.mark.podman
def test_podman_is_told_of_the_gate(podman):
    failed = podman.box("true", options=KRUN[:2], check=False)
    assert failed.returncode == 126
    assert "isolation microvm is experimental" in failed.stderr


@pytest.mark.podman
def test_podman_s_krun_is_ours(podman):
    link = podman.base / "krun"
    if not link.exists():
        link.symlink_to(engines.RUNTIME)
    done = podman.run("--runtime", link, "run", "--rm", "--network", "none", *EXPERIMENTAL, "box", *RELEASE,
                      timeout=BOOT)
    assert done.stdout.strip() != os.uname().release


@pytest.mark.podman
def test_podman_gives_input_environment_directory_and_user(vm):
    done = vm.box("sh", "-c", "cat; echo $A; pwd; id -u; hostname", stdin="typed\n",
                  options=["-i", "--env", "A=b c", "--workdir", "/www", "--user", "app", "--hostname", "inside"])
    assert done.lines == ["typed", "b c", "/www", "1000", "inside"]


@pytest.mark.podman
@pytest.mark.parametrize("words,code", [(["sh", "-c", "exit 255"], 255), (["no-such-program"], 127),
                                        (["/bin/not-executable"], 126)])
def test_podman_s_exit_codes(vm, words, code):
    vm.box(*words, code=code)


@pytest.mark.podman
def test_podman_exec(vm):
    name = vm.spawn("sleep", "1000", options=["--env", "A=1"])
    both = vm.run("exec", name, "sh", "-c", "echo out; echo err >&2; exit 6", code=6)
    assert both.stdout == "out\n" and both.stderr.splitlines()[0] == "err"
    assert vm.out("exec", "--env", "B=2", name, "sh", "-c", "echo $A$B") == "12"
    assert vm.out("exec", "--workdir", "/www", name, "pwd") == "/www"
    assert vm.out("exec", "--user", "app", name, "id", "-u") == "1000"
    assert vm.run("exec", "-i", name, "cat", stdin="through\n").stdout == "through\n"
    assert vm.out("exec", name, *RELEASE) != os.uname().release
    vm.run("exec", name, "sh", "-c", "kill -9 $$", code=137)
    vm.run("exec", name, "no-such-program", code=127)


@pytest.mark.podman
def test_podman_exec_on_a_terminal(vm):
    name = vm.spawn("sleep", "1000")
    terminal = vm.terminal("exec", "-it", name, "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/", timeout=30)
    terminal.expect("42", timeout=30)
    engines.resize(terminal, 33, 77)
    terminal.send("exit 5\n")
    assert terminal.wait(60) == 5
    terminal.close()


@pytest.mark.podman
def test_podman_run_on_a_terminal(vm):
    terminal = vm.terminal("run", "--rm", "-it", "--network", "none", *KRUN, "box", "sh")
    terminal.send("test -t 0 && test -t 1 && echo $((6*7))\n")
    terminal.expect("\n42", timeout=BOOT)
    engines.resize(terminal, 33, 77)
    terminal.send("exit 5\n")
    assert terminal.wait(60) == 5
    terminal.close()


@pytest.mark.podman
def test_podman_logs(vm):
    name = vm.spawn("sh", "-c", "echo one; echo two >&2; echo three")
    vm.run("wait", name)
    logs = vm.run("logs", name)
    assert (logs.stdout, logs.stderr) == ("one\nthree\n", "two\n")
    vm.run("rm", name)


@pytest.mark.podman
def test_podman_stop_asks(vm):
    name = vm.spawn("sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done")
    vm.wait_for_log(name, "up")
    begin = time.monotonic()
    vm.run("stop", "--time", "500", name, timeout=BOOT)
    assert time.monotonic() - begin < 60 * harness.SLOW
    assert vm.exit_code(name) == 9
    assert "bye" in vm.out("logs", name)


@pytest.mark.podman
def test_podman_stop_kills_in_the_end(vm):
    name = vm.spawn("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    vm.wait_for_log(name, "up")
    vm.run("stop", "--time", "1", name)
    assert vm.exit_code(name) == 137


@pytest.mark.podman
def test_podman_kill_with_a_signal(vm):
    name = vm.spawn("sh", "-c", "trap 'echo usr1' USR1; trap 'exit 5' HUP; echo up; while :; do sleep 0.1; done")
    vm.wait_for_log(name, "up")
    vm.run("kill", "--signal", "USR1", name)
    vm.wait_for_log(name, "usr1")
    vm.run("kill", "--signal", "HUP", name)
    assert vm.out("wait", name) == "5"
    other = vm.spawn("sleep", "1000")
    vm.run("kill", other)
    assert vm.out("wait", other) == "137"


@pytest.mark.podman
def test_podman_pause_and_unpause(vm):
    name = vm.spawn("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done")
    vm.wait_for_log(name, "3")
    vm.run("pause", name)
    assert vm.status(name) == "paused"
    before = vm.out("logs", name)
    time.sleep(1)
    assert vm.out("logs", name) == before
    vm.run("unpause", name)
    harness.wait_for(lambda: vm.out("logs", name) != before, what="it goes on")
    vm.run("pause", name)
    vm.run("rm", "--force", "--time", "0", name)


@pytest.mark.podman
def test_podman_cp_before_the_start_and_after_the_end(vm):
    outer = vm.base / "outer"
    outer.write_text("made outside\n")
    script = "cat /tmp/outer; echo made inside > /tmp/inner"
    name = vm.out("create", "--network", "none", *KRUN, "box", "sh", "-c", script)
    vm.run("cp", outer, f"{name}:/tmp/outer")
    assert vm.run("start", "--attach", name, timeout=BOOT).stdout == "made outside\n"
    vm.run("cp", f"{name}:/tmp/inner", vm.base / "inner")
    assert (vm.base / "inner").read_text() == "made inside\n"


@pytest.mark.podman
def test_podman_cp_while_it_runs(vm):
    """podman joins the mount namespace of the container's process, where it finds what the guest sees."""
    name = vm.spawn("sh", "-c", "echo made inside > /tmp/inner; echo up; sleep 1000")
    vm.wait_for_log(name, "up")
    outer = vm.base / "outer"
    outer.write_text("made outside\n")
    vm.run("cp", outer, f"{name}:/tmp/outer")
    assert vm.out("exec", name, "cat", "/tmp/outer") == "made outside"
    vm.run("cp", f"{name}:/tmp/inner", vm.base / "inner")
    assert (vm.base / "inner").read_text() == "made inside\n"


@pytest.mark.podman
def test_podman_cp_finds_volumes_and_loses_nothing(vm):
    """Into a volume, through the image's links, and into what only the guest has: an error."""
    folder = vm.base / "cp-volume"
    folder.mkdir()
    outer = vm.base / "outer"
    outer.write_text("made outside\n")
    name = vm.spawn("sh", "-c", "ln -s /v /link; echo up; sleep 1000",
                    options=["-v", f"{folder}:/v", "--tmpfs", "/scratch"])
    vm.wait_for_log(name, "up")
    vm.run("cp", outer, f"{name}:/link/one")
    assert (folder / "one").read_text() == "made outside\n"
    assert vm.out("exec", name, "cat", "/v/one") == "made outside"
    for place in ("/scratch", "/dev", "/dev/shm"):
        assert vm.run("cp", outer, f"{name}:{place}/two", check=False).returncode != 0
    # Who looks for processes joins it too.
    assert "trivet-vmm" in vm.out("top", name, "comm")


@pytest.mark.podman
def test_podman_cp_does_not_write_to_a_read_only_root(vm):
    outer = vm.base / "outer"
    outer.write_text("made outside\n")
    name = vm.spawn("sleep", "1000", options=["--read-only"])
    assert vm.run("cp", outer, f"{name}:/etc/planted", check=False).returncode != 0
    vm.run("exec", name, "test", "-e", "/etc/planted", code=1)
    vm.run("cp", f"{name}:/etc/passwd", vm.base / "passwd")
    assert "root:" in (vm.base / "passwd").read_text()


@pytest.mark.podman
def test_podman_s_shared_memory_is_the_guest_s(vm):
    script = "grep ' /dev/shm ' /proc/mounts; df -k /dev/shm | tail -1"
    done = vm.box("sh", "-c", script, options=["--shm-size", "3m"])
    assert done.lines[0].split()[2] == "tmpfs" and done.lines[1].split()[1] == "3072"


@pytest.mark.podman
def test_podman_s_privileged_have_the_guest_s_devices(vm):
    script = ("grep -h -e CapEff: -e Seccomp: /proc/self/status; mount -t tmpfs t /tmp && echo mounted; "
              "ls /dev | grep vport; ls /dev")
    done = vm.box("sh", "-c", script, options=["--privileged"])
    assert int(done.lines[0].split()[1], 16) >= (1 << 40) - 1 and done.lines[1].split()[1] == "0"
    assert done.lines[2] == "mounted" and done.lines[3].startswith("vport")
    assert "kvm" not in done.lines


@pytest.mark.podman
def test_podman_volumes(vm):
    folder = vm.base / "vm-volume"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("bound\n")
    script = "cat /ro/a; touch /ro/b || echo refused; echo kept > /rw/c; chown 1000:2000 /rw/c; ln -s c /rw/d"
    done = vm.box("sh", "-c", script, options=["-v", f"{folder}:/ro:ro", "-v", f"{folder}:/rw"])
    assert done.lines == ["bound", "refused"]
    kept = folder / "c"
    assert kept.read_text() == "kept\n" and not (folder / "b").exists()
    assert (kept.stat().st_uid, kept.stat().st_gid) == (1000, 2000)
    assert os.readlink(folder / "d") == "c"
    vm.box("sh", "-c", "echo named > /v/x", options=["-v", "vm-named:/v"])
    assert vm.box("cat", "/v/x", options=["-v", "vm-named:/v"]).stdout == "named\n"
    vm.run("volume", "rm", "vm-named")


@pytest.mark.podman
def test_podman_keeps_what_was_written(vm):
    name = vm.spawn("sh", "-c", "cat /kept 2>/dev/null || echo first; echo again > /kept")
    assert vm.out("wait", name) == "0"
    vm.run("start", name, timeout=BOOT)
    assert vm.out("wait", name) == "0"
    assert vm.out("logs", name).split() == ["first", "again"]


@pytest.mark.podman
def test_podman_sizes_are_those_of_the_machine(vm):
    script = "nproc; grep MemTotal /proc/meminfo"
    done = vm.box("sh", "-c", script, options=["--memory", "300m", "--cpus", "1.5"])
    total = int(done.lines[1].split()[1])
    assert done.lines[0] == "2" and 200 << 10 < total <= 300 << 10
    other = vm.box("sh", "-c", script, options=["--annotation", "krun.cpus=1", "--annotation", "krun.ram_mib=200"])
    total = int(other.lines[1].split()[1])
    assert other.lines[0] == "1" and 120 << 10 < total <= 200 << 10


@pytest.mark.podman
def test_podman_update(vm):
    name = vm.spawn("sleep", "1000", options=["--memory", "200m"])
    vm.run("update", "--memory", "100m", name)
    assert vm.out("exec", name, "cat", "/sys/fs/cgroup/memory.max") == str(100 << 20)


@pytest.mark.podman
def test_podman_memory_runs_out_in_the_machine(vm):
    """The guest's kernel ends the program, not the agent, and the exit code is the program's."""
    vm.box("tail", "/dev/zero", options=["--memory", "160m"], code=137)


@pytest.mark.podman
def test_podman_s_bridge_and_a_published_port(vm):
    port = harness.free_port()
    web = vm.spawn("httpd", "-f", "-p", "80", "-h", "/www", network="bridge", options=["-p", f"127.0.0.1:{port}:80"])
    page = engines.Client(["curl", "-sf", "--max-time", "10", f"http://127.0.0.1:{port}/index.html"],
                          engines.environment())
    harness.wait_for(lambda: page.run(check=False).stdout == "hello from a container\n", timeout=30, what="the page")
    address = vm.inspect(web)["NetworkSettings"]["IPAddress"]
    # What comes from the bridge, and what goes out to it, from a machine and from a container without one.
    fetch = ["wget", "-qO-", f"http://{address}/"]
    assert vm.run("run", "--rm", *KRUN, "box", *fetch, timeout=BOOT).stdout == "hello from a container\n"
    assert vm.run("run", "--rm", "box", *fetch).stdout == "hello from a container\n"
    assert address in vm.out("exec", web, "ip", "-o", "-4", "addr")
    gateway = vm.inspect(web)["NetworkSettings"]["Gateway"]
    assert f"default via {gateway}" in vm.out("exec", web, "ip", "route")


@pytest.mark.podman
def test_podman_rm_leaves_nothing(vm, podman):
    def mounts() -> set[str]:  # other tests have theirs
        return {line for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()
                if str(podman.base) in line}
    before = mounts()
    name = vm.spawn("sleep", "1000", network="bridge")
    pid = vm.inspect(name)["State"]["Pid"]
    assert pid in machines()
    group = harness.cgroup_directory(pid, "memory")
    vm.run("rm", "--force", "--time", "0", name)
    harness.wait_for(lambda: not machines(), what="the end of the machine")
    assert not group.exists()
    assert not mounts() - before
    vm.run("container", "exists", name, code=1)


@pytest.mark.podman
def test_podman_hears_of_a_machine_that_was_killed(vm):
    name = vm.spawn("sleep", "1000")
    group = harness.cgroup_directory(vm.inspect(name)["State"]["Pid"], "memory")
    pids = [int(word) for word in (group / "cgroup.procs").read_text().split()]
    qemu = next(pid for pid in pids if "qemu" in pathlib.Path(f"/proc/{pid}/comm").read_text())
    os.kill(qemu, 9)
    assert vm.out("wait", name) == "134"
    assert "the virtual machine ended unexpectedly" in vm.run("logs", name).stderr


# ---------------------------------------------------------------- containerd

@pytest.fixture
def ctr(containerd):
    yield containerd
    containerd.remove_all()


@pytest.mark.containerd
def test_containerd_runs_in_a_machine(ctr):
    done = ctr.box("one", "sh", "-c", "echo $A; cat /proc/sys/kernel/osrelease; exit 77",
                   options=[*KRUN, "--env", "A=b c"], timeout=BOOT, code=77)
    assert done.lines[0] == "b c" and done.lines[1] != os.uname().release


@pytest.mark.containerd
def test_containerd_exec_pause_kill(ctr):
    ctr.run("run", "--detach", *ctr.runtime, *KRUN, ctr.image, "one", "sh", "-c",
            "trap 'exit 9' TERM; while :; do sleep 0.1; done", timeout=BOOT)
    done = ctr.run("task", "exec", "--exec-id", "e", "one", "sh", "-c", "cat /proc/sys/kernel/osrelease; exit 6",
                   code=6)
    assert done.stdout.strip() != os.uname().release
    terminal = ctr.terminal("task", "exec", "--tty", "--exec-id", "t", "one", "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/", timeout=30)
    terminal.expect("42", timeout=30)
    terminal.send("exit 5\n")
    assert terminal.wait(60) == 5
    terminal.close()
    ctr.run("task", "pause", "one")
    assert ctr.status("one") == "PAUSED"
    ctr.run("task", "resume", "one")
    ctr.run("task", "kill", "--signal", "TERM", "one")
    harness.wait_for(lambda: ctr.status("one") == "STOPPED", timeout=30, what="the end")
    assert "exit code 9" in ctr.run("task", "delete", "one").stderr


# ---------------------------------------------------------------- docker

@pytest.fixture(scope="session")
def docker_engine(scratch):
    """A dockerd with a runtime named krun. It has no way to give annotations to a container: the name of
    the program asks for a machine, and dockerd's environment for what is not yet ripe."""
    base = scratch / "dvm"
    base.mkdir()
    link = base / "krun"
    link.symlink_to(engines.RUNTIME)
    docker = engines.Docker(base, {"krun": {"path": str(link)}}, TRIVET_EXPERIMENTAL="1")
    yield docker
    docker.close()


@pytest.fixture
def dock(docker_engine):
    yield docker_engine
    docker_engine.remove_all()


def run_docker(docker, *words, options=("--network", "none"), **settings):
    return docker.run("run", "--runtime", "krun", *options, "box", *words, timeout=BOOT, **settings)


@pytest.mark.docker
def test_docker_s_krun_is_ours(dock):
    done = run_docker(dock, "sh", "-c", "cat; cat /proc/sys/kernel/osrelease; exit 77", stdin="typed\n", code=77,
                      options=["--rm", "-i", "--network", "none"])
    assert done.lines[0] == "typed" and done.lines[1] != os.uname().release


@pytest.mark.docker
def test_docker_logs_exec_stop(dock):
    name = run_docker(dock, "sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done",
                      options=["-d", "--network", "none"]).stdout.strip()
    harness.wait_for(lambda: dock.out("logs", name) == "up", timeout=30, what="the program's word")
    assert dock.run("exec", name, "sh", "-c", "echo inside; exit 7", code=7).stdout == "inside\n"
    dock.run("pause", name)
    dock.run("unpause", name)
    dock.run("stop", "--time", "500", name, timeout=BOOT)
    assert dock.inspect(name)["State"]["ExitCode"] == 9


@pytest.mark.docker
def test_docker_s_bridge_and_a_published_port(dock):
    port = harness.free_port()
    run_docker(dock, "httpd", "-f", "-p", "80", "-h", "/www",
               options=["-d", "-p", f"127.0.0.1:{port}:80", "--name", "web"])
    page = engines.Client(["curl", "-sf", "--max-time", "10", f"http://127.0.0.1:{port}/index.html"],
                          engines.environment())
    harness.wait_for(lambda: page.run(check=False).stdout == "hello from a container\n", timeout=30, what="the page")
    address = dock.inspect("web")["NetworkSettings"]["IPAddress"]
    fetched = dock.run("run", "--rm", "box", "wget", "-qO-", f"http://{address}/")
    assert fetched.stdout == "hello from a container\n"
