"""The library drives podman, which drives trivet-oci: the contract that trivet's own containers keep."""

import shlex

import pytest

import harness
import library_harness

pytestmark = pytest.mark.podman

@pytest.fixture
def environment(podman, tmp_path):
    """For a program that runs podman as it finds it: with the fixture's store."""
    found = tmp_path / "bin" / "podman"
    found.parent.mkdir()
    found.write_text(f'#!/bin/sh\nexec {shlex.join(podman.words)} "$@"\n')
    found.chmod(0o755)
    return {**podman.env, "PATH": f"{found.parent}:{podman.env['PATH']}"}


def test_podman_keeps_the_contract(podman, environment, tmp_path):
    harness.write_oci_layout(tmp_path / "image", library_harness.shell_layers(),
                             {**library_harness.CONFIG, "Env": ["PATH=/usr/bin:/bin"]}, "probe")
    image = podman.out("pull", "--quiet", f"oci:{tmp_path}/image:probe")
    podman.run("untag", image)  # of an image with one more name a name could be removed, in use or not
    podman.run("tag", image, library_harness.IMAGE)
    library_harness.run_contract(environment, "podman", 60)
