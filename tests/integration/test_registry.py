"""pull and push against Debian's docker-registry, directly and through a proxy that breaks things."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import pytest

import harness
from faulty_proxy import Fault, FaultyProxy

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def with_gzip(data: bytes) -> tuple[bytes, str]:
    return gzip.compress(data, 1, mtime=0), "+gzip"


def with_zstd(data: bytes) -> tuple[bytes, str]:
    return subprocess.run(["zstd", "-q", "-1"], input=data, capture_output=True,
                          check=True).stdout, "+zstd"


def with_nothing(data: bytes) -> tuple[bytes, str]:
    return data, ""


def layer_of(size: int, name: str = "data") -> bytes:
    """A tar with one file that does not compress; the same for the same arguments."""
    data = b"".join(hashlib.sha256(f"{name}{n}".encode()).digest() for n in range(size // 32))
    return harness.LayerTar().dir("d").file(f"d/{name}", data).bytes()


class Pusher:
    """Puts blobs and manifests into a registry as they are, also ones that no tool would make."""

    def __init__(self, host: str, repository: str):
        self.host = host
        self.base = f"/v2/{repository}"

    def request(self, method: str, path: str, body: bytes = b"", **headers: str):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.request(method, path, body,
                           {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
        return response

    def blob(self, data: bytes, media_type: str) -> dict:
        place = self.request("POST", f"{self.base}/blobs/uploads/").getheader("Location")
        parts = urllib.parse.urlsplit(place)
        digest = harness.digest_of(data)
        self.request("PUT", f"{parts.path}?{parts.query}&digest={digest}", data,
                     Content_Type="application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def manifest(self, document: dict, tag: str | None = None) -> dict:
        data = json.dumps(document).encode()
        digest = harness.digest_of(data)
        self.request("PUT", f"{self.base}/manifests/{tag or digest}", data,
                     Content_Type=document["mediaType"])
        return {"mediaType": document["mediaType"], "digest": digest, "size": len(data)}

    def image(self, layers: list[bytes], tag: str | None = None, compress=with_gzip,
              platform: tuple[str, ...] = ("linux", "amd64"), **more) -> dict:
        """Returns the manifest's descriptor with its platform, and "config": the image's id."""
        rows = []
        for layer in layers:
            data, suffix = compress(layer)
            rows.append(self.blob(data, f"{OCI}.layer.v1.tar{suffix}"))
        config = {"os": platform[0], "architecture": platform[1], "config": {},
                  "rootfs": {"type": "layers",
                             "diff_ids": [harness.digest_of(layer) for layer in layers]}}
        described = self.blob(json.dumps(config).encode(), f"{OCI}.config.v1+json")
        entry = self.manifest({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
                               "config": described, "layers": rows, **more}, tag)
        names = dict(zip(("os", "architecture", "variant"), platform))
        return {**entry, "platform": names, "config": described["digest"]}

    def index(self, entries: list[dict], tag: str | None = None, docker: bool = False) -> dict:
        media_type = f"{DOCKER}.distribution.manifest.list.v2+json" if docker \
            else f"{OCI}.index.v1+json"
        rows = [{key: value for key, value in entry.items() if key != "config"}
                for entry in entries]
        return self.manifest({"schemaVersion": 2, "mediaType": media_type, "manifests": rows}, tag)


def assert_nothing_came(trivet) -> None:
    """No image is registered and no layer is visible, not even a half one."""
    assert trivet.run("images").stdout.count("sha256:") == 0
    layers = trivet.data / "layers"
    assert not layers.is_dir() or list(layers.iterdir()) == []


def layer_file(trivet, name: str) -> bytes:
    """The content of a file in any unpacked layer."""
    found = list((trivet.data / "layers").glob(f"*/diff/{name}"))
    assert len(found) == 1, found
    return found[0].read_bytes()


@pytest.fixture
def proxy(registry):
    with FaultyProxy(registry.host) as started:
        yield started


# ---------------------------------------------------------------- what a registry holds

def test_pull_by_tag_and_digest_over_http(registry, busybox_layout, empty_trivet):
    reference = registry.push_layout(busybox_layout, "library/busybox:1.0")
    image = empty_trivet.out("pull", "--quiet", reference)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", image)
    assert layer_file(empty_trivet, "www/index.html") == b"hello from trivet\n"
    manifest = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                               f"docker://{reference}"], capture_output=True, check=True).stdout
    by_digest = f"{registry.host}/library/busybox@{harness.digest_of(manifest)}"
    assert empty_trivet.out("pull", "--quiet", by_digest) == image


@pytest.mark.parametrize("compress", [with_gzip, with_zstd, with_nothing])
def test_layers_of_every_compression(registry, empty_trivet, compress):
    image = Pusher(registry.host, "a").image([layer_of(100000)], "t", compress)
    assert empty_trivet.out("pull", "--quiet", f"{registry.host}/a:t") == image["config"]
    assert len(layer_file(empty_trivet, "d/data")) == 100000


def test_docker_schema_2(registry, busybox_layout, empty_trivet):
    subprocess.run(["skopeo", "copy", "-q", "--format", "v2s2", "--dest-tls-verify=false",
                    f"oci:{busybox_layout}:busybox", f"docker://{registry.host}/d:t"], check=True)
    empty_trivet.run("pull", "--quiet", f"{registry.host}/d:t")
    assert layer_file(empty_trivet, "www/index.html") == b"hello from trivet\n"


@pytest.mark.parametrize("docker", [False, True])
def test_index_gives_this_or_the_named_platform(registry, empty_trivet, docker):
    pusher = Pusher(registry.host, "multi")
    here = "amd64" if os.uname().machine == "x86_64" else "arm64"
    ours = pusher.image([layer_of(1000, "ours")], platform=("linux", here))
    other = pusher.image([layer_of(1000, "other")], platform=("linux", "s390x"))
    pusher.index([other, ours], "t", docker)
    reference = f"{registry.host}/multi:t"
    assert empty_trivet.out("pull", "--quiet", reference) == ours["config"]
    assert empty_trivet.out("pull", "--quiet", "--platform", "linux/s390x",
                            reference) == other["config"]
    failed = empty_trivet.fails("pull", "--quiet", "--platform", "linux/ppc64le", reference)
    assert f"linux/s390x, linux/{here}" in failed.stderr


def test_nested_index(registry, empty_trivet):
    pusher = Pusher(registry.host, "nested")
    image = pusher.image([layer_of(1000)])
    other = pusher.image([layer_of(1000, "other")], platform=("linux", "s390x"))
    pusher.index([pusher.index([other]), pusher.index([image])], "t")
    out = empty_trivet.out("pull", "--quiet", "--platform", "linux/amd64", f"{registry.host}/nested:t")
    assert out == image["config"]


def test_a_shared_layer_is_fetched_once(registry, proxy, empty_trivet):
    pusher = Pusher(registry.host, "shared")
    base = layer_of(50000, "base")
    pusher.image([base, layer_of(1000, "one")], "1")
    pusher.image([base, layer_of(1000, "two"), base], "2")
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/shared:1")
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/shared:2")
    digest = harness.digest_of(with_gzip(base)[0])
    assert len(proxy.seen(digest)) == 1


def test_a_manifest_over_1_mib(registry, empty_trivet):
    Pusher(registry.host, "big").image([layer_of(1000)], "t", annotations={"x": "y" * (1 << 20)})
    failed = empty_trivet.fails("pull", "--quiet", f"{registry.host}/big:t")
    assert "limit" in failed.stderr
    assert_nothing_came(empty_trivet)


# ---------------------------------------------------------------- TLS and who we are

@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 and its key, its own authority."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=trivet test", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, capture_output=True)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def tls_section(certificate) -> str:
    return f"  tls:\n    certificate: {certificate[0]}\n    key: {certificate[1]}\n"


def test_https_with_an_authority_of_ones_own(make_registry, certificate, busybox_layout,
                                             empty_trivet):
    registry = make_registry(tls=tls_section(certificate))
    reference = registry.push_layout(busybox_layout, "b:t")
    failed = empty_trivet.fails("pull", "--quiet", reference)
    assert "certificate" in failed.stderr and "--ca-file" in failed.stderr
    assert_nothing_came(empty_trivet)
    empty_trivet.run("pull", "--quiet", "--ca-file", certificate[0], reference)
    empty_trivet.run("pull", "--quiet", "--tls-verify=false", reference)
    folder = empty_trivet.base / "home/.config/containers/certs.d" / registry.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text(certificate[0].read_text())
    empty_trivet.run("pull", "--quiet", reference)
    wrong = empty_trivet.fails("pull", "--quiet", "--ca-file", certificate[1], reference)
    assert "no certificate" in wrong.stderr


@pytest.fixture
def basic_registry(make_registry, tmp_path):
    users = subprocess.run(["htpasswd", "-Bbn", "me", "a:secret"], capture_output=True, text=True,
                           check=True).stdout
    (tmp_path / "htpasswd").write_text(users)
    return make_registry(
        extra=f"auth:\n  htpasswd:\n    realm: test\n    path: {tmp_path}/htpasswd\n")


def push_with(registry, layout, credentials: str) -> str:
    reference = f"{registry.host}/private/b:t"
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", credentials,
                    f"oci:{layout}:busybox", f"docker://{reference}"], check=True)
    return reference


def test_basic_authentication(basic_registry, busybox_layout, empty_trivet, tmp_path):
    reference = push_with(basic_registry, busybox_layout, "me:a:secret")
    anonymous = empty_trivet.fails("pull", "--quiet", reference)
    assert "denies access" in anonymous.stderr and "--creds" in anonymous.stderr
    wrong = empty_trivet.fails("pull", "--quiet", "--creds", "me:wrong", reference)
    assert "denies access" in wrong.stderr and "wrong" not in wrong.stderr.replace("wrong:", "")
    assert_nothing_came(empty_trivet)
    empty_trivet.run("pull", "--quiet", "--creds", "me:a:secret", reference)

    entry = {"auth": base64.b64encode(b"me:a:secret").decode()}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {basic_registry.host: entry}}))
    empty_trivet.run("pull", "--quiet", "--authfile", tmp_path / "auth.json", reference)
    empty_trivet.run("pull", "--quiet", reference,
                     env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")})
    docker = empty_trivet.base / "home/.docker"
    docker.mkdir()
    (docker / "config.json").write_text((tmp_path / "auth.json").read_text())
    empty_trivet.run("pull", "--quiet", reference)


def test_a_credential_helper_is_asked(basic_registry, busybox_layout, empty_trivet, tmp_path):
    reference = push_with(basic_registry, busybox_layout, "me:a:secret")
    helper = tmp_path / "docker-credential-test"
    helper.write_text("#!/bin/sh\nread server\necho \"$1 $server\" >\"$0.log\"\n"
                      "echo '{\"Username\":\"me\",\"Secret\":\"a:secret\"}'\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(
        json.dumps({"credHelpers": {basic_registry.host: "test"}}))
    empty_trivet.run("pull", "--quiet", "--authfile", tmp_path / "config.json", reference,
                     env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (tmp_path / "docker-credential-test.log").read_text() == f"get {basic_registry.host}\n"


class TokenServer:
    """Signs JSON web tokens as docker-registry wants them (distribution: spec/auth/jwt)."""

    def __init__(self, certificate):
        pem, self.key = certificate
        der = subprocess.run(["openssl", "x509", "-in", pem, "-outform", "der"],
                             capture_output=True, check=True).stdout
        self.header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        self.asked: list[str] = []
        self.password = ""  # of the user "me"; empty: everybody may pull
        tokens = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                tokens.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def sign(self, claims: dict) -> str:
        def encode(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        text = ".".join(encode(json.dumps(part).encode()) for part in (self.header, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key],
                                   input=text.encode(), capture_output=True, check=True).stdout
        return f"{text}.{encode(signature)}"

    def answer(self, handler) -> None:
        self.asked.append(handler.path)
        expected = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        known = handler.headers.get("Authorization") == expected
        if self.password and not known:
            handler.send_response(401)
            handler.end_headers()
            return
        access = []
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        token = self.sign({"iss": "trivet-test", "sub": "", "aud": query["service"][0],
                           "exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(now),
                           "access": access})
        body = json.dumps({"token": token, "expires_in": 300}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def tokens(certificate):
    server = TokenServer(certificate)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_bearer_authentication(make_registry, certificate, tokens, busybox_layout, empty_trivet):
    registry = make_registry(extra=f"auth:\n  token:\n    realm: {tokens.url}\n"
                             "    service: the registry\n    issuer: trivet-test\n"
                             f"    rootcertbundle: {certificate[0]}\n")
    reference = push_with(registry, busybox_layout, "me:x")
    tokens.asked.clear()
    empty_trivet.run("pull", "--quiet", reference)
    assert len(tokens.asked) == 1
    assert "scope=repository%3Aprivate%2Fb%3Apull" in tokens.asked[0]

    tokens.password = "pw"
    failed = empty_trivet.fails("pull", "--quiet", reference)
    assert "denies access" in failed.stderr
    empty_trivet.run("pull", "--quiet", "--creds", "me:pw", reference)
    # Pushing asks for more.
    empty_trivet.run("push", "--quiet", "--creds", "me:pw", reference,
                     f"{registry.host}/private/copy:t")
    assert "push" in urllib.parse.unquote(tokens.asked[-1])


# ---------------------------------------------------------------- what goes wrong on the way

BIG = 3_000_000


@pytest.fixture
def big_image(registry):
    """Repository "big", tag "t": one layer of 3 MB; its blob's digest."""
    layer = layer_of(BIG)
    Pusher(registry.host, "big").image([layer], "t")
    return harness.digest_of(with_gzip(layer)[0])


def test_a_broken_connection_is_resumed(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, cut_after=1_000_000))
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")
    first, second = proxy.seen(big_image)
    assert first.range == ""
    # What was sent need not all have arrived.
    start = int(re.fullmatch(r"bytes=(\d+)-", second.range)[1])
    assert 0 < start <= 1_000_000
    assert len(layer_file(empty_trivet, "d/data")) == BIG


def test_the_next_pull_goes_on_where_the_last_one_broke(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, cut_after=1_000_000))
    proxy.add(Fault(big_image, status=404, times=1))
    empty_trivet.fails("pull", "--quiet", f"{proxy.host}/big:t")
    assert_nothing_came(empty_trivet)
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")
    assert proxy.seen(big_image)[-1].range.startswith("bytes=")
    assert len(layer_file(empty_trivet, "d/data")) == BIG


def test_a_server_that_ignores_range(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, cut_after=1_000_000))
    proxy.add(Fault(big_image, ignore_range=True))
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")
    assert len(proxy.seen(big_image)) == 2
    assert len(layer_file(empty_trivet, "d/data")) == BIG


def test_a_damaged_layer_is_refused(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, flip_byte=2_000_000, times=-1))
    failed = empty_trivet.fails("pull", "--quiet", f"{proxy.host}/big:t")
    assert "digest" in failed.stderr
    assert len(proxy.seen(big_image)) == 2
    assert_nothing_came(empty_trivet)


def test_a_layer_damaged_once_is_fetched_again(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, flip_byte=2_000_000))
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")
    assert len(layer_file(empty_trivet, "d/data")) == BIG


def test_a_truncated_layer_is_refused(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, truncate_to=0, times=-1))
    failed = empty_trivet.fails("pull", "--quiet", f"{proxy.host}/big:t")
    assert "truncated" in failed.stderr
    assert_nothing_came(empty_trivet)


def test_a_damaged_manifest_is_refused(proxy, big_image, empty_trivet):
    proxy.add(Fault("/manifests/t", flip_byte=5, times=-1))
    failed = empty_trivet.fails("pull", "--quiet", f"{proxy.host}/big:t")
    assert "digest" in failed.stderr
    assert_nothing_came(empty_trivet)


def test_one_bad_layer_among_good_ones_leaves_no_image(registry, proxy, empty_trivet):
    layers = [layer_of(100000, f"l{n}") for n in range(5)]
    Pusher(registry.host, "five").image(layers, "t")
    proxy.add(Fault(harness.digest_of(with_gzip(layers[3])[0]), flip_byte=50000, times=-1))
    failed = empty_trivet.fails("pull", "--quiet", f"{proxy.host}/five:t")
    assert "digest" in failed.stderr
    assert empty_trivet.run("images").stdout.count("sha256:") == 0
    unpacked = {entry.name for entry in (empty_trivet.data / "layers").iterdir()}
    assert harness.digest_of(layers[3]).removeprefix("sha256:") not in unpacked
    # What was good is used by the next try.
    proxy.faults.clear()
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/five:t")


def test_outages_and_throttling_are_waited_for(proxy, big_image, empty_trivet):
    proxy.add(Fault("/manifests/", status=503))
    proxy.add(Fault(big_image, status=429, headers={"Retry-After": "1"}))
    proxy.add(Fault(big_image, status=500))
    start = time.monotonic()
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")
    assert time.monotonic() - start >= 1
    assert len(proxy.seen(big_image)) == 3


def test_a_lasting_outage_ends_in_an_error(proxy, big_image, empty_trivet):
    proxy.add(Fault("/manifests/", status=503, times=-1))
    failed = empty_trivet.fails("pull", "--quiet", f"{proxy.host}/big:t")
    assert "503" in failed.stderr
    assert len(proxy.seen("/manifests/")) == 5


def test_a_slow_server_is_borne(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, delay=0.5, chunk_delay=0.05))
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/big:t")


def test_layers_are_fetched_in_parallel(registry, proxy, empty_trivet):
    Pusher(registry.host, "many").image([layer_of(1000, f"l{n}") for n in range(8)], "t")
    proxy.add(Fault("/blobs/", delay=0.5, times=-1))
    empty_trivet.run("pull", "--quiet", f"{proxy.host}/many:t")
    assert 3 <= proxy.most_at_once("/blobs/") <= 4


def test_what_does_not_exist(registry, busybox_layout, empty_trivet):
    registry.push_layout(busybox_layout, "b:t")
    for name in ("b:other", "none:t", "b@sha256:" + "0" * 64):
        failed = empty_trivet.fails("pull", "--quiet", f"{registry.host}/{name}")
        assert "unknown" in failed.stderr, failed.stderr
    assert_nothing_came(empty_trivet)


def test_a_registry_that_is_not_there(empty_trivet):
    host = f"127.0.0.1:{harness.free_port()}"
    failed = empty_trivet.fails("pull", "--quiet", f"{host}/b:t")
    assert host in failed.stderr and "running" in failed.stderr
    failed = empty_trivet.fails("pull", "--quiet", "no-such-host.invalid/b:t")
    assert "no-such-host.invalid" in failed.stderr and "DNS" in failed.stderr


def test_interrupting_a_pull_leaves_nothing(proxy, big_image, empty_trivet):
    proxy.add(Fault(big_image, stall_after=100000, stall=20, times=-1))
    process = empty_trivet.start("pull", "--quiet", f"{proxy.host}/big:t")
    harness.wait_for(lambda: proxy.seen(big_image), what="the layer is asked for")
    process.terminate()
    process.wait(timeout=10)
    assert_nothing_came(empty_trivet)


# ---------------------------------------------------------------- push

def test_push_and_pull_back(registry, busybox_layout, empty_trivet):
    reference = registry.push_layout(busybox_layout, "b:t")
    image = empty_trivet.out("pull", "--quiet", reference)
    empty_trivet.run("push", "--quiet", reference, f"{registry.host}/copy/of:b")
    original = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                               f"docker://{reference}"], capture_output=True, check=True).stdout
    copied = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                             f"docker://{registry.host}/copy/of:b"], capture_output=True,
                            check=True).stdout
    assert copied == original
    assert empty_trivet.out("pull", "--quiet", f"{registry.host}/copy/of:b") == image


def test_push_sends_only_what_is_missing(registry, proxy, busybox_layout, empty_trivet):
    reference = registry.push_layout(busybox_layout, "b:t")
    empty_trivet.run("pull", "--quiet", reference)
    empty_trivet.run("push", "--quiet", reference, f"{proxy.host}/b:again")
    assert proxy.seen("/uploads/") == []
    empty_trivet.run("push", "--quiet", reference, f"{proxy.host}/new:t")
    assert len(proxy.seen("/uploads/$")) == 4  # three layers and the config


def test_push_without_access(basic_registry, registry, busybox_layout, empty_trivet):
    reference = registry.push_layout(busybox_layout, "b:t")
    empty_trivet.run("pull", "--quiet", reference)
    failed = empty_trivet.fails("push", "--quiet", reference, f"{basic_registry.host}/b:t")
    assert "denies access" in failed.stderr
    empty_trivet.run("push", "--quiet", "--creds", "me:a:secret", reference,
                     f"{basic_registry.host}/b:t")


# ---------------------------------------------------------------- pods

def pod_of(*images: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo"}, "spec": {
        "hostNetwork": True, "containers": [
            {"name": f"c{number}", "image": image, "command": ["sleep", "1000"]}
            for number, image in enumerate(images)]}})


@pytest.mark.cgroup
def test_the_images_of_a_pod_are_pulled_together(registry, busybox_layout, empty_trivet):
    images = [registry.push_layout(busybox_layout, f"team/{name}:1") for name in ("one", "two")]
    result = empty_trivet.run("pod", "run", "--tls-verify=false", "-", stdin=pod_of(*images, images[0]))
    assert [f"Pulling {image}" in result.stderr for image in images] == [True, True]
    assert result.stderr.count("Pulling") == 2
    assert "Pulling" not in empty_trivet.run(
        "pod", "run", "--name", "again", "--pull", "never", "-", stdin=pod_of(*images)).stderr


@pytest.mark.cgroup
def test_every_image_of_a_pod_that_is_missing_is_told(registry, busybox_layout, empty_trivet):
    there = registry.push_layout(busybox_layout, "team/there:1")
    absent = [f"{registry.host}/team/{name}:1" for name in ("absent", "gone")]
    result = empty_trivet.fails("pod", "run", "-q", "--tls-verify=false", "-",
                                stdin=pod_of(there, *absent))
    assert all(image in result.stderr for image in absent)
    assert there not in result.stderr
    assert empty_trivet.containers() == []
    assert empty_trivet.run("pod", "ps", "-q").stdout == ""
