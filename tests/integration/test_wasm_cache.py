"""The cache of compiled modules: what is used again, what is made anew, what is never run."""

import json
import os
import shutil
import stat

import pytest

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]


class Place:
    """A root directory with /p.wasm, whose code comes to DATA/wasm."""

    def __init__(self, trivet, programs, tmp_path):
        self.trivet = trivet
        self.root = tmp_path / "root"
        (self.root / "etc").mkdir(parents=True)
        self.module = self.root / "p.wasm"
        self.cache = trivet.data / "wasm"
        shutil.copy(programs.probe, self.module)
        self.age()

    def age(self):
        """A file that was changed a moment ago could be changed again unnoticed, so it is not remembered."""
        os.utime(self.module, (1, 1))

    def command(self, *words, options=()):
        return ["run", "--network", "none", *options, "--rootfs", self.root, "/p.wasm", *words]

    def run(self, *options, words=("echo", "fine")):
        """Whether the code was there already, and the exit code."""
        done = self.trivet.run(*self.command(*words, options=["--name", "c", *options]), check=False)
        facts = self.trivet.inspect("c")["Trivet"]["Wasm"]
        self.trivet.run("rm", "c")
        assert done.returncode == 0 and done.stdout == "fine\n", done.stderr
        return facts["CodeWasCached"]

    def files(self, suffix):
        return sorted(self.cache.glob(f"*{suffix}"))


@pytest.fixture
def place(trivet, programs, tmp_path):
    return Place(trivet, programs, tmp_path)


def test_the_second_run_compiles_nothing(place):
    assert [place.run(), place.run(), place.run()] == [False, True, True]
    assert len(place.files(".cwasm")) == len(place.files(".json")) == 1


def test_what_is_written_can_not_be_written_by_others(place):
    place.run()
    assert stat.S_IMODE(place.cache.stat().st_mode) & 0o022 == 0
    for file in place.cache.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o022 == 0 and file.stat().st_uid == os.geteuid(), file
    assert [file for file in place.cache.iterdir() if file.name.startswith("part-")] == []


def test_code_that_counts_fuel_is_other_code(place):
    assert [place.run(), place.run("--fuel", "off"), place.run("--fuel", "off"), place.run("--fuel", "5000000")] == [
        False, False, True, True]
    assert len(place.files(".cwasm")) == 2


def test_a_changed_module_is_compiled_anew(place, programs):
    place.run()
    place.module.write_bytes(programs.c('#include <stdio.h>\nint main(void) { puts("fine"); }').read_bytes())
    assert place.run() is False and len(place.files(".cwasm")) == 2


def test_a_module_that_is_changed_in_place_at_once_is_noticed(place, trivet, programs):
    """The same inode, the same size, the same second."""
    first, second = (programs.wat(f'(module (func (export "_start") {body}))').read_bytes()
                     for body in ("(nop) (nop)", "unreachable"))
    second = second.ljust(len(first), b"\0") if len(second) < len(first) else second
    place.module.write_bytes(first)
    size = len(first)
    assert trivet.run("run", "--rm", *place.command()[1:]).returncode == 0
    with place.module.open("r+b") as file:
        file.write(programs.wat('(module (func (export "_start") (unreachable) (nop)))').read_bytes())
    assert place.module.stat().st_size == size
    assert trivet.run("run", "--rm", *place.command()[1:], check=False).returncode == 134


def test_a_copied_module_shares_the_code(place, tmp_path):
    place.run()
    other = place.root / "copy.wasm"
    shutil.copy(place.module, other)
    done = place.trivet.run("run", "--name", "c", "--network", "none", "--rootfs", place.root, "/copy.wasm", "echo", "x")
    assert done.stdout == "x\n" and place.trivet.inspect("c")["Trivet"]["Wasm"]["CodeWasCached"] is True


def truncate(file):
    file.chmod(0o644)
    os.truncate(file, file.stat().st_size // 2)


def empty(file):
    file.chmod(0o644)
    os.truncate(file, 0)


def flip(file):
    """Bytes in the middle, where the machine code is; size and times stay."""
    status = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(status.st_size // 2)
        piece = opened.read(4096)
        opened.seek(status.st_size // 2)
        opened.write(bytes(byte ^ 0xFF for byte in piece))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    file.chmod(stat.S_IMODE(status.st_mode))


def replace_by_link(file):
    other = file.parent / "elsewhere"
    file.rename(other)
    file.symlink_to(other)


@pytest.mark.parametrize("harm", [truncate, empty, flip, os.unlink, replace_by_link])
def test_harmed_code_is_never_run(place, harm):
    place.run()
    [code] = place.files(".cwasm")
    before = code.read_bytes()
    harm(code)
    assert place.run() is False
    [again] = place.files(".cwasm")
    assert again == code and not code.is_symlink() and code.read_bytes() == before
    assert place.run() is True


def break_json(text, **_):
    return text[:len(text) // 2]


def lead_elsewhere(text, **_):
    return json.dumps({**json.loads(text), "code": "../../etc/passwd"})


def lie_about_the_digest(text, **_):
    return json.dumps({**json.loads(text), "digest": "0" * 64, "inode": 1})


def say_nothing(text, **_):
    return ""


def grow(text, **_):
    return json.dumps({**json.loads(text), "padding": "x" * 10000})


@pytest.mark.parametrize("harm", [break_json, lead_elsewhere, lie_about_the_digest, say_nothing, grow])
def test_a_harmed_record_is_not_believed(place, harm):
    place.run()
    [record] = place.files(".json")
    record.write_text(harm(record.read_text()))
    place.run()
    assert json.loads(record.read_text())["code"] == place.files(".cwasm")[0].name
    assert place.run() is True


def test_code_that_was_only_touched_is_checked_and_used(place):
    place.run()
    [code] = place.files(".cwasm")
    os.utime(code, (1, 1))
    assert place.run() is True


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o777), lambda path: path.chmod(0o730),
                                   lambda path: os.chown(path, 1234, 1234)])
def test_a_directory_that_others_can_write_to_is_refused(place, spoil):
    place.run()
    spoil(place.cache)
    failed = place.trivet.fails(*place.command("echo", "no", options=["--rm"]))
    assert "compiled modules" in failed.stderr and "remove the directory" in failed.stderr
    assert failed.stdout == ""


def test_many_first_runs_at_once_compile_once(place, trivet, programs, tmp_path):
    names = [f"c{number}" for number in range(6)]
    started = [trivet.start(*place.command("echo", name, options=["--name", name])) for name in names]
    for name, process in zip(names, started):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.decode()) == (0, f"{name}\n"), err.decode()
    cached = [trivet.inspect(name)["Trivet"]["Wasm"]["CodeWasCached"] for name in names]
    assert cached.count(False) == 1
    assert len(place.files(".cwasm")) == 1 and not list(place.cache.glob("part-*"))


def test_a_module_that_is_not_valid_leaves_nothing(place, trivet):
    place.module.write_bytes(b"\0asm\1\0\0\0" + b"\xff" * 100)
    trivet.fails(*place.command(options=["--rm"]), code=126)
    assert [file.name for file in place.cache.iterdir() if not file.name.startswith("lock-")] == []


def test_the_code_of_an_image_goes_with_it(trivet, programs):
    trivet.run("run", "--rm", "--network", "none", programs.probe, "echo", "x")
    code = list(trivet.data.glob("layers/*/wasm/*.cwasm"))
    assert len(code) == 1 and not (trivet.data / "wasm").exists()
    [image] = [row for row in trivet.run("images", "--format", "json").json() if "busybox" not in str(row)]
    trivet.run("rmi", image["ID"] if "ID" in image else image["Id"])
    assert not code[0].exists() and not code[0].parent.parent.exists()


def test_the_code_of_a_layer_is_shared_by_its_images(trivet, programs):
    for _ in range(2):
        trivet.run("run", "--rm", "--network", "none", programs.probe, "echo", "x")
    assert len(list(trivet.data.glob("layers/*/wasm/*.cwasm"))) == 1
