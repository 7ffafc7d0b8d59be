"""The contract of the library with a microVM around each container."""

import pytest

import library_harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]


def test_microvms_keep_the_contract(trivet, tmp_path):
    library_harness.add_image(trivet, tmp_path / "image", library_harness.shell_layers())
    library_harness.check_contract(trivet, "microvm", timeout=300)
