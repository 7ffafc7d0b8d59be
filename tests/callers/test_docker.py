"""dockerd with trivet-oci as its runtime, through the docker command line."""

from __future__ import annotations

import pathlib
import time

import pytest

import engines
import harness

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("code", [0, 1, 7, 125, 126, 127, 255])
def test_the_exit_code_is_the_program_s(docker, code):
    done = docker.box("sh", "-c", f"echo out; echo err >&2; exit {code}", code=code)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("program,code,words", [
    ("no-such-program", 127, "executable file not found in $PATH"),
    ("/no/such/program", 127, "no such file or directory"),
    ("/bin/no-such-interpreter", 127, "no such file or directory"),
    ("/bin/not-executable", 126, "permission denied"),
    ("/etc", 126, "permission denied"),
])
def test_a_program_that_cannot_run_is_126_or_127(docker, program, code, words):
    failed = docker.box(program, code=code)
    assert words in failed.stderr and "OCI runtime" in failed.stderr


def test_death_by_a_signal(docker):
    assert docker.box("sh", "-c", "kill -9 $$; sleep 5", options=["--init"], code=137)


def test_the_runtime_is_ours(docker):
    runtimes = docker.run("info", "--format", "{{json .Runtimes}}").json()
    assert runtimes["trivet"]["path"].endswith("trivet-oci")
    name = docker.spawn("sleep", "100")
    assert docker.inspect(name)["HostConfig"]["Runtime"] == "trivet"


def test_a_runtime_with_arguments(docker):
    assert docker.box("echo", "fine", options=["--runtime", "trivet-debug"]).stdout == "fine\n"


def test_streams_and_a_terminal(docker):
    assert docker.box("tr", "a-z", "A-Z", options=["-i"], stdin="some text\n").stdout == "SOME TEXT\n"
    terminal = docker.terminal("run", "--rm", "-it", "--network", "none", "box", "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("42")
    engines.resize(terminal, 33, 77)
    terminal.send("exit 5\n")
    assert terminal.wait() == 5
    terminal.close()


def test_user_directory_environment_and_names(docker):
    done = docker.box("sh", "-c", "id -u; id -g; id -G; pwd; echo $X; hostname",
                      options=["--user", "app", "--group-add", "2000", "--workdir", "/www", "--env",
                               "X=y z", "--hostname", "ship"])
    assert done.lines == ["1000", "1000", "1000 2000", "/www", "y z", "ship"]


def test_exec(docker):
    name = docker.spawn("sleep", "100")
    both = docker.run("exec", name, "sh", "-c", "echo out; echo err >&2; exit 6", code=6)
    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    assert docker.out("exec", "--user", "app", "--workdir", "/www", "--env", "B=2", name, "sh", "-c",
                      "id -u; pwd; echo $B").split() == ["1000", "/www", "2"]
    assert docker.run("exec", "-i", name, "cat", stdin="through\n").stdout == "through\n"
    docker.run("exec", "--detach", name, "sleep", "50")
    harness.wait_for(lambda: "sleep 50" in docker.out("top", name), what="the detached process")
    status = docker.out("exec", "--privileged", name, "grep", "CapEff", "/proc/self/status")
    assert int(status.split()[1], 16) & 1 << 21  # CAP_SYS_ADMIN


@pytest.mark.parametrize("program,codes,words", [
    ("no-such-program", (126, 127), "executable file not found in $PATH"),  # 126 before Docker 23
    ("/no/such", (126, 127), "no such file or directory"),
    ("/bin/not-executable", (126,), "permission denied"), ("/etc", (126,), "permission denied")])
def test_an_exec_that_cannot_run(docker, program, codes, words):
    name = docker.spawn("sleep", "100")
    done = docker.run("exec", name, program, check=False)
    assert done.returncode in codes and words in done.stdout + done.stderr


def test_exec_on_a_terminal(docker):
    name = docker.spawn("sleep", "100")
    terminal = docker.terminal("exec", "-it", name, "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/")
    terminal.expect("42")
    terminal.send("exit 8\n")
    assert terminal.wait() == 8
    terminal.close()


def test_stop_kill_and_wait(docker):
    polite = docker.spawn("sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done")
    harness.wait_for(lambda: "up" in docker.out("logs", polite), what="the shell")
    docker.run("stop", polite)
    assert docker.out("wait", polite) == "9" and "bye" in docker.out("logs", polite)
    deaf = docker.spawn("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    docker.run("stop", "--time", "1", deaf)
    assert docker.out("wait", deaf) == "137"
    other = docker.spawn("sh", "-c", "trap 'exit 5' HUP; echo up; while :; do sleep 0.05; done")
    harness.wait_for(lambda: "up" in docker.out("logs", other), what="the shell")
    docker.run("kill", "--signal", "HUP", other)
    assert docker.out("wait", other) == "5"


def test_pause_and_unpause(docker):
    name = docker.spawn("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    docker.run("pause", name)
    assert docker.status(name) == "paused"
    before = docker.out("logs", name)
    time.sleep(0.4)
    assert docker.out("logs", name) == before
    docker.run("unpause", name)
    harness.wait_for(lambda: docker.out("logs", name) != before, what="it goes on")


def test_restart_and_a_restart_policy(docker):
    name = docker.spawn("sh", "-c", "echo started; sleep 100")
    docker.run("restart", "--time", "0", name)
    harness.wait_for(lambda: docker.out("logs", name).split() == ["started", "started"], what="twice")
    name = docker.spawn("sh", "-c", "echo run; exit 1", options=["--restart", "on-failure:2"])
    harness.wait_for(lambda: docker.out("logs", name).count("run") == 3, what="three runs")


def limit_of(docker, name: str, controller: str, *files: str) -> str:
    folder = harness.cgroup_directory(docker.inspect(name)["State"]["Pid"], controller)
    return next(folder / file for file in files if (folder / file).exists()).read_text().strip()


def test_limits_stats_and_update(docker):
    name = docker.spawn("sleep", "100", options=["--memory", "64m", "--memory-swap", "64m", "--cpus",
                                                 "0.5", "--cpu-shares", "512", "--pids-limit", "77",
                                                 "--cpuset-cpus", "0", "--blkio-weight", "200"])
    memory = ("memory.limit_in_bytes", "memory.max")
    assert limit_of(docker, name, "memory", *memory) == str(64 << 20)
    assert limit_of(docker, name, "pids", "pids.max") == "77"
    assert limit_of(docker, name, "cpuset", "cpuset.cpus") == "0"
    assert "64MiB" in docker.out("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", name)
    docker.run("update", "--memory", "96m", "--memory-swap", "96m", "--pids-limit", "50", name)
    assert limit_of(docker, name, "memory", *memory) == str(96 << 20)
    assert limit_of(docker, name, "pids", "pids.max") == "50"


def test_out_of_memory(docker):
    name = docker.spawn("sh", "-c", "x=a; while :; do x=$x$x; done",
                        options=["--memory", "16m", "--memory-swap", "16m"])
    assert docker.out("wait", name) == "137"
    harness.wait_for(lambda: docker.inspect(name)["State"]["OOMKilled"], what="OOMKilled")


def test_capabilities_seccomp_and_no_new_privileges(docker):
    status = docker.box("cat", "/proc/self/status", options=["--cap-drop", "all", "--cap-add", "CHOWN",
                                                             "--security-opt", "no-new-privileges"]).stdout
    assert "CapEff:\t0000000000000001" in status and "CapBnd:\t0000000000000001" in status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert docker.box("unshare", "-U", "true", check=False).returncode != 0
    docker.box("unshare", "-U", "true", options=["--security-opt", "seccomp=unconfined"])


def test_volumes_tmpfs_and_a_read_only_root(docker):
    shared = docker.base / "shared"
    shared.mkdir()
    (shared / "in").write_text("from the host\n")
    done = docker.box("sh", "-c", "cat /a/in; touch /kept/x /scratch/x && ! touch /b/no && ! touch /no;"
                      "grep ' /scratch ' /proc/mounts",
                      options=["--read-only", "-v", f"{shared}:/a", "-v", f"{shared}:/b:ro", "-v",
                               "kept:/kept", "--tmpfs", "/scratch:size=1m"])
    assert done.lines[0] == "from the host" and "size=1024k" in done.lines[-1]
    docker.run("volume", "rm", "kept")


def test_devices_ulimit_sysctl_and_shm(docker):
    done = docker.box("sh", "-c", "head -c 4 /dev/nothing | wc -c; ulimit -n; "
                      "cat /proc/sys/net/ipv4/ip_forward; df -k /dev/shm | tail -n 1",
                      options=["--device", "/dev/zero:/dev/nothing:r", "--ulimit", "nofile=100:100",
                               "--sysctl", "net.ipv4.ip_forward=1", "--shm-size", "2m"])
    assert done.lines[:3] == ["4", "100", "1"] and "2048" in done.lines[3]


def test_the_host_s_and_another_container_s_namespaces(docker):
    done = docker.run("run", "--rm", "--network", "host", "--pid", "host", "--uts", "host", "box",
                      "sh", "-c", "for n in net pid uts; do readlink /proc/self/ns/$n; done")
    assert done.lines == [str(pathlib.Path(f"/proc/self/ns/{n}").readlink()) for n in ("net", "pid", "uts")]
    name = docker.spawn("sleep", "100", options=["--ipc", "shareable"])
    done = docker.run("run", "--rm", "--network", f"container:{name}", "--pid", f"container:{name}",
                      "--ipc", f"container:{name}", "box", "sh", "-c",
                      "for n in net pid ipc; do readlink /proc/self/ns/$n; done")
    pid = docker.inspect(name)["State"]["Pid"]
    assert done.lines == [str(pathlib.Path(f"/proc/{pid}/ns/{n}").readlink()) for n in ("net", "pid", "ipc")]


def test_a_bridge_and_a_published_port(docker):
    port = harness.free_port()
    docker.run("run", "-d", "-p", f"127.0.0.1:{port}:80", "--name", "web", "box", "httpd", "-f", "-p",
               "80", "-h", "/www")
    page = engines.Client(["curl", "-sf", f"http://127.0.0.1:{port}/index.html"], engines.environment())
    harness.wait_for(lambda: page.run(check=False).stdout == "hello from a container\n", what="the page")
    address = docker.inspect("web")["NetworkSettings"]["IPAddress"]
    assert docker.run("run", "--rm", "box", "wget", "-qO-", f"http://{address}/").stdout == \
        "hello from a container\n"


def test_a_health_check(docker):
    name = docker.spawn("sleep", "100", options=["--health-cmd", "true", "--health-interval", "200ms"])
    harness.wait_for(lambda: docker.inspect(name)["State"]["Health"]["Status"] == "healthy", what="health")


def test_copy_commit_and_build(docker):
    name = docker.spawn("sleep", "100")
    (docker.base / "copied").write_text("to and fro\n")
    docker.run("cp", docker.base / "copied", f"{name}:/tmp/x")
    assert docker.out("exec", name, "cat", "/tmp/x") == "to and fro"
    docker.run("commit", name, "made")
    assert docker.out("run", "--rm", "--network", "none", "made", "cat", "/tmp/x") == "to and fro"
    folder = docker.base / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM box\nRUN echo built > /built\nRUN cat /built\n")
    docker.run("build", "--network", "none", "-t", "built", folder)
    assert docker.out("run", "--rm", "--network", "none", "built", "cat", "/built") == "built"


def test_a_failing_create_leaves_nothing(docker):
    failed = docker.box("true", options=["--sysctl", "net.nosuch.thing=1"], check=False)
    assert failed.returncode not in (0, 139) and "nosuch" in failed.stderr
    left = [folder for folder in pathlib.Path("/sys/fs/cgroup").glob("*/docker/*") if folder.is_dir()]
    assert left == []
