"""`trivet doctor`: what it says of this host, and of hosts on which something is broken."""

import json
import os
import subprocess

import jsonschema
import pytest

import harness
from harness import ROOT

NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def examine(trivet, prepare: str = "true", *, env=None, user: int | None = None, code: int | None = None):
    """What doctor says after `prepare`, a shell's words, in a mount namespace of its own."""
    command = [*NAMESPACE, "sh", "-c", f'{prepare}\nexec "$@"', "sh"]
    if user is not None:
        command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    command += [trivet.program, "doctor", "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**trivet.env, **(env or {})}) as doctor:
        output, errors = doctor.communicate(timeout=60 * harness.SLOW)
    assert doctor.returncode in (0, 1), errors
    assert code is None or doctor.returncode == code, output
    # Its own, whatever other tests have at the moment.
    assert [path for path in harness.cgroups_of_trivet() if f"doctor-{doctor.pid}-" in path] == []
    document = json.loads(output)
    schema = json.loads((ROOT / "packaging/schema/doctor.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["ok"] == (doctor.returncode == 0)
    return {check["name"]: check for check in document["checks"]}


@pytest.mark.root
@pytest.mark.cgroup
def test_a_host_that_runs_containers_is_fit(empty_trivet):
    checks = examine(empty_trivet, code=0)
    for name in ("cgroups", "namespaces", "seccomp", "overlay", "system-calls", "data-directory"):
        assert checks[name]["state"] == "ok" and checks[name]["required"], checks[name]
    assert checks["namespaces"]["found"] == "mnt uts ipc net pid cgroup"
    assert list(empty_trivet.base.glob("**/.trivet-doctor-*")) == []


@pytest.mark.root
def test_every_fault_has_a_cause_and_mostly_a_fix(empty_trivet):
    for check in examine(empty_trivet).values():
        assert check["purpose"]
        assert (check["cause"] == "") == (check["state"] == "ok"), check
    text = empty_trivet.run("doctor", check=False).stdout
    assert "This host can" in text


@pytest.mark.root
def test_programs_that_are_not_there(empty_trivet, tmp_path):
    hide = "for p in /usr/bin/pasta /usr/bin/qemu-system-x86_64; do mount --bind /dev/null $p; done"
    checks = examine(empty_trivet, hide, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
    assert checks["pasta"]["state"] != "ok" and "passt" in checks["pasta"]["fix"]
    assert checks["microvm-qemu"]["state"] != "ok"
    assert "qemu-system-x86" in checks["microvm-qemu"]["fix"]


@pytest.mark.root
def test_a_kvm_that_is_none(empty_trivet):
    checks = examine(empty_trivet, "[ -e /dev/kvm ] || exit 0; mount --bind /dev/zero /dev/kvm")
    if os.path.exists("/dev/kvm"):
        assert checks["microvm-kvm"]["state"] == "broken"
    assert checks["microvm-kvm"]["required"] is False


@pytest.mark.root
def test_a_data_directory_without_room(empty_trivet):
    data = empty_trivet.data
    data.mkdir()
    checks = examine(empty_trivet, f"mount -t tmpfs -o size=64k none {data}; "
                                   f"cat /dev/zero > {data}/x 2>/dev/null || true", code=1)
    assert checks["data-directory"]["state"] == "broken"
    assert "No space left" in checks["data-directory"]["cause"]
    assert "trivet prune" in checks["data-directory"]["fix"]


@pytest.mark.root
def test_a_data_directory_that_can_only_be_read(empty_trivet):
    data = empty_trivet.data
    data.mkdir()
    checks = examine(empty_trivet, f"mount -t tmpfs -o ro none {data}", code=1)
    assert "Read-only file system" in checks["data-directory"]["cause"]
    assert checks["overlay"]["state"] == "broken"


@pytest.mark.root
def test_cgroups_that_are_not_mounted(empty_trivet):
    hidden = examine(empty_trivet, "mount -t tmpfs none /sys/fs/cgroup", code=1)["cgroups"]
    assert hidden["state"] in ("missing", "broken") and hidden["fix"]


@pytest.mark.root
def test_a_user_without_subordinate_ids(empty_trivet, tmp_path):
    os.chmod(empty_trivet.base, 0o777)
    os.chmod(empty_trivet.base.parent, 0o755)
    none = tmp_path / "empty"
    none.write_text("")
    prepare = f"for f in /etc/subuid /etc/subgid; do [ -e $f ] && mount --bind {none} $f; done; true"
    checks = examine(empty_trivet, prepare, user=12345)
    assert checks["privileges"]["state"] == "ok" and "12345" in checks["privileges"]["found"]
    assert checks["cgroups"]["required"] is False
    assert checks["subordinate-ids"]["state"] == "missing"
    assert "usermod --add-subuids" in checks["subordinate-ids"]["fix"]


@pytest.mark.root
def test_devices_of_cdi_files(empty_trivet, tmp_path):
    directory = tmp_path / "cdi"
    directory.mkdir()
    variable = {"TRIVET_CDI_SPEC_DIRS": str(directory)}
    assert examine(empty_trivet, env=variable)["cdi"]["state"] == "missing"
    (directory / "one.json").write_text(json.dumps({
        "cdiVersion": "0.6.0", "kind": "example.com/device",
        "devices": [{"name": "one", "containerEdits": {"env": ["ONE=1"]}}]}))
    assert examine(empty_trivet, env=variable)["cdi"]["found"] == "1 devices"
    (directory / "two.json").write_text("{")
    broken = examine(empty_trivet, env=variable)["cdi"]
    assert broken["state"] == "broken" and "two.json" in broken["cause"]


@pytest.mark.root
def test_a_broken_configuration_is_a_finding(empty_trivet, tmp_path):
    path = tmp_path / "config.yml"
    path.write_text("runtme: native\n")
    checks = examine(empty_trivet, env={"TRIVET_CONFIG": str(path)}, code=1)
    assert "runtme" in checks["configuration"]["cause"]
    assert "did you mean" in checks["configuration"]["fix"]
