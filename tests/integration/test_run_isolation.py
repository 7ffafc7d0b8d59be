"""What a container can't do, see or reach, by default and when asked otherwise."""

import errno
import json
import os
import pathlib
import re

import pytest

from harness import BIN_DIR

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

DOCKERS_14 = 0xa80425fb
CAP_NET_RAW = 13
CAP_SYS_PTRACE = 19


def status_of(trivet, *options, image="busybox"):
    text = trivet.box("cat", "/proc/self/status", options=options, image=image).stdout
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))


def exec_status(trivet, name, *options):
    text = trivet.run("exec", *options, name, "cat", "/proc/self/status").stdout
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))


# ---------------------------------------------------------------- capabilities

def test_capabilities_are_dockers_14(trivet):
    status = status_of(trivet)
    assert int(status["CapEff"], 16) == DOCKERS_14
    assert int(status["CapPrm"], 16) == DOCKERS_14
    assert int(status["CapBnd"], 16) == DOCKERS_14
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0


def test_a_user_other_than_root_has_none(trivet):
    status = status_of(trivet, "-u", "1000")
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert int(status["CapBnd"], 16) == DOCKERS_14


def test_capabilities_are_added_and_dropped(trivet):
    assert int(status_of(trivet, "--cap-drop", "ALL")["CapBnd"], 16) == 0
    dropped = int(status_of(trivet, "--cap-drop", "NET_RAW")["CapEff"], 16)
    assert dropped == DOCKERS_14 & ~(1 << CAP_NET_RAW)
    added = int(status_of(trivet, "--cap-add", "CAP_SYS_PTRACE")["CapEff"], 16)
    assert added == DOCKERS_14 | 1 << CAP_SYS_PTRACE
    only = int(status_of(trivet, "--cap-drop", "all", "--cap-add", "net_raw")["CapEff"], 16)
    assert only == 1 << CAP_NET_RAW


def test_an_unknown_capability_is_an_error(trivet):
    result = trivet.box("true", options=["--cap-add", "FLY"], check=False)
    assert result.returncode == 125
    assert "FLY" in result.stderr


def test_exec_has_the_same_limits_as_the_program(trivet):
    name = trivet.spawn("sleep", "600")
    status = exec_status(trivet, name)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == DOCKERS_14
    assert status["Seccomp"] == "2"
    assert exec_status(trivet, name, "-u", "1000")["CapEff"].strip("0") == ""


def test_privileged_is_what_the_host_has(trivet):
    host = dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path("/proc/self/status").read_text(), re.M))
    status = status_of(trivet, "--privileged")
    assert status["CapEff"] == host["CapEff"]
    assert status["Seccomp"] == "0"


# ---------------------------------------------------------------- seccomp

def test_the_default_seccomp_profile_is_on(trivet):
    status = status_of(trivet)
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "0"


def run_probe(trivet, probe, *options):
    text = trivet.box("/probe", options=["-v", f"{probe}:/probe:ro", *options]).stdout
    return {name: int(number) for name, number in (line.split() for line in text.splitlines())}


def test_dangerous_system_calls_are_refused(trivet, probe):
    results = run_probe(trivet, probe)
    assert results.pop("getpid") == 0
    # glibc falls back to clone(2) only when it is told that there is no clone3.
    assert results.pop("clone3") == errno.ENOSYS
    assert results == {name: errno.EPERM for name in results}


def test_the_profile_holds_without_root_as_well(trivet, probe):
    results = run_probe(trivet, probe, "-u", "1000")
    assert results["unshare"] == errno.EPERM
    assert results["keyctl"] == errno.EPERM


def test_seccomp_can_be_switched_off_by_name_only(trivet, probe):
    assert run_probe(trivet, probe, "--security-opt", "seccomp=unconfined")["keyctl"] != errno.EPERM
    result = trivet.box("true", options=["--security-opt", "seccomp=/no/such/profile"], check=False)
    assert result.returncode == 125 and "/no/such/profile" in result.stderr


def test_a_profile_of_ones_own(trivet, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}))
    options = ["--security-opt", f"seccomp={profile}"]
    result = trivet.box("mkdir", "/tmp/x", options=options, check=False)
    assert result.returncode != 0 and "No space left" in result.stderr
    trivet.box("touch", "/tmp/x", options=options)


def test_a_broken_profile_is_an_error(trivet, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_SMILE"}')
    result = trivet.box("true", options=["--security-opt", f"seccomp={profile}"], check=False)
    assert result.returncode == 125
    assert "SCMP_ACT_SMILE" in result.stderr


def test_no_new_privileges(trivet):
    assert status_of(trivet, "--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


# ---------------------------------------------------------------- files of the kernel

@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list",
                                  "/proc/sched_debug"])
def test_masked_files_are_empty(trivet, path):
    result = trivet.box("sh", "-c", f"[ ! -e {path} ] || wc -c < {path}")
    assert result.stdout.strip() in ("", "0")


@pytest.mark.parametrize("path", ["/proc/acpi", "/proc/scsi", "/sys/firmware"])
def test_masked_directories_are_empty(trivet, path):
    assert trivet.box("sh", "-c", f"[ ! -e {path} ] || ls -A {path}").stdout == ""


@pytest.mark.parametrize("command", [
    "echo x > /proc/sys/kernel/hostname", "echo h > /proc/sysrq-trigger",
    "echo 1 > /proc/irq/default_smp_affinity", "mkdir /sys/fs/cgroup/mine",
    "echo 0 > /sys/kernel/mm/transparent_hugepage/enabled",
    "for d in /sys/fs/cgroup /sys/fs/cgroup/memory; do echo 1 > $d/cgroup.procs && exit 0; done; exit 1",
])
def test_the_kernels_settings_can_not_be_written(trivet, command):
    result = trivet.box("sh", "-c", command, check=False)
    assert result.returncode != 0
    assert re.search("Read-only file system|Permission denied|nonexistent|can't create|No such file",
                     result.stderr)


def test_mask_and_unmask(trivet):
    options = ["--security-opt", "unmask=/proc/timer_list", "--security-opt", "mask=/proc/version"]
    result = trivet.box("sh", "-c", "wc -c < /proc/version; grep -c /proc/timer_list /proc/self/mountinfo",
                        options=options, check=False)
    assert result.stdout.split() == ["0", "0"]


def test_a_kernel_parameter_of_the_container(trivet):
    result = trivet.box("cat", "/proc/sys/kernel/shm_rmid_forced",
                        options=["--sysctl", "kernel.shm_rmid_forced=1"])
    assert result.stdout == "1\n"


def test_a_kernel_parameter_of_the_host_is_refused(trivet):
    result = trivet.box("true", options=["--sysctl", "kernel.panic=1"], check=False)
    assert result.returncode == 125
    assert "kernel.panic" in result.stderr


# ---------------------------------------------------------------- namespaces

KINDS = ("pid", "mnt", "uts", "ipc", "net", "cgroup")


def test_every_namespace_is_its_own(trivet):
    script = "for n in " + " ".join(KINDS) + "; do readlink /proc/self/ns/$n; done"
    inside = trivet.box("sh", "-c", script).stdout.split()
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS]
    assert [a for a, b in zip(inside, outside) if a == b] == []


@pytest.mark.parametrize("option,kind", [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts")])
def test_a_namespace_can_be_the_hosts(trivet, option, kind):
    inside = trivet.box("readlink", f"/proc/self/ns/{kind}", options=[option, "host"]).stdout.strip()
    assert inside == os.readlink(f"/proc/self/ns/{kind}")


def test_the_pid_namespace_can_be_another_containers(trivet):
    name = trivet.spawn("sleep", "600", options=["--name", "first"])
    first = trivet.out("exec", name, "readlink", "/proc/self/ns/pid")
    second = trivet.box("readlink", "/proc/self/ns/pid", options=["--pid", "container:first"])
    assert second.stdout.strip() == first


def test_the_ipc_namespace_can_not_be_another_containers(trivet):
    trivet.spawn("sleep", "600", options=["--name", "first"])
    refused = trivet.box("true", options=["--ipc", "container:first"], check=False)
    assert refused.returncode == 125
    assert "--ipc container:first" in refused.stderr


def test_only_its_own_processes_are_seen(trivet):
    rows = trivet.box("ps", "-o", "pid,args").stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["1"]


def test_nothing_of_the_host_is_mounted(trivet):
    mounts = trivet.box("cat", "/proc/self/mounts").stdout
    places = [line.split()[1] for line in mounts.splitlines()]
    assert places[0] == "/"
    assert all(place == "/" or place.startswith(("/proc", "/dev", "/sys", "/etc/")) for place in places)
    assert len([place for place in places if place == "/"]) == 1


# ---------------------------------------------------------------- devices and descriptors

def test_dev_has_the_usual_devices_and_no_more(trivet):
    names = set(trivet.box("ls", "/dev").stdout.split())
    assert names - {"core"} == {"fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
                     "stdin", "stdout", "tty", "urandom", "zero"}
    trivet.box("sh", "-c", "head -c 4 /dev/urandom > /dev/null && echo x > /dev/null")


def test_other_devices_can_not_be_used_even_when_made(trivet):
    result = trivet.box("sh", "-c", "mknod /tmp/disk b 8 0 && cat /tmp/disk", check=False)
    assert result.returncode != 0
    assert "Operation not permitted" in result.stderr


def test_a_device_is_given_on_request(trivet):
    options = ["--device", "/dev/zero:/dev/nought:r"]
    assert trivet.box("sh", "-c", "head -c 3 /dev/nought | wc -c", options=options).stdout == "3\n"
    result = trivet.box("true", options=["--device", "/dev/no-such-device"], check=False)
    assert result.returncode == 125 and "/dev/no-such-device" in result.stderr


def descriptors(text):
    """What `ls -l /proc/self/fd` shows, less the directory that ls itself opened."""
    rows = re.findall(r"(\d+) -> (.*)", text)
    return {int(number): target for number, target in rows if not re.match(r"/proc/\d+/fd", target)}


@pytest.mark.parametrize("how", ["foreground", "detached", "exec", "exec detached"])
def test_no_descriptor_leaks_into_the_container(trivet, how):
    # One that the caller of trivet leaks must not get through, either.
    leaked = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    listing = ("ls", "-l", "/proc/self/fd")
    try:
        if how == "foreground":
            process = trivet.start("run", "--rm", "--network", "none", "busybox", *listing,
                                   pass_fds=[leaked])
            text = process.communicate(timeout=60)[0].decode()
        elif how == "detached":
            name = trivet.spawn(*listing)
            trivet.run("wait", name)
            text = trivet.logs(name)
        else:
            name = trivet.spawn("sleep", "600")
            arguments = ["exec", name, *listing]
            if how == "exec detached":
                arguments = ["exec", "-d", name, "sh", "-c", "ls -l /proc/self/fd > /tmp/list; "
                             "mv /tmp/list /tmp/done"]
            process = trivet.start(*arguments, pass_fds=[leaked])
            text = process.communicate(timeout=60)[0].decode()
            if how == "exec detached":
                text = trivet.out("exec", name, "sh", "-c",
                                  "while [ ! -e /tmp/done ]; do sleep 0.1; done; cat /tmp/done")
    finally:
        os.close(leaked)
    assert set(descriptors(text)) == {0, 1, 2}, text


def test_the_container_never_holds_a_program_of_the_host(trivet):
    """CVE-2019-5736: /proc/self/exe of an entered process was the runtime's own binary."""
    before = {path.name: path.read_bytes() for path in BIN_DIR.glob("trivet*") if path.is_file()}
    result = trivet.box("/proc/self/exe", "--version", check=False)
    assert result.returncode != 0
    name = trivet.spawn("sleep", "600")
    trivet.run("exec", name, "/proc/self/exe", check=False)
    trivet.run("exec", name, "sh", "-c", "for p in /proc/[0-9]*; do echo x > $p/exe; done", check=False)
    targets = trivet.out("exec", name, "sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done",
                         check=False).split()
    assert set(targets) == {"/bin/busybox"}
    after = {path.name: path.read_bytes() for path in BIN_DIR.glob("trivet*") if path.is_file()}
    assert after == before


def test_a_working_directory_outside_is_not_reached(trivet):
    """CVE-2024-21626: a leaked descriptor as working directory led out."""
    for number in range(3, 12):
        result = trivet.box("ls", "..", options=["-w", f"/proc/self/fd/{number}"], check=False)
        assert result.returncode != 0
        assert result.stdout == ""


def test_unknown_security_options_are_errors(trivet):
    for option in ("nonsense", "no-new-privilege", "seccomp", "apparmor=no-such-profile-here"):
        result = trivet.box("true", options=["--security-opt", option], check=False)
        assert result.returncode == 125, option
        assert option.split("=")[0] in result.stderr


def test_unknown_isolation_is_an_error_that_lists_what_is_known(trivet):
    result = trivet.box("true", options=["--isolation", "magic"], check=False)
    assert result.returncode == 125
    assert "magic" in result.stderr and "native" in result.stderr
