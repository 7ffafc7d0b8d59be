"""podman run: what a program finds, what it may, and what comes of it."""

from __future__ import annotations

import json
import pathlib

import pytest

import engines
import harness

pytestmark = pytest.mark.podman


@pytest.mark.parametrize("code", [0, 1, 7, 125, 126, 127, 255])
def test_the_exit_code_is_the_program_s(podman, code):
    done = podman.box("sh", "-c", f"echo out; echo err >&2; exit {code}", code=code)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("program,code,words", [
    ("no-such-program", 127, "executable file not found in $PATH"),
    ("/no/such/program", 127, "no such file or directory"),
    # Found out by start, whose text podman does not look at.
    ("/bin/no-such-interpreter", 126, "no such file or directory"),
    ("/bin/not-executable", 126, "permission denied"),
    ("/etc", 126, "is a directory"),
])
def test_a_program_that_cannot_run_is_126_or_127(podman, program, code, words):
    assert words in podman.box(program, code=code).stderr


def test_what_podman_itself_refuses_is_125(podman):
    podman.box("true", options=["--no-such-option"], code=125)


@pytest.mark.parametrize("signal,code", [("TERM", 143), ("KILL", 137), ("SEGV", 139)])
def test_death_by_a_signal_is_128_and_its_number(podman, signal, code):
    # pid 1 ignores what it has no handler for: --init is pid 1, the program is not.
    podman.box("sh", "-c", f"kill -{signal} $$; sleep 5", options=["--init"], code=code)


def test_streams_go_in_and_out(podman):
    assert podman.box("tr", "a-z", "A-Z", options=["-i"], stdin="some text\n").stdout == "SOME TEXT\n"


def test_user_groups_directory_environment_and_names(podman):
    done = podman.box("sh", "-c", "id -u; id -g; id -G; pwd; echo $X; hostname; umask; echo $HOME",
                      options=["--user", "app", "--group-add", "2000", "--workdir", "/www", "--env",
                               "X=y z", "--hostname", "ship", "--umask", "0027"])
    assert done.lines == ["1000", "1000", "1000 2000", "/www", "y z", "ship", "0027", "/home/app"]


def test_a_terminal(podman):
    terminal = podman.terminal("run", "--rm", "-it", "--network", "none", "box", "sh")
    terminal.send("tty; echo $((6*7))\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("42")
    engines.resize(terminal, 33, 77)
    terminal.send("exit 5\n")
    assert terminal.wait() == 5
    terminal.close()


def test_init_reaps_what_it_inherits(podman):
    name = podman.spawn("sh", "-c", "sh -c 'sleep 0.1 & exit'; sleep 100", options=["--init"])
    assert podman.out("exec", name, "cat", "/proc/1/comm") in ("catatonit", "podman-init")
    harness.wait_for(lambda: "Z" not in podman.out("exec", name, "ps", "-o", "stat"), what="reaped")


@pytest.mark.parametrize("options,mask", [
    (["--cap-drop", "all"], 0),
    (["--cap-drop", "all", "--cap-add", "CHOWN", "--cap-add", "NET_RAW"], 1 << 0 | 1 << 13),
])
def test_capabilities(podman, options, mask):
    status = podman.box("grep", "Cap", "/proc/self/status", options=options).stdout
    sets = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines()}
    assert sets["CapEff:"] == sets["CapPrm:"] == sets["CapBnd:"] == mask
    assert sets["CapAmb:"] == 0


def test_a_user_other_than_root_has_none(podman):
    status = podman.box("grep", "CapEff", "/proc/self/status", options=["--user", "1000"]).stdout
    assert int(status.split()[1], 16) == 0


def test_no_new_privileges_and_seccomp(podman):
    text = podman.box("cat", "/proc/self/status", options=["--security-opt", "no-new-privileges"]).stdout
    assert "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text
    text = podman.box("cat", "/proc/self/status", options=["--security-opt", "seccomp=unconfined"]).stdout
    assert "NoNewPrivs:\t0" in text and "Seccomp:\t0" in text


def test_a_seccomp_profile_of_one_s_own(podman):
    profile = podman.base / "seccomp.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"],'
                       ' "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}')
    done = podman.box("mkdir", "/x", options=["--security-opt", f"seccomp={profile}"], code=1)
    assert "No space left on device" in done.stderr


def test_ulimit_and_sysctl(podman):
    options = ["--ulimit", "nofile=100:200", "--ulimit", "nproc=3000:4000", "--sysctl",
               "net.ipv4.ip_forward=1", "--sysctl", "kernel.shm_rmid_forced=1"]
    done = podman.box("sh", "-c", "ulimit -Sn; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward "
                      "/proc/sys/kernel/shm_rmid_forced", options=options)
    assert done.lines == ["100", "200", "1", "1"]


def test_a_sysctl_that_is_not_the_container_s_is_refused(podman):
    done = podman.box("true", options=["--sysctl", "kernel.panic=1"], check=False)
    assert done.returncode in (125, 126) and "kernel.panic" in done.stderr


def limit_file(podman, name: str, version1: str, version2: str) -> str:
    pid = podman.inspect(name)["State"]["Pid"]
    controller = version1.split(".")[0]
    folder = harness.cgroup_directory(pid, controller)
    for file in (version1, version2):
        if (folder / file).exists():
            return (folder / file).read_text().strip()
    raise FileNotFoundError(f"{folder}/{version1}")


def test_limits(podman):
    name = podman.spawn("sleep", "100", options=["--memory", "64m", "--memory-swap", "128m",
                                                 "--memory-reservation", "32m", "--cpus", "0.5",
                                                 "--cpu-shares", "512", "--cpuset-cpus", "0",
                                                 "--pids-limit", "77", "--blkio-weight", "200"])
    assert limit_file(podman, name, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert limit_file(podman, name, "pids.max", "pids.max") == "77"
    assert limit_file(podman, name, "cpuset.cpus", "cpuset.cpus") == "0"
    assert limit_file(podman, name, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


def test_out_of_memory(podman):
    name = podman.spawn("sh", "-c", "x=a; while :; do x=$x$x; done",
                        options=["--memory", "16m", "--memory-swap", "16m"])
    assert podman.out("wait", name) == "137"


def test_the_pids_limit_holds(podman):
    done = podman.box("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait",
                      options=["--pids-limit", "5"], check=False)
    assert "fork" in done.stderr


def test_volumes(podman):
    shared = podman.base / "shared"
    shared.mkdir()
    (shared / "in").write_text("from the host\n")
    podman.run("volume", "create", "kept")
    podman.box("sh", "-c", "cat /a/in > /kept/x; echo back > /a/out; ! touch /b/no",
               options=["-v", f"{shared}:/a", "-v", f"{shared}:/b:ro", "-v", "kept:/kept"])
    assert (shared / "out").read_text() == "back\n"
    assert podman.box("cat", "/kept/x", options=["-v", "kept:/kept:ro"]).stdout == "from the host\n"
    podman.run("volume", "rm", "kept")


def test_a_file_bound_over_a_missing_one(podman):
    note = podman.base / "note"
    note.write_text("bound\n")
    assert podman.box("cat", "/new/dir/note", options=["-v", f"{note}:/new/dir/note:ro"]).stdout == "bound\n"


def test_a_mount_of_a_missing_source_fails(podman):
    done = podman.box("true", options=["--mount", "type=bind,source=/no/such,target=/x"], check=False)
    assert done.returncode == 125 and "/no/such" in done.stderr


def test_a_tmpfs(podman):
    done = podman.box("sh", "-c", "grep ' /scratch ' /proc/mounts; touch /scratch/x",
                      options=["--mount", "type=tmpfs,destination=/scratch,tmpfs-size=1m,notmpcopyup"])
    assert "tmpfs" in done.stdout and "size=1024k" in done.stdout


def test_a_tmpfs_takes_what_it_covers(podman):
    assert podman.box("cat", "/www/index.html", options=["--tmpfs", "/www"]).stdout == \
        "hello from a container\n"


def test_a_read_only_root(podman):
    done = podman.box("sh", "-c", "touch /x", options=["--read-only", "--read-only-tmpfs=false"], code=1)
    assert "Read-only file system" in done.stderr


def test_a_read_only_root_with_writable_temporaries(podman):
    assert podman.box("sh", "-c", "touch /tmp/x /run/y && echo fine", options=["--read-only"]).stdout == \
        "fine\n"


def test_an_init_system_gets_what_it_wants(podman):
    done = podman.box("sh", "-c", "grep -c ' /run tmpfs' /proc/mounts; ls -d /run/lock",
                      options=["--systemd", "always"])
    assert done.lines == ["1", "/run/lock"]


def test_a_volume_as_an_overlay_and_an_image_as_a_volume(podman):
    lower = podman.base / "lower"
    lower.mkdir()
    (lower / "x").write_text("below\n")
    done = podman.box("sh", "-c", "cat /y/x; touch /y/new; cat /img/www/index.html",
                      options=["-v", f"{lower}:/y:O", "--mount", "type=image,source=box,target=/img"])
    assert done.lines == ["below", "hello from a container"] and not (lower / "new").exists()


def test_ambient_capabilities_of_a_user(podman):
    status = podman.box("cat", "/proc/self/status", options=["--user", "1000", "--cap-add", "net_raw"]).stdout
    assert "CapEff:\t0000000000002000" in status and "CapAmb:\t0000000000002000" in status


def test_masked_paths_and_out_of_memory_score(podman):
    done = podman.box("sh", "-c", "wc -c < /proc/meminfo; cat /proc/self/oom_score_adj",
                      options=["--security-opt", "mask=/proc/meminfo", "--oom-score-adj", "100"])
    assert done.lines == ["0", "100"]


def test_a_device(podman):
    done = podman.box("sh", "-c", "head -c 4 /dev/nothing | wc -c; ls -l /dev/nothing | cut -c1",
                      options=["--device", "/dev/zero:/dev/nothing:r"])
    assert done.lines == ["4", "c"]
    refused = podman.box("sh", "-c", "mknod /dev/mem2 c 1 1 && head -c1 /dev/mem2",
                         options=["--cap-add", "MKNOD"], check=False)
    assert "not permitted" in refused.stderr


MAPPED = ["--network", "none", "--uidmap", "0:100000:2000", "--gidmap", "0:100000:2000"]


@pytest.fixture
def all_of_proc(podman):
    """podman where the whole of /proc is seen: the box covers /proc/cgroups, and then the kernel lets
    nobody mount a proc in a user namespace."""
    script = 'if mountpoint -q /proc/cgroups; then umount /proc/cgroups; fi; exec "$@"'
    return engines.Client(["unshare", "--mount", "sh", "-c", script, "sh", *podman.words], podman.env)


def test_a_user_namespace(podman, all_of_proc):
    closed = podman.base / "closed"
    (closed / "shared").mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "shared/x").write_text("bound\n")
    done = all_of_proc.run("run", "--rm", *MAPPED, "-v", f"{closed}/shared:/v", "box", "sh", "-c",
                           "id -u; cat /proc/self/uid_map; touch /own; stat -c %u /own; cat /v/x")
    assert done.lines[0] == "0" and done.lines[1].split() == ["0", "100000", "2000"]
    assert done.lines[2:] == ["0", "bound"]


def test_exec_in_a_user_namespace(podman, all_of_proc):
    name = all_of_proc.out("run", "-d", "--cgroupns", "private", *MAPPED, "box", "sleep", "100")
    done = all_of_proc.run("exec", name, "sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /made")
    assert done.lines[0] == "0" and done.lines[1].split() == ["0", "100000", "2000"]
    assert all_of_proc.out("exec", "--user", "1000:1000", name, "id", "-u") == "1000"
    assert all_of_proc.out("exec", "--tty", name, "tty") == "/dev/pts/0"


def test_the_user_namespace_of_another_container(podman, all_of_proc):
    name = all_of_proc.out("run", "-d", *MAPPED, "box", "sleep", "100")
    done = all_of_proc.run("run", "--rm", "--network", "none", "--userns", f"container:{name}", "box",
                           "cat", "/proc/self/uid_map")
    assert done.stdout.split() == ["0", "100000", "2000"]


def test_a_new_user_namespace_with_the_network_of_another_container(podman, all_of_proc):
    name = podman.spawn("sleep", "100")
    done = all_of_proc.run("run", "--rm", *MAPPED[2:], "--network", f"container:{name}", "box", "readlink",
                           "/proc/self/ns/net")
    pid = podman.inspect(name)["State"]["Pid"]
    assert done.stdout.strip() == str(pathlib.Path(f"/proc/{pid}/ns/net").readlink())


@pytest.mark.parametrize("options,kind", [
    (["--pid", "host"], "pid"), (["--ipc", "host"], "ipc"), (["--uts", "host"], "uts"),
    (["--cgroupns", "host"], "cgroup"), (["--network", "host"], "net"),
])
def test_a_namespace_of_the_host(podman, options, kind):
    done = podman.run("run", "--rm", "--network", "none", *options, "box", "readlink",
                      f"/proc/self/ns/{kind}", check=False) if kind != "net" else \
        podman.run("run", "--rm", *options, "box", "readlink", f"/proc/self/ns/{kind}")
    assert done.stdout.strip() == str(pathlib.Path(f"/proc/self/ns/{kind}").readlink()), done.stderr


def test_the_namespaces_of_another_container(podman):
    name = podman.spawn("sleep", "100")
    done = podman.run("run", "--rm", "--network", f"container:{name}", "--pid", f"container:{name}",
                      "--ipc", f"container:{name}", "box", "sh", "-c",
                      "for n in net pid ipc; do readlink /proc/self/ns/$n; done")
    pid = podman.inspect(name)["State"]["Pid"]
    assert done.lines == [str(pathlib.Path(f"/proc/{pid}/ns/{kind}").readlink())
                          for kind in ("net", "pid", "ipc")]


def test_without_cgroups(podman):
    assert podman.box("echo", "fine", options=["--cgroups", "disabled"]).stdout == "fine\n"


def test_preserved_descriptors(podman):
    done = podman.run("run", "--rm", "--network", "none", "--preserve-fds", "0", "box", "sh", "-c",
                      "ls /proc/self/fd | wc -l")
    assert done.stdout == "4\n"  # 0, 1, 2 and the directory itself


def test_hooks_of_the_engine(podman):
    hooks = podman.base / "hooks"
    hooks.mkdir(exist_ok=True)
    record = podman.base / "hook-ran"
    (hooks / "note.json").write_text(
        '{"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "cat > %s"]},'
        ' "when": {"always": true}, "stages": ["prestart"]}' % record)
    podman.run("--hooks-dir", hooks, "run", "--rm", "--network", "none", "box", "true")
    assert json.loads(record.read_text())["status"] in ("creating", "created")  # runtimes differ


def test_privileged(podman):
    done = podman.box("sh", "-c", "mount -t tmpfs x /tmp && echo mounted", options=["--privileged"])
    assert done.stdout == "mounted\n"


def test_a_warning_does_not_hide_the_error(podman):
    """podman reads the runtime's log as one error; a capability that can't be given is a warning."""
    failed = podman.box("no-such-program", options=["--cap-add", "SYS_RESOURCE"], code=127)
    assert "executable file" in failed.stderr and "not found" in failed.stderr
