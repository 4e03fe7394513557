"""Transparent mode and egress, with the clients people have: boto3, requests, git, curl."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading

import boto3
import pytest
import requests
from botocore.config import Config

from modelyard.kernel.service import Service
from modelyard.wire.ca import Authority
from modelyard.wire.connect import client_environment, start_egress, transparent_proxy
from modelyard.wire.egress import Denied, Rules, Tokens, Upstreams, is_public
from modelyard.wire.gateway import Gateway
from modelyard.wire.server import Server
from tests.support.doors import KEY, SECRET, make_platform, talk

sts = Service("sts")
STS = "https://sts.us-east-1.amazonaws.com"


@sts.operation
def get_caller_identity(call, request):
    return {"Account": call.account, "Arn": "arn:aws:sts::123456789012:assumed-role/R/s", "UserId": call.host}


class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"hello {self.path} {self.headers.get('proxy-authorization')}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        size = int(self.headers["content-length"])
        got = len(self.rfile.read(size))
        self.send_response(201)
        self.send_header("content-length", str(len(str(got))))
        self.end_headers()
        self.wfile.write(str(got).encode())

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.write_bundle({})
    return made


@contextlib.asynccontextmanager
async def door(authority, tmp_path, environment=None):
    gateway, own, tokens = Gateway(make_platform(sts)), set(), Tokens.of_folder(tmp_path / "secrets")
    proxy = transparent_proxy(gateway.handle, authority, tokens, environment or {}, own, pool=gateway.pool)
    server = Server(gateway.handle, tls=authority.server_context, proxy=proxy, pool=gateway.pool)
    own.add(await server.start())
    server.url = f"http://user:{tokens.of('user')}@127.0.0.1:{server.port}"
    server.tokens, server.gateway = tokens, gateway
    try:
        yield server
    finally:
        await server.stop(1)


def env_of(server, authority) -> dict[str, str]:
    return client_environment(server.url, str(authority.folder / "bundle.pem"))


def client(endpoint, authority, proxies=None):
    return boto3.client(
        "sts",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        verify=str(authority.folder / "bundle.pem"),
        config=Config(proxies=proxies, retries={"max_attempts": 0}),
    )


async def test_https_and_http_on_one_port(authority, tmp_path):
    async with door(authority, tmp_path) as server:
        for scheme in ("http", "https"):
            for host in ("127.0.0.1", "localhost"):
                found = client(f"{scheme}://{host}:{server.port}", authority)
                assert (await asyncio.to_thread(found.get_caller_identity))["Account"] == "123456789012"


async def test_boto3_with_a_hard_coded_aws_host_arrives(authority, tmp_path):
    async with door(authority, tmp_path) as server:
        for url in (
            STS,
            "http://sts.us-east-1.amazonaws.com",
            "https://sts.eu-west-1.amazonaws.com",
            "https://sts.cn-north-1.amazonaws.com.cn",
        ):
            found = client(url, authority, {"http": server.url, "https": server.url})
            said = await asyncio.to_thread(found.get_caller_identity)
            assert said["UserId"] == url.partition("://")[2]


async def test_aws_hosts_need_no_token_and_others_do(authority, tmp_path, origin):
    async with door(authority, tmp_path) as server:
        bare = f"http://127.0.0.1:{server.port}"
        assert await asyncio.to_thread(client(STS, authority, {"https": bare}).get_caller_identity)
        out = await asyncio.to_thread(talk, server.port, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % origin)
        assert out.startswith(b"HTTP/1.1 407")
        answer = await asyncio.to_thread(requests.get, f"http://127.0.0.1:{origin}/x", proxies={"http": bare}, timeout=5)
        assert answer.status_code == 407


async def test_a_runs_token_does_not_open_the_gateways_port(authority, tmp_path, origin):
    async with door(authority, tmp_path) as server:
        url = f"http://run1:{server.tokens.of('run1')}@127.0.0.1:{server.port}"
        answer = await asyncio.to_thread(requests.get, f"http://127.0.0.1:{origin}/x", proxies={"http": url}, timeout=5)
        assert answer.status_code == 407


async def test_others_pass_untouched(authority, tmp_path, origin):
    async with door(authority, tmp_path) as server:
        session, proxies = requests.Session(), {"http": server.url}
        for _ in range(2):
            answer = await asyncio.to_thread(session.get, f"http://127.0.0.1:{origin}/a?b=c", proxies=proxies, timeout=5)
            assert answer.text == "hello /a?b=c None"
        sent = await asyncio.to_thread(session.post, f"http://127.0.0.1:{origin}/", data=b"x" * 3_000_000, proxies=proxies, timeout=5)
        assert (sent.status_code, sent.text) == (201, "3000000")
        head = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic %s\r\n\r\n"
        import base64

        login = base64.b64encode(f"user:{server.tokens.of('user')}".encode())
        early = b"GET /t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        out = await asyncio.to_thread(talk, server.port, head % (origin, login) + early)
        assert out.startswith(b"HTTP/1.1 200 Connection established") and b"hello /t" in out
        own = await asyncio.to_thread(talk, server.port, head % (server.port, login))
        assert own.startswith(b"HTTP/1.1 403")


async def test_a_client_that_does_not_wait_for_the_tunnel(authority, tmp_path):
    async with door(authority, tmp_path) as server:
        early = b"GET /_modelyard/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        out = await asyncio.to_thread(talk, server.port, b"CONNECT s3.amazonaws.com:80 HTTP/1.1\r\nHost: x\r\n\r\n" + early)
    assert out.startswith(b"HTTP/1.1 200 Connection established") and b'"version"' in out


@pytest.mark.parametrize("authority_text", [b"", b"x", b"x:y", b"x:99999", b"a@b:1", b"[::1:3", b"a/b:1"])
async def test_bad_connect_targets(authority, tmp_path, authority_text):
    async with door(authority, tmp_path) as server:
        out = await asyncio.to_thread(talk, server.port, b"CONNECT " + authority_text + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 400"), out


@pytest.mark.skipif(not shutil.which("git"), reason="git is not here")
async def test_git_lands_here(authority, tmp_path):
    async with door(authority, tmp_path) as server:
        seen = []

        async def git_server(request):
            from modelyard.wire.http import HttpResponse

            seen.append((request.header("host"), request.path))
            refs = b"001e# service=git-upload-pack\n0000" + b"0000"
            return HttpResponse(200, [("content-type", "application/x-git-upload-pack-advertisement")], refs)

        server.proxy.inner.handle = git_server
        environment = {**os.environ, **env_of(server, authority), "GIT_TERMINAL_PROMPT": "0"}
        url = "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/demo"
        done = await asyncio.to_thread(subprocess.run, ["git", "ls-remote", url], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert seen[0] == ("git-codecommit.us-east-1.amazonaws.com", "/v1/repos/demo/info/refs")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
async def test_curl_and_plain_python_by_the_environment_alone(authority, tmp_path):
    async with door(authority, tmp_path) as server:
        environment = {**os.environ, **env_of(server, authority)}
        url = "https://bucket.s3.us-east-1.amazonaws.com/_modelyard/health"
        curl = await asyncio.to_thread(subprocess.run, ["curl", "-sS", url], env=environment, capture_output=True, timeout=120)
        program = f"import urllib.request as u, requests as r; print(u.urlopen('{url}').status, r.get('{url}').status_code)"
        python = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], env=environment, capture_output=True, timeout=120)
    assert b'"version"' in curl.stdout, curl.stderr
    assert python.stdout.split() == [b"200", b"200"], python.stderr


async def test_an_upstream_proxy_is_used_and_its_refusal_told(authority, tmp_path, origin):
    """The host's own proxy is played by a second door."""
    other = tmp_path / "other"
    async with (
        door(authority, other) as upstream,
        door(authority, tmp_path, {"http_proxy": upstream.url, "https_proxy": upstream.url}) as server,
    ):
        answer = await asyncio.to_thread(requests.get, f"http://127.0.0.1:{origin}/u", proxies={"http": server.url}, timeout=5)
        assert answer.text == "hello /u None"
        import base64

        login = base64.b64encode(f"user:{server.tokens.of('user')}".encode())
        head = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic %s\r\n\r\nGET /t HTTP/1.0\r\n\r\n"
        out = await asyncio.to_thread(talk, server.port, head % (origin, login))
        assert b"hello /t" in out
        out = await asyncio.to_thread(talk, server.port, head % (upstream.port, login))
        assert out.startswith(b"HTTP/1.1 502") and b"refused" in out


def test_upstream_settings():
    found = Upstreams.of({"HTTPS_PROXY": "http://u:p%40@proxy:3128", "no_proxy": "internal.example,.corp,10.0.0.0/8"}, {4566})
    assert found.for_host("a.b", 443, "https").authorization == "Basic dTpwQA=="
    for host in ("internal.example", "x.internal.example", "a.corp", "10.1.2.3"):
        assert found.for_host(host, 443, "https") is None
    assert found.for_host("a.b", 80, "http") is None
    assert Upstreams.of({"HTTPS_PROXY": "http://127.0.0.1:4566"}, {4566}).https is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "100.64.0.1",
        "fec0::1",
        "::127.0.0.1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)
    assert is_public("8.8.8.8") and is_public("2606:4700::1111")


async def test_egress_never_reaches_this_machine(authority, tmp_path, origin):
    gateway, tokens = Gateway(make_platform(sts)), Tokens.of_folder(tmp_path)
    server = await start_egress(gateway.handle, authority, tokens, {}, set(), pool=gateway.pool)
    try:
        url = f"http://run1:{tokens.of('run1')}@127.0.0.1:{server.port}"
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
            answer = await asyncio.to_thread(requests.get, f"http://{host}:{origin}/", proxies={"http": url}, timeout=5)
            assert answer.status_code in (400, 403), (host, answer.text)
        assert await asyncio.to_thread(client(STS, authority, {"https": url}).get_caller_identity)
        for bad in (f"http://127.0.0.1:{server.port}", f"http://run2:{tokens.of('run1')}@127.0.0.1:{server.port}"):
            answer = await asyncio.to_thread(requests.get, "http://s3.amazonaws.com/", proxies={"http": bad}, timeout=5)
            assert answer.status_code == 407
        tokens.revoke("run1")
        answer = await asyncio.to_thread(requests.get, "http://s3.amazonaws.com/", proxies={"http": url}, timeout=5)
        assert answer.status_code == 407
        assert (await asyncio.to_thread(talk, server.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 400"
        )
    finally:
        await server.stop(1)


async def test_rules_look_at_what_a_name_resolves_to(monkeypatch):
    async def resolved(host, port, **_):
        return [(socket.AF_INET, 1, 6, "", ("8.8.8.8", port)), (socket.AF_INET, 1, 6, "", ("10.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", resolved, raising=False)
    with pytest.raises(Denied):
        Rules(True).check("evil.example", 80, ["8.8.8.8", "10.0.0.1"])
    Rules(True, frozenset({("index.example", 80)})).check("index.example", 80, ["10.0.0.1"])
    with pytest.raises(Denied):
        Rules(True).check_name("metadata")


def test_the_authority_is_private_stable_and_cannot_vouch_for_others(tmp_path):
    from cryptography import x509

    one = Authority(tmp_path)
    first = one.certificate.read_bytes()
    assert Authority(tmp_path).certificate.read_bytes() == first
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "leaf.key").stat().st_mode & 0o777 == 0o600
    limits = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.NameConstraints).value
    assert "amazonaws.com" in [n.value for n in limits.permitted_subtrees if isinstance(n, x509.DNSName)]
    bundle = one.write_bundle({}).read_text()
    assert bundle.count("BEGIN CERTIFICATE") > 50
    assert one.write_bundle({"SSL_CERT_FILE": str(tmp_path / "bundle.pem")}).read_text() == bundle
