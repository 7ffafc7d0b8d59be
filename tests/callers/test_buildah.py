"""buildah: programs in a working container."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.buildah


@pytest.fixture
def working(buildah):
    name = buildah.out("from", "--pull-never", "box")
    yield name
    buildah.run("rm", name)


def test_run(buildah, working):
    done = buildah.run("run", working, "--", "sh", "-c", "echo out; id -u; exit 0")
    assert done.lines == ["out", "0"]


@pytest.mark.parametrize("words,code", [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
                                        (["no-such-program"], None)])
def test_run_that_fails(buildah, working, words, code):
    done = buildah.run("run", working, "--", *words, check=False)
    assert done.returncode == code if code else done.returncode != 0


def test_run_keeps_what_it_wrote(buildah, working):
    buildah.run("run", "--user", "app", working, "--", "sh", "-c", "echo kept > /tmp/kept")
    assert buildah.out("run", working, "--", "cat", "/tmp/kept") == "kept"


def test_run_with_volume_environment_capabilities_and_terminal(buildah, working):
    folder = buildah.base / "volume"
    folder.mkdir()
    (folder / "x").write_text("bound\n")
    done = buildah.run("run", "--volume", f"{folder}:/v:ro", "--env", "A=b", "--cap-drop", "all",
                       "--workingdir", "/v", "--hostname", "ship", working, "--", "sh", "-c",
                       "cat x; echo $A; hostname; grep CapEff /proc/self/status")
    assert done.lines == ["bound", "b", "ship", "CapEff:\t0000000000000000"]
    assert "/dev/pts/0" in buildah.run("run", "--tty", working, "--", "tty").stdout


def test_build(buildah):
    folder = buildah.base / "context"
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM box\nRUN echo built > /built\nRUN cat /built\n")
    done = buildah.run("build", "--pull-never", "--network", "none", "-t", "derived", folder)
    assert "built" in done.stdout
