"""Images and artifacts of WebAssembly: how they are found, chosen, taken in and run."""

import json
import subprocess

import pytest

import harness
import wasm_harness
from wasm_harness import Layout, module_layer

pytestmark = [pytest.mark.root, pytest.mark.wasm, pytest.mark.usefixtures("nothing_left")]

ENTRY = {"Entrypoint": ["/app.wasm"], "Env": ["FROM_IMAGE=yes"]}
NATIVE = {"Entrypoint": ["/bin/echo", "native"], "Env": ["PATH=/bin"]}


@pytest.fixture
def probe(programs):
    return programs.probe.read_bytes()


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


@pytest.fixture
def take_in(trivet, layout):
    """Imports one entry of the layout; returns its name."""
    def take(entry, name="img"):
        layout.tag(entry, name)
        trivet.run("image", "import", layout.folder, name)
        return name
    return take


def busybox_layer():
    return harness.LayerTar().dir("bin").file("bin/echo", harness.busybox().read_bytes(), 0o755).bytes()


def isolation(trivet, *arguments) -> str:
    name = trivet.out("create", "--network", "none", *arguments)
    found = trivet.inspect(name)["Trivet"]["Isolation"]
    trivet.run("rm", name)
    return found


# ---------------------------------------------------------------- ordinary images for Wasm

@pytest.mark.parametrize("platform", ["wasi/wasm", "wasip1/wasm", "wasi/wasm32"])
def test_an_image_for_the_platform_runs(trivet, layout, take_in, probe, platform):
    image = take_in(layout.image([module_layer(probe)], ENTRY, platform))
    done = trivet.box("read", "/data/text", ",", "env", image=image)
    assert done.stdout.startswith("from the layer\n") and "FROM_IMAGE=yes" in done.lines
    assert isolation(trivet, image) == "wasm"


def test_cmd_workdir_and_user_of_the_image(trivet, layout, take_in, probe):
    image = take_in(layout.image([module_layer(probe)], {
        "Entrypoint": ["app.wasm"], "Cmd": ["echo", "from cmd"], "WorkingDir": "/", "User": "1234:1234"}, "wasi/wasm"))
    assert trivet.box(image=image).stdout == "from cmd\n"
    assert trivet.box("write", "/root-only", "x", image=image).stdout == "write: Permission denied\n"


def test_a_module_in_several_layers(trivet, layout, take_in, probe):
    upper = harness.LayerTar().file("data/.wh.text").file("data/other", "upper").bytes()
    image = take_in(layout.image([module_layer(probe), upper], ENTRY, "wasi/wasm"))
    assert trivet.box("ls", "/data", image=image).stdout == "[other]\n"


def test_a_layer_over_the_module_replaces_it(trivet, layout, take_in, probe, programs):
    other = programs.c('#include <stdio.h>\nint main(void) { puts("the upper one"); }').read_bytes()
    upper = harness.LayerTar().file("app.wasm", other, 0o755).bytes()
    image = take_in(layout.image([module_layer(probe), upper], ENTRY, "wasi/wasm"))
    assert trivet.box(image=image).stdout == "the upper one\n"


def test_an_image_without_its_module(trivet, layout, take_in, probe):
    image = take_in(layout.image([module_layer(probe)], {"Entrypoint": ["/absent.wasm"]}, "wasi/wasm"))
    failed = trivet.fails("run", "--rm", "--network", "none", image, code=127)
    assert "/absent.wasm" in failed.stderr and "no such file" in failed.stderr


# ---------------------------------------------------------------- artifacts

@pytest.mark.parametrize("config_type,layer_type", [
    (wasm_harness.ARTIFACT_CONFIG, "application/wasm"),
    (wasm_harness.ARTIFACT_CONFIG, "application/vnd.wasm.content.layer.v1+wasm"),
])
def test_an_artifact_runs(trivet, layout, take_in, probe, config_type, layer_type):
    image = take_in(layout.artifact(probe, config_type, layer_type=layer_type))
    assert trivet.box("echo", "an artifact", image=image).stdout == "an artifact\n"
    assert isolation(trivet, image) == "wasm"


def test_an_artifact_that_is_no_module_is_refused(trivet, layout):
    layout.tag(layout.artifact(b"#!/bin/sh\necho no\n"), "img")
    failed = trivet.fails("image", "import", layout.folder, "img")
    assert "no WebAssembly module" in failed.stderr
    assert trivet.run("images", "-q").stdout.split() == trivet.run("images", "-q", "busybox").stdout.split()


def test_runwasi_s_layers_run(trivet, layout, take_in, probe):
    """An image whose only layer is a module of runwasi's kind."""
    layer = layout.blob("application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", probe)
    config = layout.blob(wasm_harness.IMAGE_CONFIG, {"os": "wasip1", "architecture": "wasm", "config": {},
                                                     "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}})
    image = take_in(layout.manifest(config, [layer]))
    assert trivet.box("echo", "x", image=image).stdout == "x\n"


# ---------------------------------------------------------------- an index

def test_an_index_with_wasm_alone_is_wasm(trivet, layout, take_in, probe):
    image = take_in(layout.index([layout.image([module_layer(probe)], ENTRY, "wasi/wasm")]))
    assert trivet.box("echo", "x", image=image).stdout == "x\n"


def test_an_index_with_both_is_the_host_s_own(trivet, layout, take_in, probe):
    image = take_in(layout.index([layout.image([module_layer(probe)], ENTRY, "wasi/wasm"),
                                  layout.image([busybox_layer()], NATIVE, "linux/amd64")]))
    assert trivet.box("x", image=image).stdout == "native x\n"


@pytest.fixture
def pushed(registry, layout, probe):
    """References of a registry: of Wasm alone, of both kinds, of an artifact."""
    wasm = layout.image([module_layer(probe)], ENTRY, "wasi/wasm")
    native = layout.image([busybox_layer()], NATIVE, "linux/amd64")
    layout.tag(layout.index([wasm]), "only")
    layout.tag(layout.index([native, wasm]), "both")
    layout.tag(layout.artifact(probe), "artifact")
    names = {}
    for tag in ("only", "both", "artifact"):
        names[tag] = f"{registry.host}/test/{tag}:1"
        subprocess.run(["skopeo", "copy", "-q", "--all", "--dest-tls-verify=false", f"oci:{layout.folder}:{tag}",
                        f"docker://{names[tag]}"], check=True, capture_output=True)
    return names


def test_images_of_a_registry(trivet, pushed):
    run = ["run", "--rm", "--network", "none", "--tls-verify=false"]
    assert trivet.run(*run, pushed["only"], "echo", "pulled").stdout == "pulled\n"
    assert trivet.run(*run, pushed["artifact"], "echo", "pulled").stdout == "pulled\n"
    assert trivet.run(*run, pushed["both"], "x").stdout == "native x\n"


def test_the_platform_is_chosen_by_name(trivet, pushed):
    run = ["run", "--rm", "--network", "none", "--tls-verify=false", "--platform", "wasi/wasm"]
    assert trivet.run(*run, pushed["both"], "echo", "chosen").stdout == "chosen\n"
    failed = trivet.fails("pull", "--tls-verify=false", "--platform", "linux/riscv64", pushed["only"])
    assert "wasi/wasm" in failed.stderr


def test_an_artifact_goes_to_a_registry_and_comes_back(trivet, registry, pushed):
    trivet.run("pull", "-q", "--tls-verify=false", pushed["artifact"])
    copy = f"{registry.host}/test/copy:2"
    trivet.run("tag", pushed["artifact"], copy)
    trivet.run("push", "--tls-verify=false", copy)
    manifest = json.loads(subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{copy}"], check=True,
        capture_output=True).stdout)
    assert manifest["config"]["mediaType"] == wasm_harness.ARTIFACT_CONFIG
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/wasm"]


def test_an_image_is_saved_and_loaded(trivet, layout, take_in, probe, tmp_path):
    take_in(layout.image([module_layer(probe)], ENTRY, "wasi/wasm"), "saved")
    trivet.run("image", "save", "-o", tmp_path / "saved.tar", "saved")
    trivet.run("rmi", "saved")
    trivet.run("image", "import", tmp_path / "saved.tar")
    assert trivet.box("echo", "back", image="saved").stdout == "back\n"


# ---------------------------------------------------------------- native images with Wasm in them

def test_a_wasm_entrypoint_of_a_native_image(trivet, layout, take_in, probe):
    image = take_in(layout.image([busybox_layer(), module_layer(probe, "bin/tool")],
                                 {"Entrypoint": ["/bin/tool"], "Env": ["PATH=/bin"]}, "linux/amd64"))
    assert trivet.box("ls", "/bin", image=image).stdout == "[echo tool]\n"
    assert isolation(trivet, image) == "wasm"


def test_the_program_decides_in_a_native_image(trivet, layout, take_in, probe):
    image = take_in(layout.image([busybox_layer(), module_layer(probe)],
                                 {"Cmd": ["/app.wasm"], "Env": ["PATH=/bin"]}, "linux/amd64"))
    assert trivet.box("/app.wasm", "echo", "wasm", image=image).stdout == "wasm\n"
    assert trivet.box("/bin/echo", "native", image=image).stdout == "native\n"
    assert isolation(trivet, image) == "wasm" and isolation(trivet, image, "echo") == "native"


@pytest.mark.parametrize("label,native", [("module.wasm.image/variant=compat", False),
                                          ("module.wasm.image/variant=compat-smart", True),
                                          ("run.oci.handler=wasm", False)])
def test_labels_that_other_runtimes_know(trivet, layout, take_in, probe, label, native):
    key, value = label.split("=")
    image = take_in(layout.image([busybox_layer(), module_layer(probe)],
                                 {**ENTRY, "Labels": {key: value}}, "linux/amd64"))
    assert trivet.box("echo", "x", image=image).stdout == "x\n"
    done = trivet.run("run", "--rm", "--network", "none", "--entrypoint", "/bin/echo", image, "y", check=False)
    assert (done.returncode, done.stdout) == ((0, "y\n") if native else (126, ""))


def test_a_label_changes_no_limit(trivet, layout, take_in, programs):
    """What an image says of itself must not free it of what the host sets."""
    loop = programs.wat('(module (func (export "_start") (loop $again (br $again))))').read_bytes()
    labels = {"dev.trivet.wasm.fuel": "off", "dev.trivet.wasm.timeout": "1h", "dev.trivet.isolation": "native"}
    image = take_in(layout.image([module_layer(loop)], {**ENTRY, "Labels": labels}, "wasi/wasm"))
    done = trivet.run("run", "--rm", "--network", "none", "--timeout", "20", image, check=False)
    assert done.returncode == 152, "fuel is counted, whatever the label says"
