"""Volumes and roots of microVMs as the host sees them: what is written, what may not be, what stays."""

import os
import subprocess

import pytest

import vm_harness
from harness import wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]


def test_what_is_written_to_a_volume_is_on_the_host_with_its_owner(vm, tmp_path):
    vm.box("sh", "-c", "echo written > /v/file; chown 1234:2345 /v/file; chmod 640 /v/file; ln -s file /v/l; "
           "mkdir /v/d; mkfifo /v/p", options=["-v", f"{tmp_path}:/v"])
    status = (tmp_path / "file").stat()
    assert (tmp_path / "file").read_text() == "written\n"
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 2345, 0o640)
    assert os.readlink(tmp_path / "l") == "file"
    assert (tmp_path / "d").is_dir() and (tmp_path / "p").is_fifo()


def test_what_a_user_writes_is_the_users(vm, tmp_path):
    tmp_path.chmod(0o777)
    vm.box("sh", "-c", "echo x > /v/mine; mkdir /v/dir", options=["-u", "1000:1000", "-v", f"{tmp_path}:/v"])
    for name in ("mine", "dir"):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid) == (1000, 1000)
    (tmp_path / "secret").write_text("root's")
    (tmp_path / "secret").chmod(0o600)
    denied = vm.box("cat", "/v/secret", options=["-u", "1000:1000", "-v", f"{tmp_path}:/v"], check=False)
    assert denied.returncode != 0 and "ermission denied" in denied.stderr


def test_a_running_machine_and_the_host_see_each_others_writes(vm, tmp_path):
    name = vm.spawn("sleep", "600", options=["-v", f"{tmp_path}:/v"])
    (tmp_path / "from-host").write_text("from the host\n")
    wait_for(lambda: vm.run("exec", name, "cat", "/v/from-host", check=False).stdout == "from the host\n",
             what="the guest reads it")
    (tmp_path / "from-host").write_text("changed by the host\n")
    wait_for(lambda: vm.run("exec", name, "cat", "/v/from-host", check=False).stdout ==
             "changed by the host\n", what="the guest reads the change")
    vm.run("exec", name, "sh", "-c", "echo from the guest > /v/from-guest")
    assert (tmp_path / "from-guest").read_text() == "from the guest\n"
    (tmp_path / "from-guest").unlink()
    wait_for(lambda: vm.run("exec", name, "test", "!", "-e", "/v/from-guest", check=False).returncode == 0,
             what="the guest sees that it is gone")


def test_a_read_only_volume_is_read_only_whatever_the_guest_does(vm, tmp_path):
    (tmp_path / "file").write_text("original")
    script = ("cat /v/file; for c in 'echo x > /v/file' 'touch /v/new' 'rm -f /v/file' 'mkdir /v/d' "
              "'chmod 777 /v/file' 'chown 1:1 /v/file' 'mv /v/file /v/g' 'mount -o remount,rw /v && touch /v/n'; "
              "do sh -c \"$c\" 2>/dev/null && echo \"done: $c\"; done; true")
    for options in ([], ["--cap-add", "SYS_ADMIN"]):
        text = vm.box("sh", "-c", script, options=[*options, "-v", f"{tmp_path}:/v:ro"]).stdout
        assert text == "original"
        assert sorted(os.listdir(tmp_path)) == ["file"] and (tmp_path / "file").read_text() == "original"
        assert (tmp_path / "file").stat().st_uid == 0


def test_single_files(vm, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("one"), two.write_text("two")
    (tmp_path / "neighbour").write_text("not shared")
    script = "cat /etc/one /two; echo more >> /etc/one; echo no >> /two || echo refused; ls / | grep -c neigh"
    result = vm.box("sh", "-c", script, options=["-v", f"{one}:/etc/one", "-v", f"{two}:/two:ro"],
                    check=False)
    assert result.stdout == "onetworefused\n0\n"
    assert (one.read_text(), two.read_text()) == ("onemore\n", "two")


def test_a_volume_in_a_volume_and_symbolic_links_that_lead_out(vm, tmp_path):
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    (outer / "in").mkdir(parents=True), inner.mkdir()
    (tmp_path / "secret").write_text("the host's")
    (outer / "escape").symlink_to(tmp_path / "secret")
    (outer / "up").symlink_to("../secret")
    (inner / "file").write_text("inner\n")
    script = "cat /v/in/file; cat /v/escape /v/up /v/../secret 2>/dev/null; echo x > /v/in/new"
    text = vm.box("sh", "-c", script, options=["-v", f"{outer}:/v", "-v", f"{inner}:/v/in"]).stdout
    assert text == "inner\n"
    assert (inner / "new").exists() and not (outer / "in/new").exists()


def test_named_volumes_outlive_their_machines(vm):
    vm.run("volume", "create", "kept")
    vm.box("sh", "-c", "echo kept > /v/file; chown 5:6 /v/file", options=["-v", "kept:/v"])
    assert vm.box("sh", "-c", "cat /v/file; stat -c %u:%g /v/file", options=["-v", "kept:/v"]).stdout == \
        "kept\n5:6\n"
    native = vm.box("cat", "/v/file", options=["--isolation", "native", "-v", "kept:/v"])
    assert native.stdout == "kept\n"
    vm.run("volume", "rm", "kept")


def test_tmpfs(vm):
    script = "mount | grep ' /scratch '; echo x > /scratch/f && cat /scratch/f; stat -f -c %b /scratch"
    text = vm.box("sh", "-c", script, options=["--tmpfs", "/scratch:size=1m,mode=1777"]).stdout
    assert "tmpfs on /scratch type tmpfs" in text and "x\n256\n" in text


def test_a_read_only_root(vm, tmp_path):
    script = "touch /new 2>&1; touch /etc/new 2>&1; echo x > /v/file; echo y > /t/file; cat /v/file /t/file"
    options = ("--read-only", "-v", f"{tmp_path}:/v", "--tmpfs", "/t")
    text = vm_harness.assert_same(vm, "sh", "-c", script, options=options)
    assert text.count("Read-only file system") == 2 and text.endswith("x\ny\n")


def test_what_was_written_is_there_after_a_start(vm):
    script = "echo run >> /log; cat /log; ls /kept 2>/dev/null; mkdir -p /kept; : > /kept/a; rm -f /etc/group"
    vm.run("run", "--network", "none", "--name", "again", "busybox", "sh", "-c", script)
    assert vm.run("start", "-a", "again").stdout == "run\nrun\na\n"
    assert vm.run("start", "-a", "again").stdout == "run\nrun\nrun\na\n"


def test_what_was_written_is_there_after_a_kill_and_a_stop(vm):
    name = vm.spawn("sh", "-c", "cat /log 2>/dev/null; echo $((n+1)) >> /log; sync; echo ready; sleep 600")
    for expected, end in (("ready\n", ["stop", "-t", "0"]), ("1\nready\n", ["kill"])):
        wait_for(lambda: vm.logs(name).endswith(expected), what="it is ready")  # noqa: B023
        vm.run(*end, name)
        vm.wait_for_state(name, "exited")
        vm.run("start", name)
    wait_for(lambda: vm.logs(name).endswith("1\n1\nready\n"), what="both lines are there")


# ---------------------------------------------------------------- a directory as the root

@pytest.fixture
def own_rootfs(busybox_rootfs, tmp_path):
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    (root / "etc/conf").write_text("original\n")
    return root


def snapshot(folder):
    return sorted((str(path.relative_to(folder)), path.lstat().st_mode, path.lstat().st_uid,
                   path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*"))


def test_a_directory_as_the_root_is_unchanged_afterwards(vm, own_rootfs):
    before = snapshot(own_rootfs)
    script = "cat /etc/conf; echo changed > /etc/conf; rm /bin/true; mkdir /new; cat /etc/conf; ls -d /new"
    text = vm_harness.assert_same(vm, "sh", "-c", script, options=("--rootfs",), image=own_rootfs)
    assert text == "original\nchanged\n/new\n"
    assert snapshot(own_rootfs) == before


def test_a_directory_as_the_root_is_as_it_is_at_each_run(vm, own_rootfs):
    def read():
        return vm.box("cat", "/etc/conf", options=["--rootfs"], image=own_rootfs).stdout
    assert read() == "original\n"
    (own_rootfs / "etc/conf").write_text("of today\n")
    assert read() == "of today\n"
