"""Devices that CDI files describe: given to real containers, seen from inside."""

import json
import os
import stat

import pytest

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

# Harmless devices of every host, under names of our own: major and minor of null, zero and full.
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7)}


class Cdi:
    """CDI files in directories of the test's own."""

    def __init__(self, trivet, folder):
        self.trivet = trivet
        self.static = folder / "static"
        self.dynamic = folder / "dynamic"
        for directory in (self.static, self.dynamic):
            directory.mkdir()
        trivet.env["TRIVET_CDI_SPEC_DIRS"] = f"{self.static}:{self.dynamic}"

    def write(self, devices, edits=None, kind="vendor.com/class", name="a.json", directory=None):
        document = {"cdiVersion": "0.6.0", "kind": kind,
                    "devices": [{"name": device, "containerEdits": own}
                                for device, own in devices.items()]}
        if edits:
            document["containerEdits"] = edits
        path = (directory or self.static) / name
        path.write_text(json.dumps(document))
        return path

    def sh(self, script, *options, **settings):
        return self.trivet.run("run", "--rm", "--network", "none", *options,
                               "busybox", "sh", "-c", script, **settings)

    def fails(self, *options):
        result = self.sh("true", *options, check=False)
        assert result.returncode == 125, result.stdout + result.stderr
        assert self.trivet.containers() == []
        return result.stderr

    def list(self):
        return self.trivet.run("device", "ls", "--format", "json").json()


@pytest.fixture
def cdi(trivet, tmp_path):
    return Cdi(trivet, tmp_path)


def node(name, **more):
    return {"path": f"/dev/vendor/{name}", "hostPath": f"/dev/{name}", **more}


def test_device_nodes_have_their_place_mode_and_owner(cdi):
    cdi.write({"a": {"deviceNodes": [node("null", fileMode=0o640, uid=7, gid=8),
                                     node("zero", permissions="r"), node("full")]}})
    told = cdi.sh("stat -c '%n %t:%T %a %u:%g' /dev/vendor/*; echo x > /dev/vendor/null; "
                  "head -c 3 /dev/vendor/zero | od -An -tx1; cat /dev/vendor/full | head -c 1 | wc -c; "
                  "echo x > /dev/vendor/full", "--device", "vendor.com/class=a", check=False)
    lines = told.stdout.splitlines()
    assert lines[0].startswith("/dev/vendor/full 1:7 666")
    assert lines[1] == "/dev/vendor/null 1:3 640 7:8"
    assert lines[2].startswith("/dev/vendor/zero 1:5")
    assert lines[3].split() == ["00", "00", "00"]
    assert "No space left" in told.stderr


def test_a_node_that_the_file_says_wholly_and_the_host_does_not_have(cdi):
    cdi.write({"a": {"deviceNodes": [{"path": "/dev/made", "type": "c", "major": 1, "minor": 5,
                                      "fileMode": 0o666}]}})
    assert cdi.sh("head -c 2 /dev/made | wc -c", "--device", "vendor.com/class=a").stdout == "2\n"


def test_what_no_device_allows_stays_forbidden(cdi):
    """The cgroup lets in what the file says, and no more."""
    fuse = {"path": "/dev/mute", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}
    cdi.write({"mute": {"deviceNodes": [{**fuse, "permissions": "none"}]},
               "open": {"deviceNodes": [fuse]}})
    for device, denied in (("mute", True), ("open", False)):
        told = cdi.sh("cat /dev/mute", "--device", f"vendor.com/class={device}", check=False)
        assert ("can't open" in told.stderr) is denied


def test_env_mounts_groups_and_the_files_own_edits(cdi, tmp_path):
    library = tmp_path / "libvendor.so"
    library.write_text("of the vendor\n")
    cdi.write({"a": {"env": ["OF_A=1"], "additionalGids": []},
               "b": {"env": ["OF_B=1"]}},
              {"env": ["OF_FILE=1", "FROM_IMAGE=changed"],
               "mounts": [{"hostPath": str(library), "containerPath": "/usr/lib/libvendor.so",
                           "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}]})
    told = cdi.sh("env; cat /usr/lib/libvendor.so; echo x > /usr/lib/libvendor.so",
                  "--device", "vendor.com/class=a", check=False)
    assert {"OF_A=1", "OF_FILE=1", "FROM_IMAGE=changed", "of the vendor"} <= set(told.lines)
    assert "OF_B=1" not in told.lines
    assert "Read-only file system" in told.stderr
    both = cdi.sh("env", "--device", "vendor.com/class=a", "--device", "vendor.com/class=b")
    assert {"OF_A=1", "OF_B=1"} <= set(both.lines)


def write_hook(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_hooks_run_at_their_times(cdi, tmp_path):
    marks = tmp_path / "marks"
    hook = write_hook(tmp_path / "hook", f"echo \"$1 $(cat | grep -o '\"status\": *\"[a-z]*\"')\" >> {marks}")
    cdi.write({"a": {"hooks": [
        {"hookName": stage, "path": hook, "args": ["hook", stage], "timeout": 30}
        for stage in ("createRuntime", "createContainer", "poststart", "poststop")]}})
    assert cdi.sh("echo ran", "--device", "vendor.com/class=a").stdout == "ran\n"
    lines = marks.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["createRuntime", "createContainer", "poststart",
                                                  "poststop"]
    assert "created" in lines[0] and "stopped" in lines[-1]


def test_a_hook_that_fails_leaves_nothing(cdi, tmp_path):
    hook = write_hook(tmp_path / "hook", "echo it did not work >&2; exit 3")
    cdi.write({"a": {"hooks": [{"hookName": "createContainer", "path": hook}]}})
    result = cdi.sh("echo ran", "--device", "vendor.com/class=a", check=False)
    assert result.returncode != 0 and result.stdout == ""
    assert "createContainer" in result.stderr and "it did not work" in result.stderr
    assert cdi.trivet.containers() == []


def test_an_ordinary_user_inside_owns_its_device(cdi):
    cdi.write({"a": {"deviceNodes": [node("zero", fileMode=0o600)]}})
    told = cdi.sh("stat -c %u /dev/vendor/zero; head -c 1 /dev/vendor/zero | wc -c",
                  "--user", "1000", "--device", "vendor.com/class=a")
    assert told.stdout.split() == ["1000", "1"]


def test_what_is_missing_on_the_host_is_named_with_its_file(cdi, tmp_path):
    path = cdi.write({"node": {"deviceNodes": [{"path": "/dev/no-such"}]},
                      "mount": {"mounts": [{"hostPath": "/no/such", "containerPath": "/x"}]},
                      "hook": {"hooks": [{"hookName": "poststop", "path": "/no/hook"}]}})
    for device, what in (("node", "/dev/no-such"), ("mount", "/no/such"), ("hook", "/no/hook")):
        told = cdi.fails("--device", f"vendor.com/class={device}")
        assert what in told and str(path) in told and "hint:" in told


def test_names_that_are_wrong_or_not_there(cdi):
    cdi.write({"first": {"env": ["A=1"]}})
    assert "did you mean vendor.com/class=first?" in cdi.fails("--device", "vendor.com/class=frist")
    told = cdi.fails("--device", "other.com/class=first")
    assert "no CDI file" in told and str(cdi.static) in told and "trivet device ls" in told
    assert "VENDOR/CLASS=NAME" in cdi.fails("--device", "vendor=first")
    told = cdi.fails("--gpus", "all")
    assert "nvidia.com/gpu" in told and "nvidia-ctk cdi generate" in told


def test_a_broken_file_is_told_to_whoever_misses_a_device(cdi):
    cdi.write({"a": {"env": ["A=1"]}})
    (cdi.static / "broken.yaml").write_text("cdiVersion: 0.6.0\nkind: other.com/class\ndevices: []\n")
    assert cdi.sh("echo $A", "--device", "vendor.com/class=a").stdout == "1\n"
    told = cdi.fails("--device", "other.com/class=a")
    assert "broken.yaml:3:1: devices: it is empty" in told


def test_two_files_that_define_the_same_device(cdi):
    cdi.write({"a": {"env": ["FROM=first"]}}, name="first.json")
    cdi.write({"a": {"env": ["FROM=second"]}}, name="second.json")
    told = cdi.fails("--device", "vendor.com/class=a")
    assert "first.json" in told and "second.json" in told
    # A directory of more precedence settles it.
    cdi.write({"a": {"env": ["FROM=third"]}}, directory=cdi.dynamic)
    assert cdi.sh("echo $FROM", "--device", "vendor.com/class=a").stdout == "third\n"


def test_gpus_as_docker_has_them(cdi):
    cdi.write({name: {"env": [f"GPU_{name}=1"]} for name in ("0", "1", "2")} |
              {"all": {"env": ["GPU_all=1"]}}, kind="nvidia.com/gpu")

    def given(text):
        lines = cdi.sh("env | grep GPU_ | sort", "--gpus", text).lines
        return [line[4:-2] for line in lines]
    assert given("all") == ["all"]
    assert given("2") == ["0", "1"]
    assert given("device=2") == ["2"]
    assert given('"device=0,2"') == ["0", "2"]
    assert "there is no CDI device nvidia.com/gpu=3" in cdi.fails("--gpus", "4")
    assert "--gpus" in cdi.fails("--gpus", "some")


def test_inspect_and_a_stopped_container(cdi):
    cdi.write({"a": {"env": ["A=1"]}})
    name = cdi.trivet.out("create", "--network", "none", "--device",
                          "vendor.com/class=a", "--device", "/dev/null", "busybox", "sh", "-c",
                          "echo $A")
    settings = cdi.trivet.inspect(name)["HostConfig"]
    assert settings["DeviceRequests"] == [{"Driver": "cdi", "DeviceIDs": ["vendor.com/class=a"]}]
    assert settings["Devices"] == ["/dev/null"]
    # What the file said when the container was made holds.
    (cdi.static / "a.json").unlink()
    assert cdi.trivet.out("start", "-a", name) == "1"
    cdi.trivet.run("rm", name)


def test_a_microvm_has_no_devices_of_the_host(cdi):
    cdi.write({"a": {"env": ["A=1"]}})
    told = cdi.fails("--isolation", "microvm", "--experimental", "--device", "vendor.com/class=a")
    assert "a microVM has no devices of the host" in told


def test_device_ls(cdi):
    cdi.write({"a": {"env": ["A=1"]}, "b": {"env": ["A=1"]}})
    (cdi.dynamic / "broken.json").write_text("{")
    items = cdi.list()
    assert [item["Name"] for item in items] == ["vendor.com/class=a", "vendor.com/class=b", ""]
    assert items[2]["File"] == str(cdi.dynamic / "broken.json") and items[2]["Error"]
    shown = cdi.trivet.run("device", "ls")
    assert "vendor.com/class=a" in shown.stdout and "broken.json" in shown.stderr
    assert cdi.trivet.run("device", "ls", "-q").lines == [
        "vendor.com/class=a", "vendor.com/class=b"]
    told = cdi.trivet.run("info", "--format", "json").json()["devices"]
    assert told["cdi"] == ["vendor.com/class=a", "vendor.com/class=b"] and told["broken"]


def test_a_file_that_anybody_may_write_is_not_believed(cdi):
    path = cdi.write({"a": {"env": ["A=1"]}})
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    assert "everybody may write it" in cdi.fails("--device", "vendor.com/class=a")


def test_a_fifo_does_not_block(cdi):
    cdi.write({"a": {"env": ["A=1"]}})
    os.mkfifo(cdi.static / "fifo.json")
    assert cdi.sh("echo $A", "--device", "vendor.com/class=a").stdout == "1\n"


POD = """
apiVersion: v1
kind: Pod
metadata: {name: gpus}
spec:
  hostNetwork: true
  restartPolicy: Never
  initContainers:
  - {name: early, image: busybox, command: [sh, -c, "env | grep DEV_"],
     resources: {limits: {vendor.com/class: 1}}}
  containers:
  - {name: one, image: busybox, command: [sh, -c, "env | grep DEV_"],
     resources: {limits: {vendor.com/class: 1}}}
  - {name: two, image: busybox, command: [sh, -c, "env | grep DEV_ | sort"],
     resources: {limits: {vendor.com/class: "2"}}}
"""


def test_the_containers_of_a_pod_get_devices_of_their_own(cdi, tmp_path):
    cdi.write({name: {"env": [f"DEV_{name}=1"]} for name in ("0", "1", "2", "all")})
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(POD)
    cdi.trivet.run("pod", "run", "--pull", "never", manifest)
    cdi.trivet.run("pod", "wait", "gpus")
    assert cdi.trivet.run("pod", "logs", "-c", "early", "gpus").stdout == "DEV_0=1\n"
    assert cdi.trivet.run("pod", "logs", "-c", "one", "gpus").stdout == "DEV_0=1\n"
    assert cdi.trivet.run("pod", "logs", "-c", "two", "gpus").stdout == "DEV_1=1\nDEV_2=1\n"
    cdi.trivet.run("pod", "rm", "gpus")
    manifest.write_text(POD.replace('"2"', '"3"'))
    told = cdi.trivet.fails("pod", "run", "--pull", "never", manifest).stderr
    assert "there is no CDI device vendor.com/class=3" in told


def test_directories_of_the_command_line_replace_those_of_the_variable(cdi, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        cdi.write({"a": {"env": [f"WHO={name}"]}}, directory=tmp_path / name)
    cdi.write({"b": {"env": ["WHO=variable"]}})
    asked = ("--cdi-spec-dir", tmp_path / "first", "--cdi-spec-dir", tmp_path / "second")
    assert cdi.sh("echo $WHO", *asked, "--device", "vendor.com/class=a").stdout == "second\n"
    assert "vendor.com/class=b" in cdi.fails(*asked, "--device", "vendor.com/class=b")
    assert cdi.trivet.run("device", "ls", "--quiet", *asked).lines == ["vendor.com/class=a"]
    # A pool prepares its containers in a process of its own, which is elsewhere.
    cdi.trivet.run("pool", "create", "--network", "none", "--cdi-spec-dir", "second", "--device",
                   "vendor.com/class=a", "p", "busybox", "sh", "-c", "echo $WHO", cwd=tmp_path)
    assert cdi.trivet.run("pool", "run", "p").stdout == "second\n"
    cdi.trivet.run("pool", "rm", "--force", "p")
