"""What the Wasm tests are made of: programs built on the spot from C, text and Rust, and images."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import harness

CLANG = "clang-19"
SOURCE = pathlib.Path(__file__).with_name("wasm_probe.c")
# A module that does nothing, by its bytes: no tool is needed for it.
EMPTY_MODULE = b"\0asm\1\0\0\0"
# Type section, function section, export "_start", an empty body: it runs and exits with 0.
SMALLEST_COMMAND = EMPTY_MODULE + bytes.fromhex("01040160000003020100070a01065f737461727400000a040102000b")


def toolchain_missing() -> str | None:
    """What is not there of what the tests need to build and run Wasm programs."""
    for program, package in ((CLANG, "clang-19"), ("wasm-ld-19", "lld-19"), ("wat2wasm", "wabt")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: {package})"
    if not os.path.exists("/usr/lib/wasm32-wasi/libc.a"):
        return "there is no C library for wasm32-wasi (Debian: wasi-libc)"
    if not (harness.BIN_DIR / "trivet-wasm").exists():
        return "trivet-wasm was not built"
    return None


@functools.cache
def cargo_bin() -> str:
    """PATH with the programs of a Rust that rustup installed."""
    return f"{pathlib.Path.home()}/.cargo/bin:{os.environ.get('PATH', '')}"


@functools.cache
def rust_missing() -> str | None:
    """rustc makes components itself, when it has the target."""
    rustc = shutil.which("rustc", path=cargo_bin())
    if rustc is None:
        return "rustc is not installed"
    found = subprocess.run([rustc, "--print", "target-libdir", "--target", "wasm32-wasip2"],
                           capture_output=True, text=True, check=False)
    if found.returncode != 0 or not os.path.isdir(found.stdout.strip()):
        return "rustc has no wasm32-wasip2 (scripts/setup-wasm-programs adds it)"
    return None


REAL_PROGRAMS = ("boolector", "gojq", "ripgrep")


@functools.cache
def real_programs() -> pathlib.Path:
    script = harness.ROOT / "scripts/setup-wasm-programs"
    done = subprocess.run([script, "--print-directory"], check=True, capture_output=True, text=True)
    return pathlib.Path(done.stdout.strip())


def real_programs_missing() -> str | None:
    absent = [name for name in REAL_PROGRAMS if not (real_programs() / f"{name}.wasm").exists()]
    return f"{' and '.join(absent)} is not in {real_programs()}" if absent else None


class Builder:
    """Builds each program once a session."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir()

    def _build(self, kind: str, text: str, command) -> pathlib.Path:
        key = hashlib.sha256((kind + text).encode()).hexdigest()[:16]
        target = self.folder / f"{kind}-{key}.wasm"
        if not target.exists():
            source = self.folder / f"{key}.{kind}"
            source.write_text(text)
            subprocess.run([*command(source), "-o", target], check=True)
        return target

    def c(self, text: str) -> pathlib.Path:
        return self._build("c", text, lambda source: [CLANG, "--target=wasm32-wasi", "-O1",
                                                      "-Wno-infinite-recursion", source])

    def wat(self, text: str) -> pathlib.Path:
        return self._build("wat", text, lambda source: ["wat2wasm", source])

    def rust(self, text: str) -> pathlib.Path:
        """A component of WASI preview 2."""
        rustc = shutil.which("rustc", path=cargo_bin())
        return self._build("rs", text, lambda source: [
            rustc, "-O", "--edition=2021", "--crate-name=program", "--target=wasm32-wasip2", source])

    @property
    def probe(self) -> pathlib.Path:
        """wasm_probe.c: does what its words say."""
        return self.c(SOURCE.read_text())


# ---------------------------------------------------------------- images

ARTIFACT_CONFIG = "application/vnd.wasm.config.v0+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layout:
    """An OCI image layout that is put together by hand."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.blobs = folder / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.entries: list[dict] = []

    def blob(self, media_type: str, content: bytes | dict) -> dict:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = harness.digest_of(data)
        (self.blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def manifest(self, config: dict, layers: list[dict], **more) -> dict:
        return self.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                    "layers": layers, **more})

    def image(self, layers: list[bytes], config: dict, platform: str) -> dict:
        """An ordinary image for a platform such as "wasi/wasm"."""
        system, architecture = platform.split("/")
        document = {"os": system, "architecture": architecture, "config": config,
                    "rootfs": {"type": "layers", "diff_ids": [harness.digest_of(layer) for layer in layers]}}
        made = self.manifest(self.blob(IMAGE_CONFIG, document),
                             [self.blob(TAR_LAYER, layer) for layer in layers])
        return {**made, "platform": {"os": system, "architecture": architecture}}

    def artifact(self, module: bytes, config_type: str = ARTIFACT_CONFIG, config: dict | None = None,
                 layer_type: str = "application/wasm") -> dict:
        """A Wasm OCI artifact: a config of its own kind and the bare module as the layer."""
        layer = self.blob(layer_type, module)
        if config is None:
            config = {"created": "2024-01-01T00:00:00Z", "author": "", "architecture": "wasm",
                      "os": "wasip1", "layerDigests": [layer["digest"]]}
        return self.manifest(self.blob(config_type, config), [layer])

    def index(self, entries: list[dict]) -> dict:
        return self.blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    def tag(self, entry: dict, name: str) -> None:
        self.entries.append({**entry, "annotations": {"org.opencontainers.image.ref.name": name}})
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": self.entries}))


def module_layer(module: bytes, path: str = "app.wasm") -> bytes:
    layer = harness.LayerTar().dir("data").dir("tmp", 0o1777)
    return layer.file(path, module, 0o755).file("data/text", "from the layer\n").bytes()
