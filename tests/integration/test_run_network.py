"""Networks: pasta, none, host, another container's; published ports; names."""

import http.server
import os
import re
import socket
import subprocess
import threading
import urllib.request

import pytest

from harness import ISOLATION, free_port, kill_hard, processes_of, wait_for

pytestmark = [pytest.mark.root, pytest.mark.cgroup, pytest.mark.usefixtures("nothing_left")]
network = pytest.mark.network

# What connects a container to the host.
NETWORK_PROGRAM = "passt" if ISOLATION == "microvm" else "pasta"
HTTPD = ("httpd", "-f", "-p", "8080", "-h", "/www")


def fetch(address):
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_none_has_only_a_loopback_that_is_up(trivet):
    text = trivet.box("ip", "-o", "addr").stdout
    assert {line.split()[1] for line in text.splitlines()} == {"lo"}
    assert "127.0.0.1" in text


def test_host_is_the_hosts(trivet):
    inside = trivet.box("readlink", "/proc/self/ns/net", network="host").stdout.strip()
    assert inside == os.readlink("/proc/self/ns/net")


def test_another_containers(trivet):
    first = trivet.spawn(*HTTPD, options=["--name", "server"])
    wait_for(lambda: trivet.box("wget", "-q", "-O", "-", "http://127.0.0.1:8080/",
                                network="container:server", check=False).stdout)
    second = trivet.box("wget", "-q", "-O", "-", "http://127.0.0.1:8080/", network="container:server")
    assert second.stdout == "hello from trivet\n"
    assert trivet.out("exec", first, "readlink", "/proc/self/ns/net") == \
        trivet.box("readlink", "/proc/self/ns/net", network="container:server").stdout.strip()


def test_a_path(trivet):
    name = trivet.spawn("sleep", "600")
    pid = trivet.inspect(name)["State"]["Pid"]
    expected = os.readlink(f"/proc/{pid}/ns/net")
    inside = trivet.box("readlink", "/proc/self/ns/net", network=f"ns:/proc/{pid}/ns/net")
    assert inside.stdout.strip() == expected


@pytest.mark.parametrize("mode", ["nonsense", "container:", "container:absent", "ns:/no/such", "ns:"])
def test_unknown_networks_are_errors(trivet, mode):
    result = trivet.box("true", network=mode, check=False)
    assert result.returncode == 125
    assert mode.split(":")[-1] in result.stderr or mode in result.stderr


# ---------------------------------------------------------------- pasta

@network
def test_the_default_network_has_an_address_and_a_route(trivet):
    result = trivet.run("run", "--rm", "busybox", "sh", "-c", "ip route; ip -o -4 addr")
    assert "default" in result.stdout
    assert len({line.split()[1] for line in result.stdout.splitlines() if "inet" in line}) == 2


@pytest.fixture
def outside_address():
    """An address that only the host has: what is outside for a container."""
    address = "192.0.2.77"  # TEST-NET-1: nobody's
    if subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=False).returncode:
        pytest.skip("no address can be added to the host's loopback")
    yield address
    subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], check=False)


@pytest.fixture
def outside_server(outside_address):
    """A web server there."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from outside\n")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer((outside_address, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"{outside_address}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@network
def test_outbound_connections(trivet, outside_server):
    result = trivet.box("wget", "-q", "-O", "-", f"http://{outside_server}/",
                        network="pasta")
    assert result.stdout == "from outside\n"


@network
def test_the_hosts_loopback_is_not_reached(trivet):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = ("for a in 127.0.0.1 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); do "
                  f"nc -w 2 $a {port} < /dev/null && echo reached $a; done; true")
        assert trivet.box("sh", "-c", script, network="pasta").stdout == ""


@network
def test_a_published_port(trivet):
    port = free_port()
    name = trivet.spawn(*HTTPD, network="pasta", options=["-p", f"127.0.0.1:{port}:8080"])
    assert wait_for(lambda: fetch(f"127.0.0.1:{port}")) == "hello from trivet\n"
    assert trivet.out("port", name) == f"8080/tcp -> 127.0.0.1:{port}"
    assert trivet.out("port", name, "8080") == f"127.0.0.1:{port}"
    row, = trivet.containers()
    assert row["Ports"] == [{"HostIP": "127.0.0.1", "HostPort": port, "ContainerPort": 8080,
                             "Protocol": "tcp"}]
    assert f"127.0.0.1:{port}->8080/tcp" in trivet.out("ps")
    trivet.run("stop", "-t", "0", name)
    assert fetch(f"127.0.0.1:{port}") == ""
    trivet.run("start", name)
    assert wait_for(lambda: fetch(f"127.0.0.1:{port}")) == "hello from trivet\n"


@network
def test_a_host_port_is_chosen(trivet):
    name = trivet.spawn(*HTTPD, network="pasta", options=["-p", "127.0.0.1::8080"])
    match = re.fullmatch(r"8080/tcp -> 127\.0\.0\.1:(\d+)", trivet.out("port", name))
    assert wait_for(lambda: fetch(f"127.0.0.1:{match[1]}")) == "hello from trivet\n"


@network
def test_a_published_udp_port(trivet, probe):
    port = free_port()
    name = trivet.spawn("/probe", "udp", "9000", network="pasta",
                        options=["-p", f"127.0.0.1:{port}:9000/udp", "-v", f"{probe}:/probe:ro"])

    def arrived():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"datagram\n", ("127.0.0.1", port))
        return "datagram" in trivet.logs(name)

    wait_for(arrived, what="the datagram is in the container")


@network
def test_a_port_that_is_taken_is_an_error_that_names_it(trivet):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = trivet.fails("run", "-d", "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "60",
                              code=125)
    assert str(port) in result.stderr
    assert trivet.containers() == []


@pytest.mark.parametrize("text", ["", "x", "70000:80", "1:2:3:4", "80/icmp", "8000-8002:80-81",
                                  "999.0.0.1:80:80", "0"])
def test_bad_ports_are_errors(trivet, text):
    result = trivet.fails("run", "--rm", "-p", text, "busybox", "true", code=125)
    assert result.stderr.startswith("trivet")


def test_ports_need_a_network_of_their_own(trivet):
    result = trivet.fails("run", "--rm", "--network", "none", "-p", "8080:80", "busybox", "true",
                          code=125)
    assert "none" in result.stderr


# ---------------------------------------------------------------- names

@network
def test_hosts_file(trivet):
    text = trivet.box("cat", "/etc/hosts", network="pasta",
                      options=["--hostname", "box", "--name", "web", "--add-host", "db:10.1.2.3"]).stdout
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    names = {name: row[0] for row in rows for name in row[1:]}
    assert names["localhost"] in ("127.0.0.1", "::1")
    assert names["db"] == "10.1.2.3"
    assert "box" in names


def test_dns_options(trivet):
    text = trivet.box("cat", "/etc/resolv.conf", network="pasta",
                      options=["--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option",
                               "ndots:3"]).stdout
    assert "nameserver 192.0.2.53" in text
    assert re.search(r"^search example\.org$", text, re.M)
    assert re.search(r"^options .*ndots:3", text, re.M)


def test_resolv_conf_has_no_loopback_server(trivet):
    text = trivet.box("cat", "/etc/resolv.conf", network="pasta").stdout
    assert not re.search(r"^nameserver (127\.|::1)", text, re.M)


def test_the_files_are_writable_but_the_hosts_are_not_touched(trivet):
    before = open("/etc/hosts", encoding="utf-8").read()
    trivet.box("sh", "-c", "echo '1.2.3.4 x' >> /etc/hosts; grep 1.2.3.4 /etc/hosts")
    assert open("/etc/hosts", encoding="utf-8").read() == before


@network
def test_pasta_goes_with_the_container(trivet):
    name = trivet.spawn("sleep", "600", network="pasta")
    assert any(NETWORK_PROGRAM in line for line in processes_of(trivet.base).values())
    pid = trivet.inspect(name)["State"]["Pid"]
    kill_hard(pid)
    wait_for(lambda: not any(NETWORK_PROGRAM in line for line in processes_of(trivet.base).values()),
             what="pasta is gone")
