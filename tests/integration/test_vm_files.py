"""Files of microVMs: the root file system, volumes and what the host sees of them, as natively."""

import subprocess

import pytest

import vm_harness
from harness import BUSYBOX_CONFIG, LayerTar, applets, busybox, wait_for, write_oci_layout

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]

# Everything that a program does with files, in a directory; what it prints must not depend on where.
EXERCISE = r"""
cd "$1"; umask 022
say() { echo "$*"; }
echo one > plain; echo two >> plain; cat plain
ln -s plain link; readlink link; cat link
ln plain hard; stat -c '%h %s %a' plain hard
ln -s /nowhere/at/all dangling; cat dangling 2>/dev/null || say dangling
mkdir -p a/b/c; touch a/b/c/x; mv a/b moved; ls moved/c
mkfifo fifo; (echo through > fifo &); cat fifo; stat -c %F fifo
cp /bin/busybox busybox; chmod 755 busybox; ./busybox echo executed
printf '#!/bin/sh\necho script $1\n' > script; chmod 700 script; ./script runs
chown 1000:2000 plain; stat -c '%u %g' plain link hard
chmod 4751 busybox; stat -c %a busybox
chmod 1777 a; stat -c %a a
exec 3> unlinked; rm unlinked; echo kept >&3; cat /proc/self/fd/3; exec 3>&-
dd if=/dev/zero of=sparse bs=1 count=1 seek=1000000000 2>/dev/null; stat -c %s sparse
[ $(stat -c %b sparse) -lt 1000 ] && say is sparse
: > empty; stat -c %s empty
echo unicode > 'ünï-ツ-🚢'; cat 'ünï-ツ-🚢'; echo spaces > ' a  b '; cat ' a  b '
printf 'x%.0s' $(seq 200) > name; touch $(cat name); ls | grep -c xxxxx
touch -d '2001-02-03 04:05:06' old; stat -c %Y old
truncate -s 5 plain; cat plain; say; truncate -s 100 plain; wc -c < plain
mv plain renamed; cat hard | tr -d '\0'; say
for n in $(seq 1 200); do : > many-$n; done; ls many-* | wc -l; rm many-*; ls | wc -l
rmdir moved 2>/dev/null || say not empty; rm -r moved; ls -d moved 2>/dev/null || say gone
flock lock echo locked
find . | sort
"""


@pytest.fixture
def exercise(tmp_path):
    path = tmp_path / "exercise"
    path.write_text(EXERCISE)
    return path


def test_the_root_is_a_file_system_like_the_native_one(vm):
    text = vm_harness.assert_same(vm, "sh", "-c", f"mkdir /work; set -- /work; {EXERCISE}")
    assert "executed" in text and "through" in text


def test_a_volume_is_a_file_system_like_the_native_one(vm, exercise, tmp_path):
    texts = []
    for isolation in ("native", "microvm"):
        folder = tmp_path / isolation
        folder.mkdir()
        texts.append(vm.box("sh", "/exercise", "/v", options=[
            "--isolation", isolation, "--experimental", "-v", f"{folder}:/v", "-v",
            f"{exercise}:/exercise:ro"]).stdout)
    assert texts[1] == texts[0] and "executed" in texts[0]

    def listing(folder):
        return sorted((entry.name, entry.lstat().st_mode, entry.lstat().st_uid, entry.lstat().st_gid,
                       entry.lstat().st_size) for entry in (tmp_path / folder).rglob("*")
                      if not entry.is_dir())
    assert listing("microvm") == listing("native")


def test_mapped_memory_is_the_files(vm, probe_mmap, tmp_path):
    """Shared and private mappings, and a program that is mapped."""
    folder = tmp_path / "v"
    folder.mkdir()
    options = ["-v", f"{probe_mmap}:/map:ro", "-v", f"{folder}:/v"]
    for directory in ("/v", "/root", "/dev/shm"):
        assert vm.box("/map", f"{directory}/mapped", options=options).stdout == "shared private\n"
    assert (folder / "mapped").read_bytes()[:6] == b"shared"


@pytest.fixture(scope="session")
def probe_mmap(scratch):
    source = scratch / "map.c"
    source.write_text(r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char** argv) {
  char text[8] = {0};
  int fd = open(argv[argc - 1], O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return 1;
  char* shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) return 2;
  memcpy(shared, "shared", 6);
  if (msync(shared, 4096, MS_SYNC) != 0 || pread(fd, text, 6, 0) != 6) return 3;
  char* private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (private == MAP_FAILED) return 4;
  memcpy(private, "private", 7);
  if (memcmp(shared, "shared", 6) != 0) return 5;
  printf("%s %.7s\n", text, private);
  return 0;
}
""")
    program = scratch / "map"
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True)
    return program


# ---------------------------------------------------------------- odd files of an image

@pytest.fixture(scope="session")
def odd_image(scratch):
    """An image with what is rarely in one; xattrs and sockets can't be in a layer's tar by itself."""
    folder = scratch / "odd-layout"
    layer = LayerTar()
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "odd", "odd/deep"):
        layer.dir(name)
    layer.file("bin/busybox", busybox().read_bytes(), 0o755)
    for name in applets():
        layer.link(f"bin/{name}", "busybox")
    layer.file("odd/plain", "text", uid=1234, gid=70000, mtime=1_000_000_000)
    layer._add("odd/hard", type=b"1", linkname="odd/plain")
    layer._add("odd/fifo", type=b"6", mode=0o640)
    layer._add("odd/null", type=b"3", devmajor=1, devminor=3, mode=0o666)
    layer._add("odd/block", type=b"4", devmajor=7, devminor=200, mode=0o600)
    layer.file("odd/empty").file("odd/suid", "x", 0o6755).dir("odd/sticky", 0o1777)
    layer.file("odd/zeros", bytes(3 << 20)).file("odd/ünï-ツ", "unicode").file("odd/ sp ace ", "s")
    layer.file("odd/" + "n" * 200, "long").link("odd/dangling", "/no/where")
    layer.link("odd/far", "x" * 1000).file("odd/none", "secret", 0o000)
    layer.file("odd/attributes", "a", pax_headers={"SCHILY.xattr.user.colour": "blue"})
    write_oci_layout(folder, [layer.bytes()], BUSYBOX_CONFIG, "odd")
    return folder


def test_odd_files_of_an_image_are_what_they_are_natively(vm, odd_image):
    vm.run("image", "import", odd_image, "odd")
    # Directories have no size or count of links that is worth comparing; times of nodes are kept too.
    script = ("cd /odd; find . ! -type d ! -path ./block ! -path ./null | sort | while read -r f; do "
              "stat -c '%n|%F|%a|%u|%g|%h|%t:%T|%s|%Y|%N' \"$f\"; done; "
              "find . -type d | sort | xargs stat -c '%n|%F|%a|%u|%g|%Y'; "
              "stat -c '%n|%F|%a|%t:%T' null block; cat plain hard 'ünï-ツ' ' sp ace '; md5sum zeros; "
              "ls -i plain hard | awk '{print $1}' | uniq | wc -l; echo through > fifo & "
              "timeout 60 cat /odd/fifo; wait")
    text = vm_harness.assert_same(vm, "sh", "-c", script, image="odd")
    assert "fifo" in text and "character special file" in text


def test_extended_attributes_of_an_image(vm, odd_image, probe_xattr):
    vm.run("image", "import", odd_image, "odd")
    text = vm_harness.assert_same(vm, "/xattr", "/odd/attributes", "user.colour", image="odd",
                                  options=("-v", f"{probe_xattr}:/xattr:ro"))
    assert text == "blue\n"


@pytest.fixture(scope="session")
def probe_xattr(scratch):
    source = scratch / "xattr.c"
    source.write_text("""
#include <stdio.h>
#include <sys/xattr.h>
int main(int argc, char** argv) {
  char value[100] = {0};
  if (argc != 3 || getxattr(argv[1], argv[2], value, sizeof value - 1) < 0) return perror("getxattr"), 1;
  return puts(value) < 0;
}
""")
    program = scratch / "xattr"
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True)
    return program


def test_a_copy_out_that_the_host_has_no_place_for_says_so(vm, tmp_path):
    """Although the guest goes on sending: the broken pipe between the two ends nobody."""
    name = vm.spawn("sh", "-c", "dd if=/dev/zero of=/big bs=1M count=2; echo made; sleep 600")
    wait_for(lambda: "made" in vm.out("logs", name), what="the file")
    result = vm.run("cp", f"{name}:/big", tmp_path / "no" / "such" / "place", check=False)
    assert result.returncode == 1
    assert "no/such" in result.stderr


def test_a_copy_from_a_container_that_does_not_run_says_what_to_do(vm, tmp_path):
    name = vm.spawn("true")
    vm.run("wait", name)
    for copy in ([f"{name}:/etc/passwd", tmp_path], [tmp_path, f"{name}:/tmp"]):
        result = vm.run("cp", *copy, check=False)
        assert result.returncode != 0
        assert "is not running, and only its virtual machine" in result.stderr
        assert "trivet start " in result.stderr
