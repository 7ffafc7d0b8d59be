"""What goes wrong with microVMs: each a clear error with its exit code, and nothing left behind."""

import os
import re
import shutil
import signal
import subprocess

import pytest

import harness
import vm_harness
from harness import kill_hard, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]

MICROVM = ("--isolation", "microvm")
LOST = 134  # the guest or the VMM has ended by itself


def refused(vm, *words, options=(), before=(), **settings):
    """`trivet run` fails before there is a container, and its error has these words."""
    result = vm.run("run", "--rm", "--network", "none", *before, *options, "busybox", "true",
                    check=False, **settings)
    assert result.returncode == 125, result.stderr
    for word in words:
        assert word in result.stderr
    assert result.stderr.startswith("trivet: ")
    assert vm.containers() == []
    return result


# ---------------------------------------------------------------- refused before anything is made

def test_it_has_to_be_allowed_and_the_error_says_how(vm):
    refused(vm, "experimental", "hint: ", "--experimental", "TRIVET_EXPERIMENTAL", before=MICROVM)
    vm.run("run", "--rm", "--network", "none", *MICROVM, "busybox", "true",
           env={"TRIVET_EXPERIMENTAL": "1"})


def test_an_unknown_accelerator(vm):
    refused(vm, "fast", "auto, kvm or tcg", options=["--accel", "fast"])


def test_kvm_that_can_not_be_used_says_why(vm):
    warning = subprocess.run(vm.command("run", "--rm", "--network", "none", "busybox", "true"),
                             env=vm.env, capture_output=True, text=True, check=True).stderr
    if not warning:
        pytest.skip("KVM works here")
    reason = warning.strip().rsplit("slow: ", 1)[1]
    refused(vm, "KVM can't be used", reason, "hint: ", options=["--accel", "kvm"])


def test_emulation_is_said_once_and_not_when_it_was_asked_for(vm):
    command = vm.command("run", "--rm", "--network", "none", "--accel", "tcg", "busybox", "true")
    done = subprocess.run(command, env=vm.env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    command.remove("--accel"), command.remove("tcg")
    done = subprocess.run(command, env=vm.env, capture_output=True, text=True, check=True)
    assert done.stderr.count("emulated in software") <= 1


def test_without_a_kernel_the_hint_is_vm_setup(vm, tmp_path):
    refused(vm, "no guest kernel", "hint: ", "`trivet vm setup`",
            env={"TRIVET_VM_DIR": str(tmp_path / "empty")})


def test_a_damaged_kernel_is_not_started(vm, own_vm_dir):
    kernel, = own_vm_dir.glob("kernels/*/vmlinux")
    with kernel.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"damaged")
    refused(vm, "is not what was installed", "`trivet vm setup`")


def test_without_qemu_it_says_which_package_has_it(vm):
    """In a mount namespace of its own, where another file is at QEMU's place."""
    program = shutil.which(vm_harness.QEMU)
    command = vm.command("run", "--rm", "--network", "none", "busybox", "true")
    hidden = ["unshare", "--mount", "--", "sh", "-c",
              'mkdir -p "$0" && mount -t tmpfs tmpfs "$0" && cp -a /usr/bin/. "$0" && rm "$0/'
              f'{vm_harness.QEMU}" && mount --bind "$0" /usr/bin && exec "$@"',
              str(vm.base / "bin"), *command]
    done = subprocess.run(hidden, env=vm.env, capture_output=True, text=True, check=False)
    assert program == f"/usr/bin/{vm_harness.QEMU}"
    assert done.returncode == 125
    assert "qemu" in done.stderr and "qemu-system-x86" in done.stderr
    assert vm.containers() == []


@pytest.mark.parametrize("options,words", [
    (["--pid", "host"], ["host's pid namespace"]),
    (["--device", "/dev/fuse"], ["/dev/fuse", "no devices of the host"]),
    (["--device", "/dev/loop-control"], ["/dev/loop-control"]),
])
def test_what_is_the_hosts_is_refused_with_the_way_out(vm, options, words):
    refused(vm, *words, "--isolation native", options=options)


def test_options_of_microvms_are_errors_for_others(vm):
    for option in (["--accel", "tcg"], ["--no-template"], ["--disk", "1g"]):
        result = vm.fails("run", "--rm", "--isolation", "native", *option, "busybox", "true", code=125)
        assert option[0] in result.stderr and "microvm" in result.stderr


@pytest.mark.parametrize("program,code", [("no-such-program", 127), ("/etc/passwd", 126),
                                          ("/bin/no-such-interpreter", 127),
                                          ("/bin/not-a-program", 126)])
def test_a_program_that_can_not_be_started_has_the_code_it_has_natively(vm, program, code):
    native = vm.box(program, options=["--isolation", "native"], check=False)
    virtual = vm.box(program, check=False)
    assert virtual.returncode == native.returncode == code
    assert program in virtual.stderr
    assert vm.containers() == []


# ---------------------------------------------------------------- ends that nobody asked for

def lost(vm, machines, name, *words):
    """The container's program is gone with its machine; what is said of it; nothing stays."""
    assert vm.out("wait", name, timeout=120) == str(LOST)
    state = vm.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", LOST, False)
    message = vm_harness.machine_of(vm, name)["Message"]
    for word in words:
        assert word in message
    wait_for(lambda: not machines.alive(), what="the machine's processes are gone")
    return message


def running(vm, machines, *command, options=()):
    name = vm.spawn(*(command or ("sleep", "600")), options=options)
    assert vm_harness.QEMU in machines.processes(name).values()
    return name


def test_a_killed_qemu_is_said(vm, machines):
    name = running(vm, machines)
    kill_hard(machines.pid_of(name, vm_harness.QEMU))
    lost(vm, machines, name, "ended unexpectedly", "QEMU", "SIGKILL")


def test_a_killed_qemu_ends_a_run_in_the_foreground_with_a_message(vm, machines):
    process = vm.start("run", "--name", "front", "--network", "none", "busybox", "sleep", "600",
                       text=True)
    vm.wait_for_state("front", "running", timeout=60)
    kill_hard(machines.pid_of("front", vm_harness.QEMU))
    _, errors = process.communicate(timeout=60 * harness.SLOW)
    assert process.returncode == LOST
    assert "ended unexpectedly" in errors


def test_a_killed_qemu_ends_what_exec_runs(vm, machines):
    name = running(vm, machines)
    session = vm.start("exec", name, "sh", "-c", "echo ready; sleep 600", text=True)
    assert session.stdout.readline() == "ready\n"
    kill_hard(machines.pid_of(name, vm_harness.QEMU))
    session.communicate(timeout=60 * harness.SLOW)
    assert session.returncode not in (0, None)
    lost(vm, machines, name)


def test_a_killed_vmm_takes_the_machine_with_it(vm, machines):
    name = running(vm, machines)
    kill_hard(vm.inspect(name)["State"]["Pid"])
    assert vm.out("wait", name, timeout=120) == "137"
    wait_for(lambda: not machines.alive(), what="the machine's processes are gone")
    assert vm.status(name) == "exited"


def test_a_lost_machine_can_be_started_again(vm, machines):
    name = running(vm, machines, "sh", "-c", "echo began; sleep 600")
    vm.wait_for_log(name, "began")
    kill_hard(machines.pid_of(name, vm_harness.QEMU))
    lost(vm, machines, name)
    vm.run("start", name)
    wait_for(lambda: vm.logs(name).count("began") == 2, what="it runs again")


def test_a_restart_policy_holds_for_lost_machines(vm, machines):
    name = running(vm, machines, "sh", "-c", "echo began; sleep 600", options=["--restart", "on-failure:1"])
    vm.wait_for_log(name, "began")
    kill_hard(machines.pid_of(name, vm_harness.QEMU))
    wait_for(lambda: vm.logs(name).count("began") == 2, timeout=60, what="it was restarted")
    assert vm.inspect(name)["RestartCount"] == 1


def test_a_stopped_qemu_hangs_and_stop_kills_it_after_the_grace_period(vm, machines):
    name = running(vm, machines)
    os.kill(machines.pid_of(name, vm_harness.QEMU), signal.SIGSTOP)
    vm.run("stop", "-t", "1", name, timeout=60)
    assert vm.inspect(name)["State"]["ExitCode"] == 137
    wait_for(lambda: not machines.alive(), what="the machine's processes are gone")


def test_a_program_without_rights_can_not_reboot_or_crash_the_guest(vm):
    script = "reboot -f; poweroff -f; echo c > /proc/sysrq-trigger; echo alive"
    assert vm.box("sh", "-c", script).stdout.endswith("alive\n")


def test_a_privileged_program_has_all_capabilities_and_the_guests_devices(vm):
    """Of the host's devices there is none, and so none that is refused."""
    text = vm.box("sh", "-c", "grep CapEff /proc/self/status; mount -t tmpfs t /tmp && echo mounted; "
                  "head -c 4 /dev/vdb | wc -c; grep Seccomp: /proc/self/status; ls /dev; "
                  "mount | grep ' /sys '",
                  options=["--privileged"])
    assert "mounted" in text.lines and "4" in text.lines
    assert int(text.stdout.split()[1], 16) >= (1 << 40) - 1
    assert "Seccomp:\t0" in text.lines and "kvm" not in text.lines
    assert "rw" in text.lines[-1]


def test_a_privileged_program_is_refused_the_device_it_asks_for(vm):
    refused(vm, "--device /dev/fuse", "no devices of the host", options=["--privileged", "--device", "/dev/fuse"])


@pytest.mark.parametrize("command", ["reboot -f", "poweroff -f", "halt -f"])
def test_a_program_that_ends_its_own_namespace_ends_only_its_container(vm, command):
    """reboot(2) in a PID namespace of its own ends that namespace's init by a signal."""
    script = ("sh", "-c", f"{command}; sleep 600")
    native = vm.run("run", "--rm", "--network", "none", "--isolation", "native", "--cap-add", "SYS_BOOT",
                    "busybox", *script, check=False)
    virtual = vm.run("run", "--rm", "--network", "none", "--cap-add", "SYS_BOOT", "busybox", *script,
                     check=False)
    assert virtual.returncode == native.returncode
    assert virtual.returncode in (129, 130)  # HUP for a restart, INT for the others


def test_a_panic_of_the_guests_kernel_is_said(vm, machines):
    name = running(vm, machines, "sh", "-c", "while [ ! -e /go ]; do sleep 0.2; done; "
                   "mount -t proc proc /tmp; echo c > /tmp/sysrq-trigger; sleep 600",
                   options=["--cap-add", "SYS_ADMIN"])
    vm.run("exec", name, "touch", "/go")
    message = lost(vm, machines, name, "ended unexpectedly")
    assert re.search("panic", message, re.I) and "sysrq" in message


def test_an_interrupted_start_leaves_nothing(vm, machines):
    process = vm.start("run", "--rm", "--name", "early", "--network", "none", "--no-template", "busybox",
                       "sleep", "600")
    wait_for(lambda: vm.run("ps", "-a", "-q").stdout, timeout=60, what="there is a container")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60 * harness.SLOW)
    vm.run("rm", "-f", "early", check=False)
    assert vm.containers() == []
