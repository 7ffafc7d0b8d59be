"""Probes and hooks of pods against real servers: those that are well, and those that are not."""

from __future__ import annotations

import http.server
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from concurrent import futures

import pytest

import harness
from harness import wait_for
from pod_harness import box

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]

GOOD = r"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(answer: str, port: int = 8080) -> str:
    """A shell's web server that says one and the same, and notes what it was asked."""
    return f"while :; do printf '{answer}' | nc -l -p {port} >> /request; done"


def web(port: int = 8080, **fields) -> dict:
    return {"httpGet": {"port": port, **fields}, "periodSeconds": 1}


def refusal(pods, *containers: dict, **fields) -> str:
    """Why a pod does not run."""
    return pods.trivet.fails("pod", "run", pods.write(*containers, **fields)).stderr


def hopeless(**probe) -> dict:
    return {**probe, "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 1}


# ---------------------------------------------------------------- kinds

def test_an_http_probe_sends_its_headers(pods):
    pods.run(box("a", answering(GOOD), readinessProbe=web(
        path="/healthz?full=1", httpHeaders=[{"name": "X-Probe", "value": "yes"},
                                             {"name": "Host", "value": "web.example"}])))
    request = wait_for(lambda: pods.exec("a", "cat", "/request"))
    assert request.startswith("GET /healthz?full=1 HTTP/1.1\r\nHost: web.example\r\n"), request
    assert "\r\nX-Probe: yes\r\n" in request and "User-Agent: kube-probe/" in request


def test_a_redirect_is_well(pods):
    pods.run(box("a", answering(r"HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/\r\n\r\n"),
                 readinessProbe=web()))
    assert pods.container("a")["Ready"]


@pytest.mark.parametrize("answer, words", [
    pytest.param(r"HTTP/1.1 500 Oh\r\n\r\n", "GET http://127.0.0.1:8080/: status code 500", id="500"),
    pytest.param(r"HTTP/1.1 404 No\r\n\r\n", "status code 404", id="404"),
    pytest.param(r"SSH-2.0-server\r\n", "the answer is no HTTP/1.1", id="ssh"),
    pytest.param(r"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", "no valid header", id="broken-header"),
])
def test_an_http_server_that_is_not_well(pods, answer, words):
    message = refusal(pods, box("a", answering(answer), startupProbe=hopeless(**web())))
    assert 'container "a"' in message and "startup probe" in message and words in message, message


def test_an_http_server_without_an_end(pods):
    flood = "(printf 'HTTP/1.1 200 OK\\r\\n'; yes 'X-Y: z') | nc -l -p 8080 > /request; sleep 600"
    assert "longer than 16384 bytes" in refusal(pods, box("a", flood, startupProbe=hopeless(**web())))


def test_a_server_that_says_nothing(pods):
    message = refusal(pods, box("a", "while :; do sleep 600 | nc -l -p 8080; done",
                                startupProbe=hopeless(**web(), timeoutSeconds=1)))
    assert "no answer within 1000 ms" in message, message


class SecureServer:
    """An HTTPS server of the host whose certificate nobody knows."""

    def __init__(self, directory):
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.status = 200
        self.paths: list[str] = []
        owner = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                owner.paths.append(self.path)
                self.send_response(owner.status)
                self.end_headers()
                self.wfile.write(b"x" * 100000)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def secure(tmp_path):
    server = SecureServer(tmp_path)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_https(pods, secure):
    probe = {**web(secure.port, scheme="HTTPS", path="/ok"), "failureThreshold": 1}
    pods.run(box("a", readinessProbe=probe), hostNetwork=True)
    assert "/ok" in secure.paths and pods.container("a")["Ready"]
    secure.status = 500
    wait_for(lambda: not pods.container("a")["Ready"])
    assert f"GET https://127.0.0.1:{secure.port}/ok: status code 500" in \
        pods.container("a")["Message"]


def test_https_of_a_server_that_has_none(pods):
    for answer in (r"HTTP/1.1 200 OK\r\n\r\n", r"\026\003\003\377\377garbage"):
        message = refusal(pods, box("a", answering(answer), startupProbe=hopeless(**web(scheme="HTTPS"))))
        assert "no TLS, or the connection was closed without an answer" in message, message


def test_tcp(pods):
    pods.run(box("a", "while :; do nc -l -p 7000 < /dev/null; done",
                 readinessProbe={"tcpSocket": {"port": 7000}, "periodSeconds": 1}))
    assert pods.container("a")["Ready"]
    pods.trivet.run("pod", "rm", "--force", "pod")
    message = refusal(pods, box("a", startupProbe=hopeless(tcpSocket={"port": 7000})))
    assert "connection to 127.0.0.1:7000: connect: Connection refused" in message, message


@pytest.mark.network
def test_probes_are_of_the_pods_network(pods):
    """A server of the host is none of the pod."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        message = refusal(pods, box("a", startupProbe=hopeless(tcpSocket={"port": port})))
        assert "Connection refused" in message, message
        pods.run(box("a", startupProbe=hopeless(tcpSocket={"port": port})), hostNetwork=True)


class HealthServer:
    """A gRPC server on 127.0.0.1 with the health service, by the library that most servers use."""

    def __init__(self):
        import grpc
        self.serving = {b"": 1}  # by the field of the request
        method = grpc.unary_unary_rpc_method_handler(self._check)
        handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        self.server.add_generic_rpc_handlers((handler,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _check(self, request: bytes, context) -> bytes:
        import grpc
        if request not in self.serving:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([8, self.serving[request]])


@pytest.fixture
def health():
    server = HealthServer()
    yield server
    server.server.stop(None).wait()


def test_grpc_against_a_real_server(pods, health):
    def probe(**fields) -> dict:
        return {"grpc": {"port": health.port, **fields}, "periodSeconds": 1, "failureThreshold": 1}

    pods.run(box("a", readinessProbe=probe()), hostNetwork=True)
    assert pods.container("a")["Ready"]
    health.serving[b""] = 2
    wait_for(lambda: not pods.container("a")["Ready"])
    assert "the service is NOT_SERVING" in pods.container("a")["Message"]
    health.serving[b""] = 1
    wait_for(lambda: pods.container("a")["Ready"])
    pods.trivet.run("pod", "rm", "--force", "pod")
    message = refusal(pods, box("a", startupProbe=probe(service="db")), hostNetwork=True)
    assert "the server does not know the service" in message, message
    health.serving[b"\x0a\x02db"] = 1
    pods.run(box("a", startupProbe=probe(service="db")), hostNetwork=True)


def test_grpc_against_a_web_server(pods):
    message = refusal(pods, box("a", answering(r"HTTP/1.1 400 Bad\r\n\r\n"),
                                startupProbe=hopeless(grpc={"port": 8080})))
    assert "gRPC health check of 127.0.0.1:8080: " in message and "HTTP/2" in message, message


# ---------------------------------------------------------------- commands

def test_what_a_command_prints_is_shown_as_far_as_it_is_fit_to_be(pods):
    script = "printf '\\033[2Jred\\n'; head -c 100000 /dev/zero | tr '\\0' x; exit 3"
    message = refusal(pods, box("a", startupProbe=hopeless(exec={"command": ["sh", "-c", script]})))
    assert "exited with code 3: \\x1b[2Jred xxx" in message, message
    assert "\x1b" not in message and "x" * 300 not in message


def test_a_command_that_hangs_is_killed(pods):
    pods.run(box("a", "touch /ready; exec sleep 600", readinessProbe={
        "exec": {"command": ["sh", "-c", "ls /ready || exec sleep 4711"]},
        "periodSeconds": 1, "failureThreshold": 1}))
    pods.exec("a", "rm", "/ready")
    wait_for(lambda: "did not end within 1000 ms" in pods.container("a")["Message"])
    # Those of earlier probes are gone; that of the present one may be there, with its ls.
    time.sleep(3)
    shown = [line for line in pods.exec("a", "ps").splitlines() if "{ls}" not in line]
    assert sum("sleep 4711" in line for line in shown) <= 1, shown


def test_a_command_is_killed_with_what_it_has_started(pods):
    pods.run(box("a", "touch /ready; exec sleep 600", readinessProbe={
        "exec": {"command": ["sh", "-c", "ls /ready || { sleep 4711 & wait; }"]},
        "periodSeconds": 1, "failureThreshold": 1}))
    pods.exec("a", "rm", "/ready")
    wait_for(lambda: "did not end within 1000 ms" in pods.container("a")["Message"])
    time.sleep(3)
    assert pods.exec("a", "ps").count("sleep 4711") <= 2  # the shell's command line has it too


def test_a_command_that_is_not_there(pods):
    message = refusal(pods, box("a", startupProbe=hopeless(exec={"command": ["/nowhere"]})))
    assert "startup probe" in message and "/nowhere" in message, message


# ---------------------------------------------------------------- rules

def test_a_startup_probe_holds_the_others_back(pods):
    """Liveness would end it at once."""
    pods.run(box("a", "sleep 2; touch /started; exec sleep 600",
                 startupProbe={"exec": {"command": ["ls", "/started"]}, "periodSeconds": 1,
                               "failureThreshold": 30},
                 livenessProbe={"exec": {"command": ["ls", "/started"]}, "periodSeconds": 1,
                                "failureThreshold": 1}), restartPolicy="Always")
    time.sleep(2)
    assert pods.container("a")["RestartCount"] == 0


def test_thresholds_are_counted(pods):
    """A failure now and then is none, nor is a single success readiness."""
    flaky = "n=$(cat /n 2> /dev/null || echo 0); echo $((n + 1)) > /n; test $((n % 3)) != 2"
    pods.run(box("a", livenessProbe={"exec": {"command": ["sh", "-c", flaky]}, "periodSeconds": 1,
                                     "failureThreshold": 2}), restartPolicy="Always")
    wait_for(lambda: int(pods.exec("a", "sh", "-c", "cat /n || true") or 0) >= 6, timeout=20)
    assert pods.container("a")["RestartCount"] == 0
    begun = time.monotonic()
    pods.run(box("b", readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1,
                                      "successThreshold": 3}), name="other")
    assert time.monotonic() - begun > 2


def test_probes_rest_while_a_container_is_paused(pods):
    """None can succeed then; it must not be ended for that."""
    strict = {"periodSeconds": 1, "failureThreshold": 1}
    pods.run(box("a", answering(GOOD), livenessProbe={"exec": {"command": ["true"]}, **strict},
                 readinessProbe={**web(), **strict}), restartPolicy="Always")
    pods.trivet.run("pause", "pod-a")
    time.sleep(4)
    assert pods.container("a")["Status"] == "paused"
    assert pods.container("a")["Ready"] and pods.container("a")["RestartCount"] == 0
    pods.trivet.run("unpause", "pod-a")
    time.sleep(2)
    assert pods.container("a")["Ready"] and pods.container("a")["RestartCount"] == 0


def test_the_grace_of_a_startup_probe(pods):
    """The same; it matters at a restart, when the pod is no longer given up for it."""
    script = "trap '' TERM; test -e /second || touch /started; while :; do sleep 1; done"
    pods.run(box("a", script, startupProbe={
        "exec": {"command": ["ls", "/started"]}, "periodSeconds": 1, "failureThreshold": 1,
        "initialDelaySeconds": 1, "terminationGracePeriodSeconds": 1},
        livenessProbe={"exec": {"command": ["ls", "/alive"]}, "periodSeconds": 1,
                       "initialDelaySeconds": 1, "failureThreshold": 1,
                       "terminationGracePeriodSeconds": 1}),
        restartPolicy="Always", terminationGracePeriodSeconds=600)
    # Liveness ends it once; then its startup is not seen, and ends it again.
    pods.exec("a", "sh", "-c", "touch /second; rm /started")
    wait_for(lambda: pods.container("a")["RestartCount"] >= 2, timeout=30)
    pods.trivet.run("pod", "stop", "--time", "1", "pod")


def test_the_grace_of_a_liveness_probe(pods):
    """It is the probe's, not the pod's, which would be too long."""
    pods.run(box("a", "trap '' TERM; touch /alive; while :; do sleep 1; done", livenessProbe={
        "exec": {"command": ["ls", "/alive"]}, "periodSeconds": 1, "failureThreshold": 1,
        "initialDelaySeconds": 1, "terminationGracePeriodSeconds": 1}),
        restartPolicy="Always", terminationGracePeriodSeconds=600)
    pods.exec("a", "sh", "-c", "until rm /alive 2> /dev/null; do sleep 0.1; done")  # it has to be made first
    wait_for(lambda: pods.container("a")["RestartCount"] == 1, timeout=20)
    pods.trivet.run("pod", "stop", "--time", "1", "pod")


def test_a_probe_that_hangs_does_not_hold_the_pods_end(pods):
    pods.run(box("a", readinessProbe={
        "exec": {"command": ["sh", "-c", "if ls /hang; then exec sleep 4711; fi"]}, "periodSeconds": 1,
        "timeoutSeconds": 600}))
    pods.exec("a", "touch", "/hang")
    wait_for(lambda: "sleep 4711" in pods.exec("a", "ps"))
    begun = time.monotonic()
    pods.trivet.run("pod", "stop", "pod")
    assert time.monotonic() - begun < 10 * harness.SLOW


# ---------------------------------------------------------------- hooks

def test_hooks_may_be_http(pods):
    pods.run(box("a", answering(GOOD), lifecycle={
        "postStart": {"exec": {"command": ["sh", "-c", "sleep 1"]}},
        "preStop": {"httpGet": {"port": 8080, "path": "/leaving"}}}))
    request = pods.exec("a", "sh", "-c", "cat /request 2> /dev/null; true")
    assert request == ""
    pid = pods.container("a")["Pid"]
    seen: list[str] = []

    def watch() -> None:
        # The file is gone with the container.
        while os.path.exists(f"/proc/{pid}/root"):
            try:
                with open(f"/proc/{pid}/root/request", encoding="utf-8", newline="") as file:
                    seen.append(file.read())
            except OSError:
                pass
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    pods.trivet.run("pod", "stop", "pod")
    watcher.join()
    assert any(re.match(r"GET /leaving HTTP/1\.1\r\n", text) for text in seen), seen[-3:]


def test_a_hook_that_fails_keeps_the_pod_from_starting(pods):
    message = refusal(pods, box("a", lifecycle={
        "postStart": {"exec": {"command": ["sh", "-c", "echo no room; exit 9"]}}}))
    assert "postStart hook" in message and "exited with code 9: no room" in message, message


def test_a_hook_that_sleeps(pods):
    pods.run(box("a", "trap 'exit 0' TERM; while :; do sleep 0.1; done",
                 lifecycle={"preStop": {"sleep": {"seconds": 1}}}), terminationGracePeriodSeconds=20)
    begun = time.monotonic()
    pods.trivet.run("pod", "stop", "pod")
    assert time.monotonic() - begun > 1
