"""What a box keeps in and out, on the tiers that have one."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from pathlib import Path

import pytest

from modelyard.runtime.base import Mount
from modelyard.runtime.process import plan
from tests.runtime.conftest import until


@pytest.fixture
def boxed(bench, tier):
    if tier == "degraded":
        pytest.skip("the degraded tier has no box")
    return bench


@pytest.fixture
def web():
    """An HTTP server on the host's loopback: `web.port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"x" * 3_000_000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            count = len(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(count).encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


FETCH = "import urllib.request, sys; print(len(urllib.request.urlopen('http://127.0.0.1:%d/').read()))"
SEND = "import urllib.request, sys; print(urllib.request.urlopen('http://127.0.0.1:%d/', b'y' * 4_000_001).read().decode())"


def test_the_platforms_port_is_reached_both_ways(bench, web):
    assert bench.run("a", ["python3", "-c", FETCH % web.port], platform_port=web.port)[1] == "3000000\n"
    assert bench.run("b", ["python3", "-c", SEND % web.port], platform_port=web.port)[1] == "4000001\n"


def test_nothing_else_of_the_hosts_loopback_is_reached(boxed, web):
    run, output = boxed.run("a", ["python3", "-c", FETCH % web.port], platform_port=web.port + 1 if web.port < 65535 else 1024)
    assert run.exit_code == 1 and "Connection refused" in output


def test_network_isolation_leaves_only_loopback(boxed, web):
    assert boxed.runtime.isolates_network
    run, output = boxed.run("a", ["python3", "-c", FETCH % web.port])
    assert run.exit_code == 1 and "Connection refused" in output
    code = "import socket; s = socket.create_connection(('192.0.2.1', 80), 3)"
    assert "Network is unreachable" in boxed.run("b", ["python3", "-c", code])[1]


def test_many_connections_through_the_relay_at_once(bench, web):
    code = (
        "import urllib.request, concurrent.futures as f\n"
        f"def get(n): return len(urllib.request.urlopen('http://127.0.0.1:{web.port}/').read())\n"
        "print(sum(f.ThreadPoolExecutor(16).map(get, range(32))))"
    )
    assert bench.run("a", ["python3", "-c", code], platform_port=web.port)[1] == "96000000\n"


def test_names_of_hosts_resolve_in_the_box(boxed):
    code = "import socket; print(*[socket.gethostbyname(n) for n in ('algo-1', 'algo-2', 'localhost')], socket.gethostname())"
    _, output = boxed.run("a", ["python3", "-c", code], hosts=["algo-1", "algo-2"])
    assert output == "127.0.0.1 127.0.0.1 127.0.0.1 algo-1\n"


def test_the_root_is_minimal_and_read_only(boxed, tmp_path):
    (tmp_path / "secret").write_text("hush")
    script = f"cat {tmp_path}/secret; cat {boxed.settings.data}/VERSION; ls /home; touch /x; touch /usr/x; touch /etc/x; cat /etc/shadow; echo done"
    _, output = boxed.run("a", ["sh", "-c", script])
    assert "hush" not in output and output.endswith("done\n")
    assert output.count("Read-only file system") == 3 and output.count("No such file or directory") >= 4


def test_other_processes_are_not_seen(boxed, tier):
    _, output = boxed.run("a", ["sh", "-c", "ls /proc | grep -c '^[0-9]'; cat /proc/1/environ 2>&1; kill -0 1 && echo one"])
    assert int(output.split()[0]) <= 6
    assert "PATH=" not in output.replace("\0", "\n") or tier in ("full", "ctypes")


def test_no_capability_and_no_way_to_one(boxed, tier):
    if tier == "no-proc":
        pytest.skip("there is no /proc/self to ask")
    _, output = boxed.run("a", ["sh", "-c", "id -u; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status"])
    uid, *rest = output.split("\n")
    fields = dict(line.split(":\t") for line in rest if line)
    assert uid == "0" and int(fields["CapEff"], 16) == 0 and fields["NoNewPrivs"] == "1"


def test_tmp_home_and_shared_memory_are_private_and_writable(boxed):
    code = "import os, multiprocessing as m; open('/tmp/x','w'); open('/root/x','w'); open('/dev/shm/x','w'); m.Lock(); print(os.environ['HOME'])"
    assert boxed.run("a", ["python3", "-c", code])[1] == "/root\n"
    assert "x" not in boxed.run("b", ["sh", "-c", "ls /tmp /root /dev/shm"])[1].split()


def test_mounts_are_read_only_unless_said(boxed, tmp_path):
    (tmp_path / "file").write_text("data")
    script = "cat /data/file; echo more >> /data/file; echo more >> /opt/ml/out/file; ls /opt/ml/out"
    (tmp_path / "out").mkdir()
    mounts = [Mount(str(tmp_path), "/data"), Mount(str(tmp_path / "out"), "/opt/ml/out", writable=True)]
    _, output = boxed.run("a", ["sh", "-c", script], mounts=mounts)
    assert output.startswith("data") and "Read-only file system" in output
    assert (tmp_path / "out/file").read_text() == "more\n"


SERVER = """
import http.server, os, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def address_string(self): return "-"
    def log_message(self, *a): pass
if sys.argv[1] == "direct":
    socketserver.ThreadingUnixStreamServer(os.environ["MODELYARD_SERVE_SOCKET"], Handler).serve_forever()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))), Handler).serve_forever()
"""


def ping(path: str) -> bytes:
    """The body of one answer; b"" when nobody answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        try:
            sock.connect(path)
            sock.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        except OSError:
            return b""
    return answer.rpartition(b"\r\n")[2]


def start_server(bench, name: str, kind: str = "tcp") -> str:
    path = bench.runtime.serve_socket(name)
    bench.start(name, ["python3", "-c", SERVER, kind], serve_socket=path)
    until(lambda: ping(path), bool)
    return path


def test_servers_of_many_boxes_all_have_their_own_port_8080(bench):
    paths = {}
    for name in ("m1", "m2"):
        paths[name] = bench.runtime.serve_socket(name)
        bench.start(name, ["python3", "-c", SERVER, name], serve_socket=paths[name])
    for name, path in paths.items():
        assert until(lambda path=path: ping(path), bool) == name.encode()


def test_a_server_on_the_unix_socket_takes_over_from_the_relay(bench):
    path = start_server(bench, "a", "direct")
    assert ping(path) == b"direct"
    relay = str(plan.direct_folder(path).with_suffix(".r"))  # the name its listening socket was made with
    until(lambda: relay in Path("/proc/net/unix").read_text(), lambda there: not there)
    assert ping(path) == b"direct"


def test_the_public_socket_cannot_be_bent_by_the_box(bench):
    """The box swaps its socket for a link to a socket of the host: callers must not be led there."""
    path = bench.runtime.serve_socket("a")
    with socket.socket(socket.AF_UNIX) as victim:
        victim.bind(str(bench.settings.data / "victim"))
        victim.listen()
        victim.settimeout(0.3)
        script = f"ln -s {bench.settings.data}/victim $MODELYARD_SERVE_SOCKET; sleep 60"
        bench.start("a", ["sh", "-c", script], serve_socket=path)
        bench.wait("a", "running")
        until(
            lambda: (
                list(bench.settings.socket_dir.glob("*.d/http")) or any(p.is_symlink() for p in bench.settings.socket_dir.glob("*.d/*"))
            ),
            bool,
        )
        assert ping(path) == b""
        with pytest.raises(TimeoutError):
            victim.accept()


def test_the_socket_is_gone_when_the_server_is(bench):
    path = start_server(bench, "a")
    bench.runtime.stop("a", grace_s=1)
    bench.wait("a")
    assert ping(path) == b""
    bench.runtime.remove("a")
    assert not list(bench.settings.socket_dir.iterdir())


def test_the_tier_is_told_in_the_log_when_there_is_no_sandbox(bench, tier):
    bench.run("a", ["true"])
    said = "no sandbox" in (bench.runtime.folder("a") / "log").read_text()
    assert said == (tier == "degraded")


def test_the_spec_beside_the_run_is_readable_json(best):
    best.run("a", ["true"], {"K": "v"})
    spec = json.loads((best.runtime.folder("a") / "spec.json").read_text())
    assert spec["argv"] == ["true"] and spec["env"] == ["K"] and spec["tier"] == best.runtime.tier
