"""`trivet install` and `uninstall` on files: what is left by changes, failures and kills."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile

import pytest

import harness

TRIVET = harness.BIN_DIR / "trivet"
ORIGINAL = b'{\n    "log-level": "warn",\n    "ratio": 1.00,\n    "default-runtime": "runc"\n}\n'


class Place:
    """A daemon.json, a data directory, and trivet on both."""

    def __init__(self, base: pathlib.Path):
        self.base = base
        self.config = base / "etc/daemon.json"
        self.config.parent.mkdir()
        self.config.write_bytes(ORIGINAL)
        self.env = {**os.environ, "TRIVET_DATA_DIR": str(base / "data")}

    def command(self, verb: str, *options: str, program: str = "docker") -> list[str]:
        # Without a trial of the runtime: that is another test's matter.
        chosen = ["--runtime", str(harness.BIN_DIR / "trivet-oci")] if verb == "install" else []
        return [str(TRIVET), verb, program, "--config", str(self.config), *chosen, *options]

    def run(self, verb: str, *options: str, code: int = 0, **settings) -> subprocess.CompletedProcess:
        done = subprocess.run(self.command(verb, *(options or ("--yes",)), **settings), env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60 * harness.SLOW, check=False)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def files(self) -> dict[str, bytes]:
        """All files but the lock, which is empty and stays."""
        return {str(path.relative_to(self.base)): path.read_bytes() for path in self.base.rglob("*")
                if path.is_file() and path.name != "lock"}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_there_and_back_byte_for_byte(place):
    os.chmod(place.config, 0o640)
    os.chown(place.config, os.geteuid(), 12 if os.geteuid() == 0 else os.getegid())
    before = place.config.stat()
    done = place.run("install", "--yes", "--default")
    assert '+    "default-runtime": "trivet",' in done.stdout.splitlines()
    installed = json.loads(place.config.read_text())
    assert installed["default-runtime"] == "trivet" and installed["ratio"] == 1.0
    assert set(installed["runtimes"]) == {"trivet", "trivet-microvm", "trivet-wasm"}
    for runtime in installed["runtimes"].values():
        assert os.path.realpath(runtime["path"]) == str((harness.BIN_DIR / "trivet-oci").resolve())
    after = place.config.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    text = place.config.read_bytes()
    assert "already" in place.run("install", "--yes", "--default").stdout
    assert place.config.read_bytes() == text
    place.run("uninstall")
    assert place.files() == {"etc/daemon.json": ORIGINAL}


def test_what_somebody_changed_meanwhile_stays(place):
    place.run("install", "--yes", "--default")
    changed = place.config.read_text().replace('"warn"', '"info"')
    place.config.write_text(changed)
    place.run("uninstall")
    assert place.config.read_bytes() == ORIGINAL.replace(b'"warn"', b'"info"')


def test_a_file_that_was_not_there_is_not_there_again(place):
    place.config.unlink()
    place.config.parent.rmdir()
    place.run("install")
    assert place.config.stat().st_mode & 0o777 == 0o644
    place.run("uninstall")
    assert place.files() == {} and not place.config.parent.exists()


def test_links_stay_as_long_as_anybody_needs_them(place):
    place.run("install")
    other = Place.__new__(Place)
    other.base, other.env, other.config = place.base, place.env, place.base / "etc/config.toml"
    other.run("install", program="containerd")
    place.run("uninstall")
    assert (place.base / "data/runtimes/krun").exists()
    other.run("uninstall", program="containerd")
    assert place.files() == {"etc/daemon.json": ORIGINAL}


def test_a_dry_run_changes_nothing(place):
    assert "+++ " in place.run("install", "--dry-run").stdout
    assert place.files() == {"etc/daemon.json": ORIGINAL}


def test_nobody_to_ask_is_no_yes(place):
    assert "--yes" in place.run("install", "--default", code=1).stderr
    assert place.files() == {"etc/daemon.json": ORIGINAL}


@pytest.mark.parametrize("answer,installed", [("n\n", False), ("\n", False), ("y\n", True)])
def test_a_person_is_asked(place, answer, installed):
    terminal = harness.Terminal(place.command("install"), {**place.env, "TERM": "xterm"}, 24, 80)
    terminal.expect(r"\[y/N\]")
    terminal.send(answer)
    assert terminal.wait() == (0 if installed else 1)
    terminal.close()
    assert (place.config.read_bytes() != ORIGINAL) == installed


# ---------------------------------------------------------------- what is refused

def refused(place, words: str, *options: str) -> None:
    before = place.files()
    failed = place.run("install", *options, "--yes", code=1)
    assert words in failed.stderr, failed.stderr
    assert place.files() == before


def test_a_broken_file_is_told_with_line_and_column(place):
    place.config.write_text('{\n  "debug": true,\n}\n')
    refused(place, f"{place.config}:3:1: not valid JSON")


def test_a_symbolic_link_is_refused(place):
    place.config.rename(place.base / "etc/real.json")
    place.config.symlink_to("real.json")
    refused(place, "is a symbolic link")


def test_a_hard_link_is_refused(place):
    os.link(place.config, place.base / "etc/other.json")
    refused(place, "has a second name")


def test_a_file_that_everybody_may_write_is_refused(place):
    os.chmod(place.config, 0o666)
    refused(place, "can be written by everybody")


def test_a_directory_that_everybody_may_write_is_refused(place):
    os.chmod(place.config.parent, 0o777)
    refused(place, "everybody can put a file in another's place")


@pytest.mark.root
def test_another_user_s_file_is_refused(place):
    os.chown(place.config, 1000, 1000)
    refused(place, "belongs to the user 1000")


def test_what_is_no_file_is_refused(place):
    place.config.unlink()
    os.mkfifo(place.config)
    refused(place, "is no ordinary file")


@pytest.mark.root
def test_an_ordinary_user_is_told_to_be_root():
    # Not below pytest's directory, which is closed to others.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Place(pathlib.Path(folder))
        become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        for text, words in ((ORIGINAL, "belongs to the user 0"), (None, "write to")):
            if text is None:
                place.config.unlink()
            failed = subprocess.run([*become, *place.command("install", "--yes")], env=place.env,
                                    capture_output=True, text=True, check=False)
            assert failed.returncode == 1
            assert words in failed.stderr and "try it as root" in failed.stderr, failed.stderr


# ---------------------------------------------------------------- failures

@pytest.mark.root
@pytest.mark.parametrize("data_too", [False, True])
def test_a_full_disk_leaves_the_old_file(place, data_too):
    """Either the disk of the configuration is full, or that of what is kept to undo."""
    folder = place.base / "data" if data_too else place.config.parent
    folder.mkdir(exist_ok=True)
    script = f"""
        mount -t tmpfs -o size=16k small {folder}
        {'' if data_too else f'cp {place.base}/original {place.config}'}
        head -c 100000 /dev/zero > {folder}/fill 2> /dev/null
        "$@"; code=$?
        rm {folder}/fill
        cat {place.config} > {place.base}/result
        ls -A {folder} > {place.base}/names
        exit $code
    """
    (place.base / "original").write_bytes(ORIGINAL)
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *place.command("install", "--yes")],
                          env=place.env, capture_output=True, text=True, check=False,
                          timeout=60 * harness.SLOW)
    assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
    assert (place.base / "result").read_bytes() == ORIGINAL
    names = (place.base / "names").read_text().split()
    assert names == (["install"] if data_too else ["daemon.json"])


@pytest.mark.root
def test_a_read_only_directory_is_refused_and_nothing_is_left(place):
    script = f'mount --bind {place.config.parent} {place.config.parent} && ' \
             f'mount -o remount,bind,ro {place.config.parent} && exec "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *place.command("install", "--yes")],
                          env=place.env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "read-only" in done.stderr, done.stderr
    assert place.files() == {"etc/daemon.json": ORIGINAL}


CHANGING = ["mkdir", "mkdirat", "openat", "write", "fsync", "rename", "renameat", "renameat2", "symlink",
            "unlink", "unlinkat", "fchmod", "fchown", "rmdir"]


def killed_at(place, verb: str, call: str, number: int) -> bool:
    """Runs it with a SIGKILL in its Nth call; whether there was one."""
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                           f"inject={call}:signal=SIGKILL:when={number}", *place.command(verb, "--yes")],
                          env=place.env, capture_output=True, check=False, timeout=60 * harness.SLOW)
    return done.returncode not in (0, 1)


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="hundreds of processes, which take long to start")
@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_kill_between_the_steps_leaves_the_old_file_or_the_new_one(place, verb):
    place.run("install")
    after = place.config.read_bytes()
    place.run("uninstall")
    kills = 0
    for call in CHANGING:
        # Opening is mostly reading: the last ones are of interest, and the loop ends by itself.
        for number in range(1, 60, 6 if call == "openat" else 1):
            if verb == "uninstall":
                place.run("install")
            was_killed = killed_at(place, verb, call, number)
            assert place.config.read_bytes() in (ORIGINAL, after), f"{call} {number}"
            # Whatever it left, the next one gets on with it.
            place.run("install")
            assert place.config.read_bytes() == after, f"{call} {number}"
            place.run("uninstall")
            assert place.config.read_bytes() == ORIGINAL, f"{call} {number}"
            kills += was_killed
            if not was_killed:
                break
    assert kills >= 8


# ---------------------------------------------------------------- the runtime itself

@pytest.mark.root
def test_another_runtime_takes_the_place_of_one_that_does_not_work(place, tmp_path):
    """The programs of trivet with a trivet-oci that ends with an error."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("trivet", "trivet-init"):
        (programs / name).write_bytes((harness.BIN_DIR / name).read_bytes())
        (programs / name).chmod(0o755)
    broken = programs / "trivet-oci"
    broken.write_text("#!/bin/sh\necho 'this kernel is too old' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = subprocess.run([programs / "trivet", "install", "docker", "--config", place.config, "--yes"],
                          env=place.env, capture_output=True, text=True, check=False,
                          timeout=120 * harness.SLOW)
    assert done.returncode == 0, done.stderr
    runtimes = json.loads(place.config.read_text())["runtimes"]
    assert list(runtimes) == ["trivet"]
    assert os.path.basename(runtimes["trivet"]["path"]) in ("crun", "runc")
    assert "takes the place of trivet-oci" in done.stderr and "this kernel is too old" in done.stderr
    place.run("uninstall")
    assert list(pathlib.Path("/var/tmp").glob("trivet-trial-*")) == []


# ---------------------------------------------------------------- kubernetes

def test_runtime_classes(tmp_path):
    """Printed; and handed to kubectl, of which a stand-in shows what it is given: there is no cluster."""
    printed = subprocess.run([TRIVET, "install", "kubernetes"], capture_output=True, text=True, check=True)
    assert [line for line in printed.stdout.splitlines() if line.startswith("handler:")] == \
        ["handler: trivet", "handler: trivet-microvm", "handler: trivet-wasm"]
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\necho \"$@\" > {tmp_path}/words\ncat > {tmp_path}/input\necho applied\n")
    kubectl.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for verb, words in (("install", "apply -f -"), ("uninstall", "delete --ignore-not-found -f -")):
        options = ["--apply"] if verb == "install" else []
        done = subprocess.run([TRIVET, verb, "kubernetes", *options, "--yes"], env=env,
                              capture_output=True, text=True, check=True)
        assert done.stdout.endswith("applied\n")
        assert (tmp_path / "words").read_text().strip() == words
        assert (tmp_path / "input").read_text() == printed.stdout
