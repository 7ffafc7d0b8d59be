"""How large microVMs are: by options, limits and annotations; and limits that really limit."""

import pytest

import vm_harness
from oci_harness import NAME

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]

# More than the limit and less than the machine: what is larger than that the kernel refuses at once.
HOG = ("dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1")
SIZES = ("sh", "-c", "nproc; sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")


def sizes(text):
    """Processors, and MiB of memory, as a guest sees them."""
    vcpus, kib = text.split()
    return int(vcpus), int(kib) / 1024


def is_nearly(mib, wanted):
    """The guest's kernel takes its part before it counts; it never has more than the machine."""
    return 0.75 * wanted <= mib <= wanted


def test_without_options_it_is_one_processor_and_512_mib(vm):
    result = vm.run("run", "--network", "none", "--name", "plain", "busybox", *SIZES)
    vcpus, mib = sizes(result.stdout)
    assert vcpus == 1 and is_nearly(mib, 512)
    facts = vm_harness.machine_of(vm, "plain")
    assert (facts["VCpus"], facts["MemoryMiB"]) == (1, 512)


def test_memory_and_processors_are_those_of_the_limits(vm):
    result = vm.run("run", "--network", "none", "--name", "sized", "--memory", "256m", "--cpus", "1.5",
                    "busybox", *SIZES)
    vcpus, mib = sizes(result.stdout)
    assert vcpus == 2  # as many as can run at once
    assert is_nearly(mib, 256)
    facts = vm_harness.machine_of(vm, "sized")
    assert (facts["VCpus"], facts["MemoryMiB"]) == (2, 256)
    assert vm.inspect("sized")["HostConfig"]["Memory"] == 256 << 20


def test_a_size_that_is_no_whole_number_of_mib_is_rounded_up(vm):
    name = vm.spawn("sleep", "600", options=["--memory", str((200 << 20) + 1)])
    assert vm_harness.machine_of(vm, name)["MemoryMiB"] == 201


def test_a_set_of_processors_counts(vm):
    assert vm.box("nproc", options=["--cpuset-cpus", "0", "--cpus", "2"]).stdout == "1\n"


def test_annotations_of_krun_win_over_limits(vm):
    result = vm.box(*SIZES, options=["--annotation", "krun.cpus=1.2", "--annotation", "krun.ram_mib=300",
                                     "--memory", "1g", "--cpus", "1"])
    vcpus, mib = sizes(result.stdout)
    assert vcpus == 2 and is_nearly(mib, 300)


@pytest.mark.parametrize("options,words", [
    (["--memory", "5g"], ["5120 MiB", "128 to 4096"]),
    (["--cpus", "9"], ["9 CPUs", "1 to 8"]),
    (["--annotation", "krun.ram_mib=64"], ["krun.ram_mib", "64 MiB", "128 to 4096"]),
    (["--annotation", "krun.ram_mib=100000"], ["krun.ram_mib", "100000 MiB", "128 to 4096"]),
    (["--annotation", "krun.ram_mib=lots"], ["krun.ram_mib", "lots"]),
    (["--annotation", "krun.ram_mib=-1"], ["krun.ram_mib", "-1"]),
    (["--annotation", "krun.ram_mib="], ["krun.ram_mib"]),
    (["--annotation", "krun.cpus=17"], ["krun.cpus", "17 CPUs", "1 to 16"]),
    (["--annotation", "krun.cpus=0"], ["krun.cpus", "0"]),
    (["--annotation", "krun.cpus=2x"], ["krun.cpus", "2x"]),
    (["--annotation", "krun.cpus=nan"], ["krun.cpus", "nan"]),
    (["--disk", "some"], ["some"]),
    (["--disk", "-1"], ["-1"]),
])
def test_impossible_sizes_are_errors_that_name_them(vm, options, words):
    result = vm.box("true", options=options, check=False)
    assert result.returncode == 125
    for word in words:
        assert word in result.stderr
    assert vm.containers() == []


def test_annotations_and_hw_config_of_a_bundle(vm_oci):
    oci = vm_oci
    oci.config["vm"] = {"hwConfig": {"vcpus": 2, "memory": 200 << 20}}
    oci.write(*SIZES)
    vcpus, mib = sizes(oci.run(NAME).stdout)
    assert vcpus == 2 and is_nearly(mib, 200)
    oci.config["annotations"].update({"krun.cpus": "1", "krun.ram_mib": "256"})
    oci.write(*SIZES)
    vcpus, mib = sizes(oci.run(NAME).stdout)
    assert vcpus == 1 and is_nearly(mib, 256)
    oci.config["annotations"]["krun.ram_mib"] = "many"
    oci.write("true")
    assert "krun.ram_mib" in oci.run(NAME, code=1).stderr
    assert oci.left() == []


# ---------------------------------------------------------------- limits within the guest

def test_too_much_memory_is_killed_and_inspect_says_so(vm):
    result = vm.run("run", "--network", "none", "--name", "hog", "--memory", "32m", "busybox", *HOG,
                    check=False)
    assert result.returncode == 137
    state = vm.inspect("hog")["State"]
    assert state["OOMKilled"] is True and state["ExitCode"] == 137
    assert vm_harness.machine_of(vm, "hog")["MemoryMiB"] == 128  # the least that a guest has


@pytest.mark.parametrize("limit", ["32m", "128m"])
def test_a_program_that_grows_in_small_steps_is_killed_too(vm, limit):
    """There is no swap: the kernel could go on for ever with throwing away the program's own pages."""
    program = 'BEGIN { for (;;) a[n++] = sprintf("%50000s", "") }'
    result = vm.run("run", "--network", "none", "--name", "hog", "--memory", limit, "busybox", "awk", program,
                    check=False)
    assert result.returncode == 137
    assert vm.inspect("hog")["State"]["OOMKilled"] is True


def test_a_program_that_reads_more_than_the_limit_goes_on(vm):
    """Not even when there is hardly any room left for what it reads."""
    script = ("dd if=/dev/zero of=/big bs=1M count=48 2>/dev/null; cat /big | wc -c; "
              "dd if=/dev/zero of=/dev/shm/fill bs=1M count=29 2>/dev/null; "
              "for i in 1 2 3 4; do cat /big; done | wc -c")
    result = vm.box("sh", "-c", script, options=["--memory", "32m"])
    assert result.lines == [str(48 << 20), str(4 * 48 << 20)]


def test_a_limit_that_is_no_reason_to_kill_kills_nothing(vm):
    vm.run("run", "--network", "none", "--name", "fits", "--memory", "256m", "busybox", "dd",
           "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1")
    assert vm.inspect("fits")["State"]["OOMKilled"] is False


def test_a_killed_hog_of_exec_leaves_the_container_running(vm):
    name = vm.spawn("sleep", "600", options=["--memory", "32m"])
    assert vm.run("exec", name, *HOG, check=False).returncode == 137
    assert vm.status(name) == "running"
    assert vm.out("exec", name, "echo", "still here") == "still here"


def test_too_many_processes_fail_to_fork(vm):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 & done; wait"
    result = vm.box("sh", "-c", script, options=["--pids", "10"], check=False)
    assert "fork" in result.stderr.lower()


def test_the_writable_disk_has_its_size_and_can_be_full(vm):
    script = ("df -m / | tail -n 1 | awk '{print $2}'; "
              "dd if=/dev/zero of=/full bs=1M count=300 2>&1 | grep -c 'No space left'; echo x > /tmp/y; "
              "rm /full; echo after > /tmp/z && cat /tmp/z")
    megabytes, full, after = vm.box("sh", "-c", script, options=["--disk", "200m"]).lines
    assert 120 < int(megabytes) <= 200
    assert (full, after) == ("1", "after")
