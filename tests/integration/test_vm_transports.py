"""Ways into a microVM: the agent, and SSH where its image has a server."""

import pytest

import transport_harness

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.microvm,
              pytest.mark.usefixtures("nothing_left")]
MACHINE = ("--isolation", "microvm", "--experimental")


def test_the_agent(trivet):
    trivet.run("run", "-d", "--init", "--name", "guest", "--network", "none", "--user", "app", "--workdir", "/tmp",
               *MACHINE, "busybox", "sleep", "1000")
    transport_harness.keep_contract(trivet.env, container="guest", user="app", workdir="/tmp",
                                    text_only="yes")


@pytest.mark.network
def test_ssh(trivet, tmp_path):
    guest = transport_harness.start_sshd(trivet, tmp_path, *MACHINE)
    # A connection takes the machine seconds in emulation, so these are not all.
    transport_harness.keep_contract(trivet.env, tests="*Hostile*:*ExitCodes*:*InTheGuestAtTheTimeout*:"
                                    "*StreamsWhile*:*Login*", **guest)
