"""Bad input: a clear error with a hint, and nothing left behind."""

import os
import shutil
import subprocess

import pytest

from harness import Trivet, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def said(result):
    """What an error must be: one line that starts with the program, maybe a hint, no traceback."""
    lines = result.stderr.splitlines()
    assert lines and lines[0].startswith("trivet"), result.stderr
    assert len(lines) <= 3, result.stderr
    return result.stderr


def test_a_missing_image_that_must_not_be_pulled(trivet):
    result = trivet.fails("run", "--rm", "--pull", "never", "no/such:image", "true", code=125)
    assert "no/such:image" in said(result)


def test_a_missing_image_of_a_registry_that_is_not_there(trivet):
    result = trivet.fails("run", "--rm", "localhost:1/no/such", "true", code=125)
    assert "localhost:1" in result.stderr


@pytest.mark.parametrize("reference", ["UPPER", "a b", "", "-x/y", "busybox:", "busybox@sha256:12",
                                       "x" * 600, "a//b", "busybox:tag:tag"])
def test_a_bad_reference(trivet, reference):
    result = trivet.fails("run", "--rm", "--pull", "never", "--", reference, "true", code=125)
    assert said(result)
    assert trivet.containers() == []


def test_an_unknown_flag_and_an_unknown_command(trivet):
    assert "--nonsense" in trivet.fails("run", "--nonsense", "busybox", code=125).stderr
    assert "--help" in trivet.fails("run", "--nonsense", "busybox", code=125).stderr
    assert "frobnicate" in trivet.fails("frobnicate").stderr
    assert "`trivet run`" in trivet.fails("rum").stderr


def test_nothing_to_run(trivet, busybox_rootfs):
    assert said(trivet.fails("run", code=125))
    assert said(trivet.fails("run", "--rootfs", busybox_rootfs, code=125))


def test_contradictions(trivet):
    for options in (["--rm", "--restart", "always"], ["--network", "container:x", "--hostname", "y"]):
        result = trivet.fails("run", "-d", *options, "busybox", "true", code=125)
        assert said(result)
    assert trivet.containers() == []


@pytest.mark.parametrize("options", [
    ["-e", "=x"], ["--env-file", "/no/such"], ["-w", "relative"], ["--hostname", "a b"],
    ["--hostname", "x" * 65], ["-l", "=v"], ["--add-host", "x"], ["--dns", "nowhere"],
    ["--timeout", "soon"], ["--stop-signal", "NOPE"], ["--device", "/etc/passwd"],
    ["--sysctl", "nonsense=1"], ["--group-add", "nosuch"],
])
def test_bad_values(trivet, options):
    result = trivet.fails("run", "--rm", "--network", "none", *options, "busybox", "true", code=125)
    assert said(result)
    assert trivet.containers() == []


def test_an_argument_that_is_too_long(trivet):
    result = trivet.run("run", "--rm", "--network", "none", "busybox", "echo", "x" * 100000)
    assert len(result.stdout) == 100001


@pytest.fixture
def small_disk(scratch, store_with_busybox):
    """trivet with its data on a file system of 8 MiB, which the image almost fills."""
    base = scratch / "small"
    base.mkdir()
    disk = base / "d"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    trivet = Trivet(base)
    yield trivet
    trivet.close()
    subprocess.run(["umount", "-l", disk], check=True)
    shutil.rmtree(base, ignore_errors=True)


def test_a_full_disk_while_importing(small_disk, busybox_layout):
    (small_disk.data / "filler").write_bytes(b"x" * (5 << 20))
    result = small_disk.fails("image", "import", busybox_layout, "busybox")
    assert "No space left on device" in result.stderr
    assert small_disk.run("images", "--format", "json").json() == []
    (small_disk.data / "filler").unlink()
    small_disk.run("image", "import", busybox_layout, "busybox")


def test_a_full_disk_while_creating(small_disk, busybox_layout):
    small_disk.run("image", "import", busybox_layout, "busybox")
    try:
        with (small_disk.data / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
                filler.flush()
    except OSError:
        pass  # it is full
    result = small_disk.fails("run", "--rm", "--network", "none", "busybox", "true", code=125)
    assert "No space left on device" in result.stderr
    (small_disk.data / "filler").unlink(missing_ok=True)
    assert small_disk.containers() == []
    small_disk.run("run", "--rm", "--network", "none", "busybox", "true")


def test_a_full_disk_inside_does_not_hurt_the_monitor(small_disk, busybox_layout):
    small_disk.run("image", "import", busybox_layout, "busybox")
    name = small_disk.out("run", "-d", "--network", "none", "busybox", "sh", "-c",
                          "cat /dev/zero > /fill; rm /fill; echo after; exit 3")
    assert small_disk.out("wait", name) == "3"
    small_disk.run("rm", name)


def test_a_state_directory_that_can_not_be_made(trivet):
    result = trivet.fails("run", "--rm", "busybox", "true", code=125,
                          env={"TRIVET_STATE_DIR": "/proc/no/such/place"})
    assert "/proc/no" in said(result)


def test_a_long_state_directory_works(trivet):
    state = trivet.base / ("long" * 30)
    name = trivet.out("run", "-d", "--network", "none", "busybox", "sh", "-c", "echo hi; sleep 600",
                      env={"TRIVET_STATE_DIR": str(state)})
    environment = {"TRIVET_STATE_DIR": str(state)}
    wait_for(lambda: trivet.run("logs", name, env=environment).stdout == "hi\n")
    trivet.run("exec", name, "true", env=environment)
    trivet.run("rm", "-f", name, env=environment)


def test_the_current_directory_may_be_gone(trivet, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    here = os.getcwd()
    os.chdir(folder)
    try:
        folder.rmdir()
        assert trivet.box("echo", "fine").stdout == "fine\n"
    finally:
        os.chdir(here)


def test_closed_standard_streams(trivet):
    command = trivet.command("run", "--rm", "--network", "none", "busybox", "true")
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *command], env=trivet.env,
                          check=False, timeout=60)
    assert done.returncode in (0, 125)
