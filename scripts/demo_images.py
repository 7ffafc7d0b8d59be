"""Makes the images of scripts/demo: demo_images.py DEBIAN_TAR LAYOUT

LAYOUT becomes an OCI image layout with the tags "debian" (a Debian root, busybox and web content, a
service on top) and "busybox".
"""

import gzip
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import harness  # noqa: E402  (found by the line above)

SERVICE = """#!/bin/sh
echo "serving /srv/www on port 8080"
busybox httpd -f -v -p 8080 -h /srv/www &
trap 'echo "asked to end"; kill $!; exit 0' TERM
wait
"""


def compress(data: bytes) -> tuple[bytes, str]:
    return gzip.compress(data, compresslevel=1, mtime=0), "+gzip"


def debian_layers(base: pathlib.Path) -> list[bytes]:
    content = harness.LayerTar()
    content.file("usr/bin/busybox", harness.busybox().read_bytes(), 0o755)
    content.dir("srv").dir("srv/www").file("srv/www/index.html", "Hello from a trivet.\n")
    service = harness.LayerTar()
    service.dir("app").file("app/serve", SERVICE, 0o755)
    return [base.read_bytes(), content.bytes(), service.bytes()]


def main() -> None:
    base, layout = map(pathlib.Path, sys.argv[1:])
    entries = []
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for name, layers, config in (
            ("debian", debian_layers(base), {"Env": [path], "Cmd": ["/app/serve"]}),
            ("busybox", harness.busybox_layers(), harness.BUSYBOX_CONFIG)):
        harness.write_oci_layout(layout, layers, config, name, compress)
        entries += json.loads((layout / "index.json").read_text())["manifests"]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


if __name__ == "__main__":
    main()
