"""`trivet vm`: kernels for microVMs are fetched, verified, listed, copied and removed."""

import json
import os
import shutil
import struct
import subprocess

import pytest

from vm_harness import make_vmlinux

PAYLOAD_OFFSET = 0x40


def make_bzimage(vmlinux, program, append_size=True):
    """As the kernel's build packs it with a compressor, which reads stdin."""
    compressed = subprocess.run(program, input=vmlinux, stdout=subprocess.PIPE, check=True).stdout
    if append_size:  # gzip has it itself
        compressed += struct.pack("<I", len(vmlinux))
    image = bytearray(1024)
    image[0x1f1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20f)
    struct.pack_into("<II", image, 0x248, PAYLOAD_OFFSET, len(compressed))
    return bytes(image) + bytes(PAYLOAD_OFFSET) + compressed


@pytest.fixture
def trivet(trivet):
    """What is tested here must not meet the kernel that the tests of microVMs share."""
    del trivet.env["TRIVET_VM_DIR"]
    return trivet


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "vmlinux"
    path.write_bytes(make_vmlinux())
    return path


def vm_setup(trivet, *options, **keywords):
    return trivet.run("vm", "setup", "--format", "json", *options, **keywords)


def kernels(trivet):
    return trivet.run("vm", "ls", "--format", "json").json()


def test_a_kernel_from_a_file_becomes_the_current_one(trivet, kernel, tmp_path):
    first = vm_setup(trivet, "--kernel", kernel).json()
    assert first["Release"] == "6.1.7-test" and first["Source"] == str(kernel)
    assert first["Acpi"] is False  # it has the parameter that names devices
    other = tmp_path / "other"
    other.write_bytes(make_vmlinux("6.6.0-other"))
    vm_setup(trivet, "--kernel", other)
    assert [(entry["Release"], entry["Current"]) for entry in kernels(trivet)] == [
        ("6.6.0-other", True), ("6.1.7-test", False)]
    assert (trivet.data / "vm/current/vmlinux").read_bytes() == other.read_bytes()
    assert first["Id"] in trivet.run("vm", "ls", "-q").lines


def test_without_an_option_what_is_there_stays(trivet, kernel):
    vm_setup(trivet, "--kernel", kernel)
    again = vm_setup(trivet).json()
    assert again["WasThere"] is True and again["Release"] == "6.1.7-test"


def test_the_default_data_directory_can_be_chosen(trivet, kernel, tmp_path):
    trivet.env["TRIVET_VM_DIR"] = str(tmp_path / "vm")
    vm_setup(trivet, "--kernel", kernel)
    assert (tmp_path / "vm/current/kernel.json").exists() and not (trivet.data / "vm").exists()


@pytest.mark.parametrize("program", [["gzip", "-c"], ["xz", "--check=crc32", "-c"], ["bzip2", "-c"],
                                     ["lz4", "-l", "-c"], ["zstd", "-q", "-c"]], ids=lambda p: p[0])
def test_every_compression_of_kernels_is_known(trivet, tmp_path, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}")
    image = tmp_path / "vmlinuz"
    image.write_bytes(make_bzimage(make_vmlinux(), program, append_size=program[0] != "gzip"))
    vm_setup(trivet, "--kernel", image)
    assert (trivet.data / "vm/current/vmlinux").read_bytes() == make_vmlinux()


@pytest.mark.parametrize("content, word", [
    (b"text", "no bzImage"),
    (make_vmlinux(note=17), "can't be booted"),
    (make_bzimage(make_vmlinux(), ["gzip", "-c"], append_size=False)[:-40], "cut off"),
], ids=["text", "no direct entry", "cut off"])
def test_what_is_no_kernel_for_a_guest_is_refused(trivet, tmp_path, content, word):
    file = tmp_path / "file"
    file.write_bytes(content)
    result = vm_setup(trivet, "--kernel", file, check=False)
    assert result.returncode == 1 and word in result.stderr
    assert not (trivet.data / "vm/current").exists()
    assert kernels(trivet) == []


def test_a_missing_file_and_two_sources_are_errors(trivet, kernel, tmp_path):
    assert "No such file" in vm_setup(trivet, "--kernel", tmp_path / "none", check=False).stderr
    both = vm_setup(trivet, "--kernel", kernel, "--from", tmp_path, check=False)
    assert both.returncode == 1 and "one source" in both.stderr


def test_a_kernel_is_copied_to_another_host(trivet, kernel, tmp_path):
    trivet.env["TRIVET_VM_DIR"] = str(tmp_path / "there")
    vm_setup(trivet, "--kernel", kernel)
    trivet.env["TRIVET_VM_DIR"] = str(tmp_path / "here")
    shutil.copytree(tmp_path / "there", tmp_path / "stick", symlinks=True)
    copied = vm_setup(trivet, "--from", tmp_path / "stick").json()
    assert copied["Release"] == "6.1.7-test" and copied["Source"] == str(kernel)
    (tmp_path / "stick/current/vmlinux").write_bytes(b"other")
    refused = vm_setup(trivet, "--from", tmp_path / "stick", check=False)
    assert refused.returncode == 1 and "not what was installed" in refused.stderr


def test_a_damaged_kernel_is_installed_anew(trivet, kernel):
    vm_setup(trivet, "--kernel", kernel)
    (trivet.data / "vm/current/vmlinux").write_bytes(b"damaged")
    anew = vm_setup(trivet, "--kernel", kernel).json()
    assert anew["WasThere"] is False
    assert (trivet.data / "vm/current/vmlinux").read_bytes() == kernel.read_bytes()
    assert len(list((trivet.data / "vm/kernels").iterdir())) == 1


def test_kernels_are_removed_by_id_and_by_release(trivet, kernel, tmp_path):
    first = vm_setup(trivet, "--kernel", kernel).json()["Id"]
    other = tmp_path / "other"
    other.write_bytes(make_vmlinux("6.6.0-other"))
    vm_setup(trivet, "--kernel", other)
    trivet.run("vm", "rm", "6.6.0-other")
    assert [(entry["Id"], entry["Current"]) for entry in kernels(trivet)] == [(first, True)]
    trivet.run("vm", "rm", first[:6])
    assert kernels(trivet) == []
    missing = trivet.run("vm", "rm", first, check=False)
    assert missing.returncode == 1 and "no guest kernel" in missing.stderr


def test_info_says_what_is_missing_and_how_to_get_it(trivet, kernel):
    before = trivet.run("vm", "info", "--format", "json").json()
    assert before["available"] is False and "no guest kernel" in before["reason"]
    assert "trivet vm setup" in before["parts"]["kernel"]["hint"]
    vm_setup(trivet, "--kernel", kernel)
    after = trivet.run("vm", "info", "--format", "json").json()
    assert after["parts"]["kernel"]["available"] is True
    assert after["accelerator"]["name"] in ("kvm", "tcg")
    assert 100_000 < after["accelerator"]["tsc_khz"] < 10_000_000
    whole = trivet.run("info", "--format", "json").json()["isolations"]["microvm"]
    assert whole["parts"].keys() == after["parts"].keys()
    assert "kernel:" in trivet.run("vm", "info").stdout


def test_at_the_same_time_is_no_problem(trivet, kernel):
    started = [subprocess.Popen(trivet.command("vm", "setup", "--kernel", kernel), env=trivet.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(6)]
    for process in started:
        assert process.wait(60) == 0, process.stderr.read()
    assert len(kernels(trivet)) == 1
    assert sorted(path.name for path in (trivet.data / "vm").iterdir() if path.name != "initramfs") == [
        "current", "kernels", "lock"]


@pytest.mark.debian
def test_debians_kernel_is_fetched_and_works_offline_afterwards(trivet):
    done = vm_setup(trivet, timeout=300).json()
    assert "cloud" in done["Release"] and done["Acpi"] is True
    assert done["Source"].startswith("linux-image-")
    modules = done["Modules"]
    assert modules.index("virtio_ring") < modules.index("virtio") < modules.index("virtio_mmio")
    assert modules.index("libcrc32c") < modules.index("erofs")
    record = json.loads((trivet.data / "vm/current/kernel.json").read_text())
    assert len(record["vmlinux"]["digest"]) == 64
    for module in record["modules"]:
        assert b"~Module signature appended~" not in (trivet.data / "vm/current" / module["path"]).read_bytes()
    trivet.env["PATH"] = "/nowhere"
    assert vm_setup(trivet).json()["WasThere"] is True
    assert os.listdir(trivet.data / "vm/kernels") == [done["Id"]]


@pytest.fixture
def image_disk(trivet, busybox_layout):
    """The disk that a microVM would have left of an image; only its record is looked at."""
    trivet.run("image", "import", busybox_layout, "vm-image")
    layers = trivet.run("image", "inspect", "vm-image").json()[0]["RootFS"]["Layers"]
    folder = trivet.data / "vm/images"
    folder.mkdir(parents=True)
    disk = folder / f"{'0' * 64}.erofs"
    disk.write_bytes(b"disk")
    disk.with_suffix(".json").write_text(
        json.dumps({"layers": [layer.removeprefix("sha256:") for layer in layers]}))
    return disk


def test_the_disk_of_an_image_goes_with_the_image(trivet, image_disk):
    trivet.run("image", "prune", "-f")
    assert image_disk.exists()
    image = trivet.run("image", "inspect", "vm-image").json()[0]["Id"]
    trivet.run("rmi", image)
    assert list(image_disk.parent.iterdir()) == []


def test_what_a_crash_left_of_a_disk_goes_with_prune(trivet, image_disk):
    part = image_disk.parent / f"{'1' * 64}.part-dead"
    (part / "root").mkdir(parents=True)
    trivet.run("image", "prune", "-f")
    assert image_disk.exists() and not part.exists()
