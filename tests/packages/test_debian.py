"""The Debian packages: what is in them, and a bare Debian 12 into which they are installed."""

import gzip
import re
import shutil

import pytest

import harness
from installed import Machine, Prefix, check, run

pytestmark = [pytest.mark.root, pytest.mark.doxygen]

def fields(package) -> dict[str, str]:
    text = check("dpkg-deb", "--field", package)
    return dict(re.findall(r"^(\S+): (.*)$", text, re.MULTILINE))


def test_there_are_four_and_they_say_what_they_need(packages):
    assert set(packages) == {"trivet", "libtrivet0", "libtrivet-dev", "trivet-doc"}
    trivet = fields(packages["trivet"])
    assert {"libc6", "libcurl4", "libarchive13", "libssl3", "libsystemd0"} <= set(
        re.findall(r"[\w.+-]+", re.sub(r"\([^)]*\)", "", trivet["Depends"])))
    version = trivet["Version"]
    assert f"libtrivet0 (= {version})" in fields(packages["libtrivet-dev"])["Depends"]
    assert f"trivet (= {version})" in fields(packages["libtrivet0"])["Depends"]
    assert fields(packages["trivet-doc"])["Architecture"] == "all"


def test_systemd_understands_the_units(unpacked):
    units = unpacked / "usr/lib/systemd/system"
    result = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                 units / "trivet-prune.service", units / "trivet-prune.timer",
                 env={"PATH": f"{unpacked}/usr/bin:/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"})
    complaints = [line for line in result.stdout.splitlines() if "trivet-prune" in line]
    # Nothing is installed on this host.
    assert [line for line in complaints if "is not executable" not in line] == []


def test_an_unpacked_tree_is_a_prefix(unpacked, shell, tmp_path):
    prefix = Prefix(unpacked / "usr")
    example = unpacked / "usr/share/doc/libtrivet-dev/examples/embed"
    shutil.copytree(example, tmp_path / "embed")
    check("make", "-C", tmp_path / "embed", "embed", env=prefix.environment(), timeout=300)
    assert "log: it says so" in shell.run(tmp_path / "embed/embed", prefix.environment())


@pytest.mark.debian
def test_a_bare_debian_runs_a_container_and_keeps_nothing_after_purge(packages, tmp_path):
    machine = Machine(tmp_path)
    machine.install(list(packages.values()))
    rootfs = machine.root / "srv/rootfs"
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(harness.busybox(), rootfs / "bin/busybox")

    assert re.match(r"trivet \d", machine.check("trivet", "--version"))
    assert "trivet-oci" in machine.check("trivet-oci", "--version")
    output = machine.check("trivet", "run", "--network", "none", "--rootfs", "/srv/rootfs", "--",
                           "/bin/busybox", "echo", "hello")
    assert output == "hello\n"
    assert "trivet pod run" in gzip.decompress(
        (machine.root / "usr/share/man/man1/trivet-pod-run.1.gz").read_bytes()).decode()
    for name in ("config", "project"):
        assert (machine.root / f"usr/share/trivet/schema/{name}.schema.json").stat().st_size > 0
    # What the timer runs, as the unit has it.
    unit = (machine.root / "usr/lib/systemd/system/trivet-prune.service").read_text()
    commands = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert len(commands) == 2
    assert len(list((machine.root / "var/lib/trivet/containers").iterdir())) == 1
    machine.check("sh", "-ec", "\n".join(commands))
    assert not list((machine.root / "var/lib/trivet/containers").iterdir())
    assert not machine.check("dpkg", "--verify", *packages)

    machine.check("dpkg", "--remove", *packages)
    assert machine.enter("trivet", "--version").returncode == 127
    assert (machine.root / "var/lib/trivet").exists()
    machine.check("dpkg", "--purge", *packages)
    assert not machine.named_after_trivet()
