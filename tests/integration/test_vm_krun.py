"""MicroVMs by libkrun. No machine of it runs here: a stand-in for the library writes down what it is
asked for, and the library itself (scripts/setup-libkrun) says whether it would take that."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

import harness
import vm_harness
from harness import ROOT

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]

PLAN = ROOT / "tests/unit/vmm/data/krun.txt"  # what trivet-vmm plans: its unit tests
NOBODY = 65534
FIRST = 3  # number of a descriptor


def build_stand_in(folder: pathlib.Path, *options: str) -> pathlib.Path:
    library = folder / "libkrun.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    f"-I{ROOT / 'src'}", *options, "-o", library,
                    ROOT / "tests/integration/libkrun_stand_in.c"], check=True)
    return library


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    return build_stand_in(tmp_path_factory.mktemp("krun"))


def planned() -> list[list[str]]:
    """The calls, as lists of words; their arguments =NAME are results."""
    lines = PLAN.read_text().splitlines()
    return [shlex.split(line) for line in lines if line.startswith("krun_")]


def start(library: pathlib.Path, calls: list[list[str]], tmp_path: pathlib.Path, *, user: int = NOBODY,
          **variables: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """trivet-krun makes the calls, as trivet-vmm would have it; what the stand-in has noted."""
    record = tmp_path / "record"
    record.touch()
    record.chmod(0o666)
    image, scratch = tmp_path / "image", tmp_path / "scratch"
    image.write_text("an image"), scratch.write_text("a disk")
    for path in (image, scratch):
        path.chmod(0o600)  # nobody may open them: they are descriptors already
    given = [os.open(harness.BIN_DIR / "trivet-krun", os.O_PATH), os.open(library, os.O_PATH),
             os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, os.O_RDWR),
             os.open(image, os.O_RDONLY), os.open(scratch, os.O_RDWR), os.open(os.devnull, os.O_RDWR),
             os.open(os.devnull, os.O_RDWR)]

    def place() -> None:
        aside = [os.dup2(fd, 100 + index) for index, fd in enumerate(given)]
        for index, fd in enumerate(aside):
            os.dup2(fd, FIRST + index)
        os.closerange(FIRST + len(given), 1000)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)

    try:
        done = subprocess.run([f"/proc/self/fd/{FIRST}", f"/proc/self/fd/{FIRST + 1}",
                               *(word for call in calls for word in call)],
                              preexec_fn=place, close_fds=False, capture_output=True, text=True,
                              timeout=60 * harness.SLOW, check=False,
                              env={"KRUN_RECORD": str(record), **variables})
    finally:
        for fd in given:
            os.close(fd)
    return done, record.read_text().splitlines()


@pytest.fixture
def open_folder(tmp_path):
    """A folder that everybody can reach, below ones that belong to root alone."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != pathlib.Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


# ---------------------------------------------------------------- the program and its calls

def test_the_library_is_asked_for_what_was_planned(stand_in, open_folder):
    done, record = start(stand_in, planned(), open_folder)
    assert done.returncode == 7, done.stderr
    kernel = next(call for call in planned() if call[0] == "krun_set_kernel")
    assert record == [
        "krun_init_log(2, 1, 2, 1)",
        "krun_create_ctx()",
        "krun_set_vm_config(40, 4, 2048)",
        f"krun_set_kernel(40, /vm/kernel, 1, /vm/initramfs, {kernel[-1]})",
        "krun_disable_implicit_console(40)",
        "krun_disable_implicit_vsock(40)",
        "krun_add_serial_console_default(40, -1, 5)",
        "krun_add_virtio_console_multiport(40)",
        "krun_add_console_port_inout(40, 2, dev.trivet.agent, 6, 6)",
        # As they were opened, by a user who can't open them.
        "krun_add_disk2(40, disk0, /proc/self/fd/7, 0, 1: r an image)",
        "krun_add_disk2(40, disk1, /proc/self/fd/8, 0, 0: rw a disk)",
        "krun_add_net_unixstream(40, NULL, 9, 9a:55:9a:55:9a:55, 0, 0)",
        "krun_add_net_unixstream(40, NULL, 10, 52:54:00:12:34:56, 0, 0)",
        f"krun_start_enter(40: uid {NOBODY}, capabilities 0000000000000000, no_new_privs 1, seccomp 2, "
        "fork refused)",
    ]


@pytest.mark.parametrize("name", [call[0] for call in planned()])
def test_each_call_that_fails_is_named_and_is_the_last(stand_in, open_folder, name):
    done, record = start(stand_in, planned(), open_folder, KRUN_FAIL=f"{name}=22")
    assert done.returncode == 1
    assert done.stderr == f"trivet-krun: {name}: Invalid argument [EINVAL]\n"
    names = [call[0] for call in planned()]
    assert [line.split("(")[0] for line in record] == names[:names.index(name) + 1]


@pytest.mark.parametrize("name,version", [("krun_disable_implicit_vsock", "1.17"),
                                          ("krun_add_disk2", "1.10, built with BLK=1"),
                                          ("krun_add_net_unixstream", "1.15, built with NET=1")])
def test_a_library_without_a_function_is_not_called_at_all(open_folder, name, version):
    library = build_stand_in(open_folder, f"-DWITHOUT_{name}")
    done, record = start(library, planned(), open_folder)
    assert done.returncode == 1
    assert f"the library has no {name}: that needs libkrun {version}" in done.stderr
    assert record == []


def test_a_function_that_is_not_needed_may_be_missing(open_folder):
    library = build_stand_in(open_folder, "-DWITHOUT_krun_add_net_unixstream")
    calls = [call for call in planned() if call[0] != "krun_add_net_unixstream"]
    done, record = start(library, calls, open_folder)
    assert done.returncode == 7 and len(record) == len(calls)


def test_what_is_no_library_is_said(open_folder):
    library = open_folder / "libkrun.so.1"
    library.write_text("no library")
    done, _ = start(library, planned(), open_folder)
    assert done.returncode == 1 and "libkrun can't be loaded" in done.stderr


def test_it_is_not_started_by_hand():
    program = str(harness.BIN_DIR / "trivet-krun")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "trivet-krun: started by trivet-vmm, not by hand\n")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("trivet-krun ")


# ---------------------------------------------------------------- chosen by people

KRUN = ("--vmm", "libkrun")


def refused(vm, *words, options=(), network="none", **settings):
    """`trivet run` fails before there is a container, and its error has these words."""
    result = vm.run("run", "--rm", "--network", network, *options, "busybox", "true", check=False,
                    **settings)
    assert result.returncode == 125, result.stderr
    for word in words:
        assert word in result.stderr
    assert vm.containers() == []


@pytest.fixture
def with_library(vm, stand_in):
    vm.env["TRIVET_LIBKRUN"] = str(stand_in)
    return vm


def test_without_the_library_it_says_so(vm, tmp_path):
    none = {"TRIVET_LIBKRUN": str(tmp_path / "none")}
    refused(vm, "the library libkrun is not installed", "hint: ", "1.17", "--vmm qemu", options=KRUN,
            env=none)
    part = vm.run("vm", "info", "--format", "json", check=False, env=none).json()["parts"]["libkrun"]
    assert part["available"] is False and "not installed" in part["reason"]


def test_without_usable_kvm_it_says_why(with_library):
    if vm_harness.facts_of_host().get("kvm") == "usable":
        pytest.skip("KVM works here")
    refused(with_library, "KVM can't be used", "/dev/kvm", options=KRUN)


def test_an_unknown_one(vm):
    refused(vm, 'unknown virtual machine monitor "bochs"', "qemu or libkrun",
            options=["--annotation", "dev.trivet.vm.vmm=bochs"])


def test_it_is_an_option_of_microvms(vm):
    result = vm.fails("run", "--rm", "--isolation", "native", *KRUN, "busybox", "true", code=125)
    assert "--vmm" in result.stderr and "microvm" in result.stderr


def test_emulation_in_software_is_refused(with_library):
    refused(with_library, "no emulation in software", "hint: use --vmm qemu",
            options=[*KRUN, "--accel", "tcg"])


# ---------------------------------------------------------------- to the machine's start

@pytest.fixture
def able(with_library, scratch, tmp_path):
    """trivet takes this host's KVM for usable, and has a kernel that needs no ACPI."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/kvm")
    vm = with_library
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vm-", dir=scratch))
    vm.env["TRIVET_VM_DIR"] = str(folder)
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(vm_harness.make_vmlinux())
    vm.run("vm", "setup", "--kernel", kernel)
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (folder / "host.json").write_text(json.dumps({"boot_id": boot, "kvm": "usable", "tsc_khz": 2500000}))
    yield vm
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("network", ["none", "pasta"])
def test_a_machine_that_ends_at_its_start_is_an_error_with_its_last_words(able, network):
    refused(able, f"libkrun ended with exit code 7: krun_start_enter(40: uid {NOBODY}, capabilities "
            "0000000000000000, no_new_privs 1, seccomp 2, fork refused)", options=KRUN, network=network)


def test_an_old_library_is_an_error_that_names_what_is_missing(able, tmp_path):
    library = build_stand_in(tmp_path, "-DWITHOUT_krun_disable_implicit_vsock")
    refused(able, "the library has no krun_disable_implicit_vsock", "libkrun 1.17", options=KRUN,
            env={"TRIVET_LIBKRUN": str(library)})


def test_a_kernel_that_needs_acpi_is_refused(able, tmp_path):
    kernel = tmp_path / "needs-acpi"
    kernel.write_bytes(vm_harness.make_vmlinux("6.1.8-acpi").replace(b"virtio_mmio.device", b"-"))
    able.run("vm", "setup", "--kernel", kernel)
    refused(able, "6.1.8-acpi finds its devices through ACPI", "trivet vm setup --kernel-source",
            options=KRUN)


def test_volumes_are_refused(able):
    refused(able, "can't share directories", "hint: use --vmm qemu",
            options=[*KRUN, "--volume", "/usr/share:/host:ro"])


def test_a_namespace_of_others_is_refused(able):
    subprocess.run(["ip", "netns", "add", "trivet-krun-test"], check=True)
    try:
        refused(able, "can't take over a network namespace", options=KRUN,
                network="ns:/run/netns/trivet-krun-test")
    finally:
        subprocess.run(["ip", "netns", "del", "trivet-krun-test"], check=True)


# ---------------------------------------------------------------- the library itself

@pytest.fixture(scope="module")
def libkrun():
    printed = subprocess.run([ROOT / "scripts/setup-libkrun", "--print-directory"], check=True,
                             capture_output=True, text=True).stdout
    directory = pathlib.Path(printed.strip())
    if not directory.exists():
        pytest.skip("libkrun is not built: run scripts/setup-libkrun")
    return directory


# libkrun's types, as Rust has them, in the order of its own header's.
RUST_TYPES = {"i32": "int32_t", "u32": "uint32_t", "u8": "uint8_t", "bool": "bool", "RawFd": "int",
              "c_int": "int", "*const c_char": "const char*", "*const u8": "uint8_t* const"}


def test_the_functions_are_declared_as_the_library_defines_them(libkrun):
    """Parameters and results, of which `int` and `int32_t` are the same."""
    defined = {name: [RUST_TYPES.get(parameter.split(": ")[1].strip(), parameter)
                      for parameter in parameters.split(",") if parameter.strip()]
               for name, parameters in re.findall(
                   r'pub (?:unsafe )?extern "C" fn (\w+)\(([^)]*)\) -> i32 \{',
                   (libkrun / "lib.rs").read_text().replace("libc::", ""))}
    declared = {name: [parameter.strip().rsplit(" ", 1)[0]
                       for parameter in parameters.split(",") if parameter]
                for name, parameters in re.findall(r"int32_t (krun_\w+)\(([^)]*)\);",
                                                   (ROOT / "src/krun/api.h").read_text())}
    assert sorted(declared) == sorted({call[0] for call in planned()})
    assert declared == {name: defined[name] for name in declared}


def test_the_library_takes_what_was_planned_and_lacks_only_kvm(libkrun, open_folder):
    """All calls, the kernel and the disks among them; nobody may not open /dev/kvm."""
    if os.path.exists("/dev/kvm") and os.stat("/dev/kvm").st_mode & 0o006:
        pytest.skip("everybody may open /dev/kvm")
    calls = planned()
    kernel = next(call for call in calls if call[0] == "krun_set_kernel")
    kernel[2], kernel[4] = str(open_folder / "vmlinux"), str(open_folder / "initramfs")
    shutil.copy(harness.VM_DIR / "current/vmlinux", kernel[2])
    pathlib.Path(kernel[4]).write_bytes(bytes(512))
    library = shutil.copy(libkrun / "libkrun.so.1", open_folder)
    done, _ = start(library, calls, open_folder)
    assert "Error creating the Kvm object" in done.stderr
    pathlib.Path(kernel[4]).unlink()
    done, _ = start(library, calls, open_folder)
    assert done.stderr.endswith("trivet-krun: krun_set_kernel: Invalid argument [EINVAL]\n")
