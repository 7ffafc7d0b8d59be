"""The contract of ways into a guest (tests/contract/transport_contract.h), and an image with an sshd."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import harness

SSHD = pathlib.Path("/usr/sbin/sshd")
USERS = "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:100::/run/sshd:/bin/false\ndev:x:1000:1000::/home/dev:/bin/sh\n"
CONFIG = """Port 22
HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized
PidFile none
UsePAM no
PasswordAuthentication no
PrintMotd no
MaxStartups 50
"""


def keep_contract(env: dict[str, str], tests: str = "*", **guest: object) -> None:
    """Runs it; `guest` is what transport_main.cc wants to know: container=…, or endpoint=…, key=…"""
    program = harness.BIN_DIR / "trivet-transport-contract"
    assert program.exists(), "trivet-transport-contract was not built: is GoogleTest installed?"
    variables = {f"TRIVET_CONTRACT_{name.upper()}": str(value) for name, value in guest.items()}
    done = subprocess.run([program, "--gtest_brief=1", f"--gtest_filter={tests}"], capture_output=True, text=True, check=False,
                          timeout=120 * harness.SLOW, errors="replace",
                          env={**env, **variables,
                               "TRIVET_TEST_PATIENCE": os.environ.get("TRIVET_TEST_PATIENCE", "1")})
    assert done.returncode == 0, done.stdout + done.stderr


def make_keys(folder: pathlib.Path) -> None:
    """As docs/transports.md says: `id` for who comes, `host` for the server, `known_hosts`."""
    for name in ("id", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "known_hosts").write_text("trivet-guest " + (folder / "host.pub").read_text())


def with_libraries(program: pathlib.Path) -> dict[str, bytes]:
    """A program of this host and what it is linked with, by their paths without the first slash."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    paths = [str(program), *re.findall(r"(/\S+) \(0x", listed)]
    return {path.lstrip("/"): pathlib.Path(path).read_bytes() for path in paths}


def sshd_layers(keys: pathlib.Path) -> list[bytes]:
    """busybox's root, and OpenSSH's server of this host with these keys."""
    layer = harness.LayerTar()
    for name, content in with_libraries(SSHD).items():
        layer.file(name, content, 0o755)
    layer.dir("run").dir("run/sshd").dir("etc/ssh").dir("workspace", 0o777)
    layer.file("etc/passwd", USERS).file("etc/group", "root:x:0:\nsshd:x:100:\ndev:x:1000:\n")
    layer.dir("home/dev", 0o755, uid=1000, gid=1000)
    layer.file("etc/ssh/config", CONFIG).file("etc/ssh/host", (keys / "host").read_bytes(), 0o600)
    layer.file("etc/ssh/authorized", (keys / "id.pub").read_bytes())
    return [harness.busybox_layers()[0], layer.bytes()]


def start_sshd(trivet: harness.Trivet, folder: pathlib.Path, *options: str) -> dict[str, object]:
    """A guest with an sshd on a port of the loopback interface: what keep_contract() wants to know."""
    make_keys(folder)
    harness.write_oci_layout(folder / "image", sshd_layers(folder), {"Env": ["PATH=/usr/bin:/bin"]}, "sshd")
    trivet.run("image", "import", folder / "image", "sshd")
    port = harness.free_port()
    trivet.run("run", "-d", "--name", "guest", "-p", f"127.0.0.1:{port}:22", *options, "sshd",
               "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/config")
    harness.wait_for(lambda: "Server listening" in trivet.run("logs", "guest").stderr, 30, "sshd listens")
    return {"endpoint": f"127.0.0.1:{port}", "key": folder / "id", "known_hosts": folder / "known_hosts",
            "user": "dev", "workdir": "/workspace"}
