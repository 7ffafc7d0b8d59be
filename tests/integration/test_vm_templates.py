"""Templates: made once, restored for each machine, never trusted when damaged; clones are not twins."""

import os
import re
import subprocess
import time

import pytest

import vm_harness
from harness import SLOW

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left", "own_vm_dir")]


def from_template(vm, name):
    return vm_harness.machine_of(vm, name)["FromTemplate"]


def templates_in(folder):
    """Directories of finished templates."""
    root = folder / "templates"
    return sorted(entry for entry in root.iterdir() if re.fullmatch("[0-9a-f]{64}", entry.name)) \
        if root.is_dir() else []


def run(vm, name, *command, options=()):
    return vm.run("run", "--network", "none", "--name", name, *options, "busybox", *command)


def test_a_template_is_made_once_and_restored_from_then_on(vm, own_vm_dir):
    assert run(vm, "first", "echo", "a").stdout == "a\n"
    made, = templates_in(own_vm_dir)
    written = (made / "memory").stat().st_mtime_ns
    assert run(vm, "second", "echo", "b").stdout == "b\n"
    assert from_template(vm, "second") is True
    assert templates_in(own_vm_dir) == [made]
    assert (made / "memory").stat().st_mtime_ns == written


def test_without_a_template_it_boots(vm, own_vm_dir):
    assert run(vm, "cold", "echo", "a", options=["--no-template"]).stdout == "a\n"
    assert from_template(vm, "cold") is False
    assert templates_in(own_vm_dir) == []


def test_machines_of_other_sizes_have_templates_of_their_own(vm, own_vm_dir):
    run(vm, "one", "true", options=["--memory", "200m"])
    run(vm, "two", "true", options=["--memory", "210m"])
    assert len(templates_in(own_vm_dir)) == 2
    assert from_template(vm, "two") is True


def test_a_start_of_a_stopped_container_is_restored_too(vm):
    run(vm, "again", "sh", "-c", "echo x >> /log; cat /log")
    assert vm.run("start", "-a", "again").stdout == "x\nx\n"
    assert from_template(vm, "again") is True


def test_the_writes_of_a_clone_are_its_own(vm, own_vm_dir):
    script = "test ! -e /dev/shm/x && test ! -e /mark && echo fresh; echo 1 > /dev/shm/x; echo 1 > /mark"
    assert [vm.box("sh", "-c", script).stdout for _ in range(3)] == ["fresh\n"] * 3
    assert len(templates_in(own_vm_dir)) == 1


def test_clones_are_not_twins(vm):
    script = ("head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/uuid; hostname; "
              "cat /etc/machine-id 2>/dev/null || true")
    vm.box("true")
    first, second = (vm.box("sh", "-c", script).lines for _ in range(2))
    assert len(first) >= 3
    for one, other in zip(first, second):
        assert one != other


def test_the_clock_of_a_clone_is_the_hosts(vm):
    vm.box("true")
    time.sleep(3)  # a clock that is the template's is behind by as much
    for _ in range(2):
        before = time.time()
        inside = float(vm.box("sh", "-c", "date +%s").stdout)
        assert int(before) - 1 <= inside <= time.time() + 1


def test_the_clock_of_a_clone_runs_as_fast_as_the_hosts(vm):
    name = vm.spawn("sleep", "600")
    samples = []
    for _ in range(2):
        before = time.time()
        inside = int(vm.out("exec", name, "date", "+%s"))
        samples.append((before, inside, time.time()))
        time.sleep(5)
    for before, inside, after in samples:
        assert int(before) - 1 <= inside <= after + 1


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path):
    """Other bytes of the same length, at once everywhere."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * min(path.stat().st_size, 1 << 20))


def remove(path):
    path.unlink()


def exchange(path):
    """The same bytes in another file: it could have been anyone's."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


@pytest.mark.parametrize("damage", [truncate, overwrite, remove, exchange])
@pytest.mark.parametrize("part", ["memory", "state", "template.json"])
def test_a_damaged_template_is_made_anew(vm, own_vm_dir, part, damage):
    if part == "template.json" and damage is exchange:
        pytest.skip("it is what is read, and its text is right")
    small = ["--memory", "128m"]
    run(vm, "first", "true", options=small)
    made, = templates_in(own_vm_dir)
    with (made / "memory").open("rb") as old:  # as long as it is open its number is not used again
        damage(made / part)
        assert run(vm, "second", "echo", "works", options=small).stdout == "works\n"
        assert [entry.name for entry in templates_in(own_vm_dir)] == [made.name]
        assert (made / "memory").stat().st_ino != os.fstat(old.fileno()).st_ino
    assert run(vm, "third", "echo", "works", options=small).stdout == "works\n"
    assert from_template(vm, "third") is True


def test_what_a_crash_left_of_making_is_no_template(vm, own_vm_dir):
    run(vm, "first", "true")
    made, = templates_in(own_vm_dir)
    part = made.with_name(made.name + ".part-0123456789abcdef")
    made.rename(part)
    assert run(vm, "second", "echo", "works").stdout == "works\n"
    assert not part.exists() and templates_in(own_vm_dir) == [made]


def test_a_template_from_before_the_host_has_booted_is_made_anew(vm, own_vm_dir):
    run(vm, "first", "true")
    made, = templates_in(own_vm_dir)
    text = (made / "template.json").read_text()
    boot = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip()
    assert boot in text
    (made / "template.json").write_text(text.replace(boot, "0" * 8 + boot[8:]))
    with (made / "memory").open("rb") as old:
        assert run(vm, "second", "echo", "works").stdout == "works\n"
        assert (made / "memory").stat().st_ino != os.fstat(old.fileno()).st_ino


def test_five_at_once_make_one_template_and_are_five_machines(vm, own_vm_dir):
    script = "cat /proc/sys/kernel/random/uuid; read line; echo got $line"
    started = [vm.start("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", script,
                        stdin=subprocess.PIPE, text=True) for _ in range(5)]
    identifiers = [process.stdout.readline() for process in started]
    assert all(re.fullmatch("[0-9a-f-]{36}\n", text) for text in identifiers)
    assert len(set(identifiers)) == 5
    for number, process in enumerate(started):  # all of them run now
        output, _ = process.communicate(f"{number}\n", timeout=60 * SLOW)
        assert output == f"got {number}\n" and process.returncode == 0
    assert len(templates_in(own_vm_dir)) == 1


def test_a_template_that_is_removed_while_its_clones_run_does_not_hurt_them(vm, own_vm_dir):
    name = vm.spawn("sleep", "600")
    made, = templates_in(own_vm_dir)
    for part in ("memory", "state"):
        (made / part).unlink()
    assert vm.out("exec", name, "sh", "-c", "ls /bin | wc -l; cat /etc/from-first-layer").endswith(
        "changed by the third")
    assert vm.status(name) == "running"


def test_a_machine_can_not_write_into_its_template(vm, machines):
    name = vm.spawn("sleep", "600")
    pid = machines.pid_of(name, vm_harness.QEMU)
    mapped = [line for line in open(f"/proc/{pid}/maps", encoding="utf-8")
              if line.rstrip().endswith("/memory")]
    assert mapped and all(line.split()[1][3] == "p" for line in mapped)  # private: copy on write
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{descriptor}").endswith(("/memory", "/state")):
            flags = open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii").read()
            mode = int(re.search(r"flags:\s*(\d+)", flags)[1], 8)
            assert mode & os.O_ACCMODE == os.O_RDONLY
