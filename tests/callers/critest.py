"""critest, the conformance programs of Kubernetes' runtime interface, against a containerd of ours.

As a program, started by scripts/critest in a box, it prints a table of what the handlers pass. Its
images come from registries that are not asked: stand-ins with the same names are put into containerd.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import harness  # noqa: E402  (found through the line above)
import engines  # noqa: E402

REGISTRY = "gcr.io/k8s-staging-cri-tools"
BUSYBOX = "localhost/critest-busybox:latest"
WEB = "localhost/critest-web:latest"
# Serves a page and leaves its pid where nginx would; its process has that name.
NGINX = "#!/bin/sh\necho $$ > /var/run/nginx.pid\nhttpd -f -p 80 -h /www\n"

# Not run: why. Regular expressions on the whole name.
LEFT_OUT = {
    r"\[k8s.io\] Image Manager": "pulls and removes images of a registry",
    r"should not fail on simultaneous RemoveImage": "pulls and removes images of a registry",
    r"\[k8s.io\] Multiple Containers": "needs a web server that the stand-in image does not have",
}


@functools.cache
def program() -> pathlib.Path:
    """Where scripts/setup-critest puts it."""
    found = subprocess.run([harness.ROOT / "scripts/setup-critest", "--print-directory"],
                           stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(found.stdout.strip()) / "critest"


def stand_ins() -> dict[str, dict]:
    """Images by name and what their configuration has beside PATH."""
    users = {"test-image-user-uid": "1002", "test-image-user-username": "www-data",
             "test-image-user-uid-group": "1003:users", "test-image-user-username-group": "www-data:100",
             "test-image-predefined-group": "1000"}
    images = {f"{REGISTRY}/{name}:latest": {"User": user, "Cmd": ["sleep", "1000"]}
              for name, user in users.items()}
    images[BUSYBOX] = {"Cmd": ["sh"]}
    for name in (WEB, "registry.k8s.io/e2e-test-images/nginx:1.14-2"):
        images[name] = {"Cmd": ["/bin/nginx", "master process"]}
    return images


def root() -> bytes:
    """busybox, and the users and groups that critest's images have."""
    layer = harness.LayerTar()
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var", "www"):
        layer.dir(name, 0o1777 if name == "tmp" else 0o755)
    layer.file("bin/busybox", harness.busybox().read_bytes(), 0o755)
    for name in harness.applets():
        layer.link(f"bin/{name}", "busybox")
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/www:/bin/sh\n"
               "default-user:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    layer.file("etc/group", "root:x:0:\nwww-data:x:33:\nusers:x:100:\n"
               "group-defined-in-image:x:50000:default-user\n")
    layer.dir("var/run").file("bin/nginx", NGINX, 0o755)
    layer.file("www/index.html", "Thank you for using nginx.\n")
    return layer.bytes()


def load_stand_ins(cri: engines.Cri) -> None:
    layers = [root()]
    for number, (name, config) in enumerate(stand_ins().items()):
        folder = cri.base / f"stand-in{number}"
        folder.mkdir()
        cri.load(engines.archive_of(folder, name, layers, {"Env": ["PATH=/bin"], **config}))


def run(cri: engines.Cri, handler: str, focus: str = "", timeout: float = 1500) -> dict[str, str]:
    """The outcome of each test by its name: passed, failed or skipped."""
    report = cri.base / f"critest-{handler}.xml"
    images = cri.base / "critest-images.yaml"
    images.write_text(f"defaultTestContainerImage: {BUSYBOX}\nwebServerTestImage: {WEB}\n")
    endpoint = f"unix://{cri.socket}"
    command = [program(), f"--runtime-endpoint={endpoint}", f"--image-endpoint={endpoint}",
               f"--test-images-file={images}", f"--runtime-handler={handler}",
               f"--ginkgo.junit-report={report}", "--ginkgo.seed=1", "--ginkgo.no-color",
               *(f"--ginkgo.skip={expression}" for expression in LEFT_OUT),
               *([f"--ginkgo.focus={focus}"] if focus else [])]
    log = cri.base / f"critest-{handler}.log"
    with log.open("wb") as output:
        # It ends with 1 when a test failed; what failed is in the report.
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=cri.env,
                       cwd=cri.base, timeout=timeout, check=False)
    assert report.exists(), f"no report:\n{log.read_text(errors='replace')[-4000:]}"
    return outcomes(report)


def outcomes(report: pathlib.Path) -> dict[str, str]:
    result = {}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = case.get("name", "")
        # Not the nodes around the tests, nor what was not chosen.
        state = case.get("status", "")
        if not name.startswith("[It]") or state in ("skipped", "pending"):
            continue
        state = "passed" if state == "passed" else "failed"
        result[name.removeprefix("[It] ")] = state
    return result


def count(results: dict[str, str], state: str) -> int:
    return sum(found == state for found in results.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/critest", description=__doc__.split("\n")[0])
    parser.add_argument("--focus", default="", metavar="REGEX", help="only the tests whose name matches")
    parser.add_argument("--handlers", default="trivet,runc", metavar="NAMES",
                        help="of trivet, trivet-microvm, trivet-wasm and runc (default: trivet,runc)")
    parser.add_argument("--logs", type=pathlib.Path, metavar="DIR", help="leave critest's logs in DIR")
    options = parser.parse_args()
    handlers = options.handlers.split(",")
    with tempfile.TemporaryDirectory(prefix="c", ignore_cleanup_errors=True) as folder:
        cri = installed(pathlib.Path(folder))
        load_stand_ins(cri)
        all_results = {name: run(cri, name, options.focus) for name in handlers}
        cri.close()
        for log in cri.base.glob("critest-*.log") if options.logs else ():
            shutil.copy(log, options.logs)
    print("| runtime | passed | failed |\n|---|---|---|")
    for name, results in all_results.items():
        print(f"| {name} | {count(results, 'passed')} | {count(results, 'failed')} |")
    behind = 0
    for name in sorted(set().union(*all_results.values())):
        states = {handler: results.get(name, "absent") for handler, results in all_results.items()}
        if "failed" in states.values():
            print(f"{name}: " + ", ".join(f"{handler} {state}" for handler, state in states.items()))
        behind += states.get("runc") == "passed" != states.get("trivet", "passed")
    return 1 if behind else 0


def installed(base: pathlib.Path) -> engines.Cri:
    """A containerd whose runtimes `trivet install` has put into its configuration."""
    def register(config: pathlib.Path) -> None:
        subprocess.run([harness.BIN_DIR / "trivet", "install", "containerd", "--config", config, "--yes"],
                       env=engines.environment(TRIVET_DATA_DIR=str(base / "data")), check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return engines.Cri(base, register=register)


if __name__ == "__main__":
    sys.exit(main())
