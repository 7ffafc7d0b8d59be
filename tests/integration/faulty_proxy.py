"""An HTTP proxy in front of a registry that breaks answers in the ways a test asks for.

    with FaultyProxy("127.0.0.1:5000") as proxy:
        proxy.add(Fault("/blobs/", cut_after=100000, times=1))
        … pull from proxy.host …
        assert proxy.seen("/blobs/")[1].range == "bytes=100000-"
"""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import re
import socket
import threading
import time


@dataclasses.dataclass
class Fault:
    path: str  # a regular expression that is searched in the path of GET requests
    times: int = 1  # how often; -1: always
    status: int = 0  # answer with this status instead of asking the registry
    headers: dict[str, str] = dataclasses.field(default_factory=dict)  # for `status`
    cut_after: int = -1  # close the connection after so many bytes of the body
    truncate_to: int = -1  # say and send only so many bytes, as if that were all
    flip_byte: int = -1  # invert the bits of the byte at this place
    ignore_range: bool = False  # send everything with 200
    delay: float = 0  # seconds before the answer
    chunk_delay: float = 0  # seconds after every 64 KiB
    stall_after: int = -1  # send so many bytes, then nothing for `stall` seconds
    stall: float = 0


@dataclasses.dataclass
class Seen:
    path: str
    range: str
    authorization: str
    start: float
    end: float = 0


class FaultyProxy:
    def __init__(self, upstream: str):
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.requests: list[Seen] = []
        self.lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                proxy.serve(self)

            do_HEAD = do_GET
            do_POST = do_GET
            do_PUT = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # clients that hang up are expected
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "FaultyProxy":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, fault: Fault) -> None:
        with self.lock:
            self.faults.append(fault)

    def seen(self, path: str) -> list[Seen]:
        with self.lock:
            return [request for request in self.requests if re.search(path, request.path)]

    def most_at_once(self, path: str) -> int:
        """How many requests for such paths were under way at the same time."""
        marks = sorted([(r.start, 1) for r in self.seen(path)] + [(r.end, -1) for r in self.seen(path)])
        most = now = 0
        for _, step in marks:
            now += step
            most = max(most, now)
        return most

    def take_fault(self, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        fault = self.take_fault(handler.path) if handler.command == "GET" else None
        seen = Seen(handler.path, handler.headers.get("Range", ""),
                    handler.headers.get("Authorization", ""), time.monotonic())
        with self.lock:
            self.requests.append(seen)
        try:
            self.answer(handler, fault or Fault(""))
        finally:
            seen.end = time.monotonic()

    def answer(self, handler: http.server.BaseHTTPRequestHandler, fault: Fault) -> None:
        time.sleep(fault.delay)
        if fault.status:
            handler.send_response(fault.status)
            for name, value in fault.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        size = int(handler.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        connection.putrequest(handler.command, handler.path, skip_host=True,
                              skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if not (fault.ignore_range and name.lower() == "range"):
                connection.putheader(name, value)
        connection.endheaders(handler.rfile.read(size) or None)
        response = connection.getresponse()
        body = bytearray(response.read())
        connection.close()
        if fault.flip_byte >= 0:
            body[fault.flip_byte] ^= 0xff
        if fault.truncate_to >= 0:
            del body[fault.truncate_to:]
        handler.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                handler.send_header(name, value)
        length = response.getheader("Content-Length") if handler.command == "HEAD" else len(body)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        self.send(handler, bytes(body), fault)

    def send(self, handler: http.server.BaseHTTPRequestHandler, body: bytes, fault: Fault) -> None:
        end = next((cut for cut in (fault.cut_after, fault.stall_after) if cut >= 0), len(body))
        for start in range(0, min(end, len(body)), 65536):
            handler.wfile.write(body[start:min(start + 65536, end)])
            time.sleep(fault.chunk_delay)
        time.sleep(fault.stall)
        if end < len(body):
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
