"""The process and its properties: config.md "Process" and "Linux Process"."""

from __future__ import annotations

import os
import pathlib
import re
import resource

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup]


def status(pid: int, field: str) -> str:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"^{field}:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)[1]


def numbers(names: list[str]) -> int:
    known = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
             "CAP_NET_BIND_SERVICE": 10, "CAP_AUDIT_WRITE": 29}
    return sum(1 << known[name] for name in names)


def test_arguments_environment_and_directory(container):
    container.process["env"] = ["PATH=/bin", "EMPTY=", "A=b c=d", "QUOTE='\"$x"]
    container.process["cwd"] = "/etc"
    pid = container.running("sh", "-c", "sleep 1000; :", "zero", "", "a b")
    base = pathlib.Path(f"/proc/{pid}")
    assert base.joinpath("cmdline").read_bytes().split(b"\0")[3:] == [b"zero", b"", b"a b", b""]
    environment = base.joinpath("environ").read_bytes().split(b"\0")
    for entry in container.process["env"]:
        assert entry.encode() in environment
    assert os.readlink(base / "cwd") == "/etc"


def test_user_groups_and_umask(container):
    container.process["user"] = {"uid": 12, "gid": 34, "additionalGids": [56, 78], "umask": 0o27}
    pid = container.running()
    assert status(pid, "Uid").split() == ["12"] * 4
    assert status(pid, "Gid").split() == ["34"] * 4
    assert sorted(map(int, status(pid, "Groups").split())) in ([56, 78], [34, 56, 78])
    assert status(pid, "Umask") == "0027"


def test_no_groups_are_inherited(container):
    pid = container.running()
    assert status(pid, "Groups") in ("", "0")


def test_each_set_of_capabilities(container):
    sets = {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_AUDIT_WRITE"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
            "effective": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_SETUID"],
            "ambient": ["CAP_CHOWN"]}
    container.process["capabilities"] = sets
    # Not root: an exec gives root whatever is in the bounding set (capabilities(7)).
    container.process["user"] = {"uid": 1000, "gid": 1000}
    pid = container.running()
    assert int(status(pid, "CapBnd"), 16) == numbers(sets["bounding"])
    assert int(status(pid, "CapInh"), 16) == numbers(sets["inheritable"])
    assert int(status(pid, "CapAmb"), 16) == numbers(["CAP_CHOWN"])
    assert int(status(pid, "CapPrm"), 16) == numbers(["CAP_CHOWN"])
    assert int(status(pid, "CapEff"), 16) == numbers(["CAP_CHOWN"])


def test_no_capabilities_at_all(container):
    container.process["capabilities"] = {}
    pid = container.running()
    for kind in ("CapBnd", "CapInh", "CapAmb", "CapPrm", "CapEff"):
        assert int(status(pid, kind), 16) == 0, kind


@pytest.mark.parametrize("name", ["CAP_BOGUS", "CAP_SYS_RESOURCE"])
def test_a_capability_that_cannot_be_granted_is_no_failure(container, name):
    """CAP_SYS_RESOURCE is one where this process itself lacks it."""
    for kind in container.process["capabilities"].values():
        kind.append(name)
    assert container.output("echo fine").endswith("fine\n")


@pytest.mark.parametrize("value", [True, False])
def test_no_new_privileges(container, value):
    container.process["noNewPrivileges"] = value
    assert status(container.running(), "NoNewPrivs") == str(int(value))


def test_resource_limits(container):
    wanted = {"RLIMIT_NOFILE": (100, 200), "RLIMIT_CORE": (0, 0), "RLIMIT_CPU": (60, 120),
              "RLIMIT_FSIZE": (1 << 20, 1 << 21), "RLIMIT_STACK": (1 << 20, 1 << 22),
              "RLIMIT_NPROC": (50, 60), "RLIMIT_AS": (1 << 30, 1 << 31)}
    container.process["rlimits"] = [{"type": name, "soft": soft, "hard": hard}
                                    for name, (soft, hard) in wanted.items()]
    pid = container.running()
    for name, limits in wanted.items():
        assert resource.prlimit(pid, getattr(resource, name)) == limits, name


def test_a_limit_of_infinity(container):
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the limit of the tests themselves is finite")
    infinity = (1 << 64) - 1
    container.process["rlimits"] = [{"type": "RLIMIT_FSIZE", "soft": infinity, "hard": infinity}]
    pid = container.running()
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (resource.RLIM_INFINITY,) * 2


def test_oom_score_adjustment(container):
    container.process["oomScoreAdj"] = 321
    pid = container.running()
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "321\n"


def test_the_scheduler(container):
    container.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    pid = container.running()
    if os.sched_getscheduler(pid) == os.SCHED_OTHER and os.environ.get("RUNTIME"):
        pytest.skip("a peer older than the property")
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert os.getpriority(os.PRIO_PROCESS, pid) == 7


def test_a_scheduler_that_is_unknown_is_an_error(container):
    container.process["scheduler"] = {"policy": "SCHED_BOGUS"}
    assert container.create(check=False).returncode != 0


def test_the_io_priority(container):
    container.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    pid = container.running()
    printed = os.popen(f"ionice -p {pid}").read()
    if "idle" not in printed and os.environ.get("RUNTIME"):
        pytest.skip("a peer older than the property")
    assert printed == "idle\n"


def test_the_personality(container):
    container.linux["personality"] = {"domain": "LINUX32"}
    pid = container.running()
    assert int(pathlib.Path(f"/proc/{pid}/personality").read_text(), 16) == 8


def test_the_program_is_found_in_the_path_of_the_container(container):
    container.process["env"] = ["PATH=/nowhere:/bin"]
    assert container.output("echo found") == "found\n"


def test_exec_gets_the_properties_of_the_process(container):
    container.process["user"] = {"uid": 12, "gid": 34, "additionalGids": [56]}
    container.process["noNewPrivileges"] = True
    container.process["oomScoreAdj"] = 100
    container.running()
    text = container("exec", container.name, "cat", "/proc/self/status").stdout
    assert "Uid:\t12\t12\t12\t12" in text and "Gid:\t34\t34\t34\t34" in text
    assert "NoNewPrivs:\t1" in text
    assert container("exec", container.name, "cat", "/proc/self/oom_score_adj").stdout == "100\n"


def test_a_filter_of_system_calls(container):
    container.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71}]}
    assert "Protocol error" in container.output("mkdir /dev/shm/x 2>&1")
