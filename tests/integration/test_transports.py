"""Ways into a container: the agent and SSH keep one contract. In machines: test_vm_transports.py."""

import pytest

import harness
import transport_harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]


def test_the_agent(trivet):
    trivet.run("run", "-d", "--init", "--name", "guest", "--network", "none", "--user", "app", "--workdir", "/tmp",
               "busybox", "sleep", "1000")
    transport_harness.keep_contract(trivet.env, container="guest", user="app", workdir="/tmp")


@pytest.mark.network
def test_ssh(trivet, tmp_path):
    guest = transport_harness.start_sshd(trivet, tmp_path)
    transport_harness.keep_contract(trivet.env, **guest)
