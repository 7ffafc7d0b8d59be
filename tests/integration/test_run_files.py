"""Root file systems, volumes and copies."""

import hashlib
import os
import pathlib

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def tree_of(folder):
    """Everything of a directory tree that a write would change."""
    result = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.readlink(path).encode()
        elif path.is_file():
            content = path.read_bytes()
        result[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_size,
                             status.st_mtime_ns, hashlib.sha256(content).hexdigest())
    return result


# ---------------------------------------------------------------- layers

def test_the_layers_are_put_together(trivet):
    script = "cat /etc/from-first-layer /www/index.html; test ! -e /etc/removed-later"
    assert trivet.box("sh", "-c", script).stdout == "changed by the third\nhello from trivet\n"


def test_containers_share_layers_but_see_no_writes_of_each_other(trivet):
    before = tree_of(trivet.data / "layers")
    first = trivet.spawn("sleep", "600")
    second = trivet.spawn("sleep", "600")
    trivet.run("exec", first, "sh", "-c",
               "echo mine > /etc/passwd; echo new > /new; rm -r /www; chmod 700 /tmp; touch /bin/busybox")
    assert trivet.out("exec", second, "head", "-n", "1", "/etc/passwd").startswith("root:")
    assert trivet.run("exec", second, "ls", "/new", check=False).returncode != 0
    assert trivet.out("exec", second, "cat", "/www/index.html") == "hello from trivet"
    assert trivet.out("exec", first, "cat", "/etc/passwd") == "mine"
    assert tree_of(trivet.data / "layers") == before


def test_writes_survive_a_stop_and_a_start(trivet):
    name = trivet.spawn("sh", "-c", "cat /note 2>/dev/null || echo first > /note")
    trivet.run("wait", name)
    trivet.run("start", name)
    trivet.run("wait", name)
    assert trivet.logs(name) == "first\n"


def test_the_size_of_the_writable_layer_is_shown(trivet):
    name = trivet.spawn("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=5 2>/dev/null; "
                        "touch /done; sleep 600",
                        options=["--name", "writer"])
    trivet.out("exec", name, "sh", "-c", "while [ ! -e /done ]; do sleep 0.1; done; sync")
    row, = [row for row in trivet.containers("-s") if row["Names"] == "writer"]
    assert 4 << 20 <= row["Size"] <= 7 << 20
    assert "SIZE" in trivet.out("ps", "-s")


def test_a_read_only_root(trivet):
    result = trivet.box("touch", "/x", options=["--read-only"], check=False)
    assert result.returncode != 0 and "Read-only file system" in result.stderr
    trivet.box("sh", "-c", "touch /tmp/x /data/y",
               options=["--read-only", "--tmpfs", "/tmp", "-v", "/data"])


# ---------------------------------------------------------------- --rootfs

def test_a_directory_is_used_and_not_changed(trivet, busybox_rootfs):
    before = tree_of(busybox_rootfs)
    result = trivet.run("run", "--rm", "--network", "none", "--rootfs", busybox_rootfs, "sh", "-c",
                        "echo hi > /written; rm /bin/vi; mkdir /made; cat /written")
    assert result.stdout == "hi\n"
    assert tree_of(busybox_rootfs) == before


def test_rootfs_write_changes_it(trivet, tmp_path):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    trivet.run("run", "--rm", "--network", "none", "--rootfs", root, "--rootfs-write", "/bin/busybox",
               "touch", "/written")
    assert (root / "written").exists()


@pytest.mark.parametrize("directory,said", [
    ("/", "/"), ("//.", "/"), ("EMPTY", "bin"), ("MISSING", "No such file"), ("FILE", "directory"),
    ("LINK", "/")])
def test_rootfs_is_checked(trivet, tmp_path, directory, said):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("")
    (tmp_path / "LINK").symlink_to("/")
    path = directory if directory.startswith("/") else tmp_path / directory
    result = trivet.fails("run", "--rm", "--network", "none", "--rootfs", path, "true", code=125)
    assert said in result.stderr
    assert trivet.containers() == []


def test_rootfs_and_trivets_own_data_do_not_mix(trivet):
    (trivet.data / "bin").mkdir()
    result = trivet.fails("run", "--rm", "--network", "none", "--rootfs", trivet.data, "true", code=125)
    assert "rootfs" in result.stderr or str(trivet.data) in result.stderr


# ---------------------------------------------------------------- volumes

def test_a_bound_directory(trivet, tmp_path):
    (tmp_path / "in").write_text("from the host\n")
    trivet.box("sh", "-c", "cat /m/in > /m/out", options=["-v", f"{tmp_path}:/m"])
    assert (tmp_path / "out").read_text() == "from the host\n"


def test_a_bound_file_read_only(trivet, tmp_path):
    (tmp_path / "file").write_text("text\n")
    options = ["-v", f"{tmp_path}/file:/deep/down/file:ro"]
    assert trivet.box("cat", "/deep/down/file", options=options).stdout == "text\n"
    result = trivet.box("sh", "-c", "echo x > /deep/down/file", options=options, check=False)
    assert "Read-only file system" in result.stderr


def test_read_only_holds_for_mounts_below(trivet, tmp_path):
    result = trivet.box("touch", "/m/x", options=["--mount", f"type=bind,src={tmp_path},dst=/m,ro"],
                        check=False)
    assert result.returncode != 0


def test_a_missing_source_is_an_error(trivet, tmp_path):
    result = trivet.box("true", options=["--mount", f"type=bind,src={tmp_path}/absent,dst=/m"],
                        check=False)
    assert result.returncode == 125
    assert "absent" in result.stderr
    assert not (tmp_path / "absent").exists()


def test_a_named_volume_lives_on(trivet):
    trivet.box("sh", "-c", "echo kept > /m/note", options=["-v", "notes:/m"])
    assert trivet.box("cat", "/m/note", options=["-v", "notes:/m:ro"]).stdout == "kept\n"
    rows = trivet.run("volume", "ls", "--format", "json").json()
    assert [row["Name"] for row in rows] == ["notes"]
    name = trivet.spawn("sleep", "600", options=["-v", "notes:/m"])
    assert "notes" in trivet.fails("volume", "rm", "notes").stderr
    trivet.run("rm", "-f", name)
    trivet.run("volume", "rm", "notes")
    assert trivet.run("volume", "ls", "--format", "json").json() == []


def test_a_new_volume_starts_with_what_the_image_has_there(trivet):
    assert trivet.box("cat", "/www/index.html", options=["-v", "pages:/www"]).stdout == \
        "hello from trivet\n"
    trivet.run("volume", "rm", "pages")


def test_anonymous_volumes_go_with_their_container(trivet):
    trivet.box("touch", "/m/x", options=["-v", "/m"])
    assert trivet.run("volume", "ls", "--format", "json").json() == []


def test_tmpfs(trivet):
    result = trivet.box("sh", "-c", "grep ' /t ' /proc/mounts; dd if=/dev/zero of=/t/x bs=1M count=4; "
                        "wc -c < /t/x", options=["--tmpfs", "/t:size=2m,mode=700"], check=False)
    assert "tmpfs" in result.stdout and "mode=700" in result.stdout
    assert result.stdout.split()[-1] == str(2 << 20)


@pytest.mark.parametrize("options", [
    ["-v", "relative/path:/m"], ["-v", "/a:relative"], ["-v", "/tmp:/m:nonsense"], ["-v", ""],
    ["-v", "/tmp:/m:ro:extra"], ["--mount", "type=magic,dst=/m"], ["--mount", "type=bind,dst=/m"],
    ["--mount", "dst=/m,src=/tmp,colour=red"], ["--tmpfs", "relative"], ["-v", "bad*name:/m"],
])
def test_bad_volumes_are_errors(trivet, options):
    result = trivet.box("true", options=options, check=False)
    assert result.returncode == 125
    assert result.stderr.startswith("trivet")
    assert trivet.run("volume", "ls", "--format", "json").json() == []


def test_a_mount_point_that_is_a_link_stays_inside(trivet, tmp_path):
    """The image chooses what a mount point is: a link must not lead out to the host."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "escape").symlink_to(outside)
    (root / "climb").symlink_to("../../../../../.." + str(outside))
    (tmp_path / "content").mkdir()
    for link in ("escape", "climb"):
        trivet.run("run", "--rm", "--network", "none", "--rootfs", root, "-v",
                   f"{tmp_path}/content:/{link}/made", "/bin/busybox", "true", check=False)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc"])
def test_a_special_directory_that_is_a_link_does_not_lead_out(trivet, tmp_path, name):
    """CVE-2026-41579 and its kin: /dev of the image as a symlink."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(pathlib.Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / name).symlink_to(outside)
    trivet.run("run", "--rm", "--network", "none", "--rootfs", root, "/bin/busybox", "true", check=False)
    trivet.run("run", "--rm", "--network", "none", "--rootfs", root, "--rootfs-write", "/bin/busybox",
               "true", check=False)
    assert list(outside.iterdir()) == []


# ---------------------------------------------------------------- cp

def test_copies_into_and_out_of_a_running_container(trivet, tmp_path):
    name = trivet.spawn("sleep", "600")
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "folder/sub").mkdir(parents=True)
    (tmp_path / "folder/sub/deep").write_text("deep\n")
    trivet.run("cp", tmp_path / "file", f"{name}:/tmp/")
    trivet.run("cp", tmp_path / "folder", f"{name}:/tmp/copied")
    assert trivet.out("exec", name, "cat", "/tmp/file", "/tmp/copied/sub/deep") == "content\ndeep"
    trivet.run("cp", f"{name}:/tmp/copied", tmp_path / "back")
    assert (tmp_path / "back/sub/deep").read_text() == "deep\n"
    trivet.run("cp", f"{name}:/etc/passwd", tmp_path)
    assert (tmp_path / "passwd").read_text().startswith("root:")


def test_copies_with_a_stopped_container(trivet, tmp_path):
    name = trivet.spawn("true")
    trivet.run("wait", name)
    (tmp_path / "file").write_text("content\n")
    trivet.run("cp", tmp_path / "file", f"{name}:/root/file")
    trivet.run("cp", f"{name}:/root/file", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "content\n"


def test_copies_do_not_follow_links_out_of_the_container(trivet, tmp_path):
    (tmp_path / "secret").write_text("of the host\n")
    name = trivet.spawn("sh", "-c", f"ln -s {tmp_path}/secret /leak; ln -s {tmp_path} /out; sleep 600")
    trivet.out("exec", name, "sh", "-c", "while [ ! -L /out ]; do sleep 0.05; done")
    trivet.run("cp", f"{name}:/out/secret", tmp_path / "got", check=False)
    assert not (tmp_path / "got").exists()
    (tmp_path / "new").write_text("new\n")
    trivet.run("cp", tmp_path / "new", f"{name}:/out/planted", check=False)
    assert not (tmp_path / "planted").exists()


def test_copying_what_is_not_there_is_an_error(trivet, tmp_path):
    name = trivet.spawn("sleep", "600")
    assert "/no/such" in trivet.fails("cp", f"{name}:/no/such", tmp_path).stderr
    assert "absent" in trivet.fails("cp", tmp_path / "absent", f"{name}:/tmp").stderr
    assert trivet.fails("cp", "a", "b").stderr
