"""S3 beside its floors in one run: nginx (WebDAV PUT without fsync, sendfile GET) and a plain write+fsync.

    PYTHONPATH=src python benchmarks/s3.py [--rounds 3] [--large-mib 256] [--folder DIR] [--peers PYTHON] [--objects 1000000]

`--peers` names an interpreter that has moto[server] and ministack: they are measured in the same run (both keep objects in memory or in files
without fsync). `--objects` measures size instead: 100,000 keys under one prefix listed in pages, and PUT and GET beside that many objects in the bucket.

Requests to S3 are signed (presigned SigV4, so that the client costs the same on both sides) over one kept-alive
connection. Prints p50 in ms per operation, ratios, CPU per GET from /proc, and the growth of the server's peak RSS
over what it had before. Every answer is checked: status, length, and the bytes read back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
KIB, MIB = 1 << 10, 1 << 20
TICK = os.sysconf("SC_CLK_TCK")


# --- servers -----------------------------------------------------------------------------------------


def serve(data: str) -> None:
    """The child: one gateway with IAM and S3. Prints its port and the root key."""
    import uvloop

    from modelyard.config import Settings
    from modelyard.kernel.clock import SystemClock
    from modelyard.kernel.database import open_database
    from modelyard.kernel.dispatch import Dispatch
    from modelyard.kernel.platform import Platform
    from modelyard.kernel.store import Store
    from modelyard.services import iam, s3
    from modelyard.services.iam.bootstrap import ensure_account
    from modelyard.services.iam.identity import IamIdentity
    from modelyard.wire.gateway import Gateway
    from modelyard.wire.server import Server

    clock, folder = SystemClock(), Path(data)
    platform = Platform(Settings(data=folder), clock, Store(open_database("", folder / "store.db"), clock))
    platform.identity, platform.dispatch = IamIdentity(platform), Dispatch(platform)
    platform.services = {"iam": iam.api, "s3": s3.api}
    s3.install(platform)
    root = ensure_account(platform, platform.settings.account)["root"]

    async def run() -> None:
        gateway = Gateway(platform)
        port = await Server(gateway.handle, pool=gateway.pool, at_once=gateway.at_once, again=gateway.again).start("127.0.0.1", 0)
        gc.collect()
        gc.freeze()  # as the app does
        gc.set_threshold(20_000, 20, 20)
        print(port, root["AccessKeyId"], root["SecretAccessKey"], flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())


class Signed:
    """A server of S3 that is asked with presigned URLs."""

    def connect(self, port: str, key: str, secret: str) -> None:
        import boto3
        from botocore.config import Config

        self.port = port
        self.client = boto3.client(
            "s3",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
        )
        self.client.create_bucket(Bucket="bench")

    def target(self, method: str, key: str) -> str:
        url = urlsplit(self.client.generate_presigned_url(f"{method.lower()}_object", Params={"Bucket": "bench", "Key": key}))
        return f"{url.path}?{url.query}"

    def pids(self) -> list[int]:
        return [self.process.pid]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class S3(Signed):
    name = "s3"

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", str(folder / "data")], stdout=subprocess.PIPE, text=True)
        self.connect(*self.process.stdout.readline().split())


class Peer(Signed):
    """moto's server or ministack, by the module that an interpreter runs."""

    MODULES: ClassVar = {"moto": "moto.server", "ministack": "ministack.app"}

    def __init__(self, name: str, python: str, folder: Path) -> None:
        self.name = name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = ["-p", str(port)] if name == "moto" else []
        self.process = subprocess.Popen(
            [python, "-m", self.MODULES[name], *arguments],
            cwd=folder,
            env={**os.environ, "GATEWAY_PORT": str(port), "PYTHONPATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(port)
        self.connect(str(port), "test", "test")


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("a server did not start")


class Nginx:
    name = "nginx"

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        root = folder / "nginx"
        (root / "www").mkdir(parents=True)
        (root / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; pid {root}/pid; error_log {root}/error.log; "
            + ("user root; " if os.getuid() == 0 else "")
            + f"events {{}} http {{ access_log off; sendfile on; keepalive_requests 1000000; client_max_body_size 0; "
            f"client_body_temp_path {root}/tmp; proxy_temp_path {root}/t1; fastcgi_temp_path {root}/t2; uwsgi_temp_path {root}/t3; "
            f"scgi_temp_path {root}/t4; server {{ listen 127.0.0.1:{self.port}; location / {{ root {root}/www; dav_methods PUT; }} }} }}"
        )
        self.process = subprocess.Popen(["nginx", "-p", str(root), "-c", str(root / "nginx.conf")], stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def target(self, method: str, key: str) -> str:
        return f"/{key}"

    def pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


# --- what is measured ----------------------------------------------------------------------------------


def request(connection: http.client.HTTPConnection, method: str, target: str, body: Any = None, length: int | None = None) -> int:
    """One request; answers how many bytes came back."""
    headers = {"Content-Length": str(length)} if length is not None else {}
    connection.request(method, target, body=body, headers=headers)
    answer = connection.getresponse()
    if answer.status not in (200, 201, 204):
        raise RuntimeError(f"{method} {target[:60]} at {connection.port}: {answer.status} {answer.read(500)!r}")
    got, buffer = 0, memoryview(bytearray(MIB))
    while n := answer.readinto(buffer):
        got += n
    return got


def cpu_s(server: Any) -> float:
    total = 0
    for pid in server.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def rss_mib(server: Any, field: str) -> float:
    return sum(
        int(line.split()[1]) / 1024
        for pid in server.pids()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith(field)
    )


def reset_peak(server: Any) -> None:
    for pid in server.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def p50_ms(times: list[float]) -> float:
    return statistics.median(times) * 1e3


def timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def small(server: Any, size: int, count: int, tag: str) -> dict[str, float]:
    """p50 of PUT and GET of `size` bytes at concurrency 1, and CPU per GET in µs."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=60)
    data, keys = os.urandom(size), [f"{tag}-{size}-{n}" for n in range(count)]
    puts = [server.target("PUT", key) for key in keys]
    gets = [server.target("GET", key) for key in keys]
    put = p50_ms([timed(lambda t=t: request(connection, "PUT", t, data)) for t in puts])
    for target in gets[:20]:
        request(connection, "GET", target)
    before = cpu_s(server)
    times = []
    for target in gets * max(1, 1000 // count):
        began = time.perf_counter()
        got = request(connection, "GET", target)
        times.append(time.perf_counter() - began)
        assert got == size
    return {"put": put, "get": p50_ms(times), "cpu_us": (cpu_s(server) - before) / len(times) * 1e6}


def together(server: Any, size: int, count: int, tag: str, connections: int = 8) -> dict[str, float]:
    """p50 of PUT and GET and operations per second of `connections` clients at once, `count` of each kind by each."""
    from concurrent.futures import ThreadPoolExecutor

    data = os.urandom(size)
    urls = {
        method: [[server.target(method, f"{tag}-c{client}-{size}-{n}") for n in range(count)] for client in range(connections)]
        for method in ("PUT", "GET")
    }

    def client(method: str, targets: list[str]) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=600)
        body = data if method == "PUT" else None
        return [timed(lambda t=t: request(connection, method, t, body)) for t in targets]

    found = {}
    with ThreadPoolExecutor(connections) as pool:
        for method in ("PUT", "GET"):
            began = time.perf_counter()
            times = [one for some in pool.map(lambda targets, m=method: client(m, targets), urls[method]) for one in some]
            found[f"{method.lower()} c{connections}"] = p50_ms(times)
            found[f"{method.lower()} c{connections} per s"] = len(times) / (time.perf_counter() - began)
    return found


def at_size(server: S3, folder: Path, objects: int) -> None:
    """Fills the index through the product's own statements, then measures listing by pages, and PUT and GET before and after."""
    from modelyard.kernel.database import open_database
    from modelyard.services.s3.index import Index

    index = Index(open_database("", folder / "data" / "s3.db", durable=True))
    small(server, KIB, 50, "warm")
    before, made, began = small(server, KIB, 300, "few"), 0, time.perf_counter()

    def fill(tx: Any, first: int, last: int) -> None:
        for n in range(first, last):
            prefix = "one/prefix/" if n < 100_000 else f"zmany/{n // 1000:04}/"
            index.insert(tx, "bench", f"{prefix}{n:08}", "null", False, 0, "d41d8cd98f00b204e9800998ecf8427e", 0.0, "", {"headers": {}})

    while made < objects:
        step = min(20_000, objects - made)
        index.db.grouped(lambda tx, a=made, b=made + step: fill(tx, a, b))
        made += step
    print(f"{objects} objects are in the index after {time.perf_counter() - began:.0f} s")
    pages, token = [], {}
    while True:
        began = time.perf_counter()
        page = server.client.list_objects_v2(Bucket="bench", Prefix="one/prefix/", **token)
        pages.append(time.perf_counter() - began)
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    tenth = max(1, len(pages) // 10)
    print(
        f"list {min(objects, 100_000)} keys in {len(pages)} pages: first tenth {p50_ms(pages[:tenth]):.1f} ms a page, last {p50_ms(pages[-tenth:]):.1f}"
    )
    began = time.perf_counter()
    server.client.list_objects_v2(Bucket="bench", Delimiter="/")
    print(f"list with a delimiter over all: {(time.perf_counter() - began) * 1e3:.1f} ms")
    after = small(server, KIB, 300, "more")
    for what in ("put", "get"):
        print(
            f"{what.upper()} 1 KiB p50: {before[what]:.3f} ms with few objects, {after[what]:.3f} ms with {objects} ({after[what] / before[what]:.2f} x)"
        )


def plain(folder: Path, size: int, count: int) -> float:
    data = os.urandom(size)

    def write(n: int) -> None:
        with open(folder / f"plain-{size}-{n}", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    return p50_ms([timed(lambda n=n: write(n)) for n in range(count)])


def large(server: Any, source: Path) -> dict[str, float]:
    """Seconds and growth of the peak RSS (MiB) of one PUT and one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=600, blocksize=256 * KIB)
    size, put, get = source.stat().st_size, server.target("PUT", "large"), server.target("GET", "large")
    had = rss_mib(server, "VmRSS")
    reset_peak(server)
    with open(source, "rb", buffering=0) as file:
        put_s = timed(lambda: request(connection, "PUT", put, file, size))
    put_growth = rss_mib(server, "VmHWM") - had
    had = rss_mib(server, "VmRSS")
    reset_peak(server)
    began = time.perf_counter()
    assert request(connection, "GET", get) == size
    return {"put_s": put_s, "get_s": time.perf_counter() - began, "put_rss": put_growth, "get_rss": rss_mib(server, "VmHWM") - had}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", help=argparse.SUPPRESS)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--large-mib", type=int, default=256)
    options.add_argument("--peers", help="a Python interpreter that has moto[server] and ministack")
    options.add_argument("--objects", type=int, help="measure size instead: this many objects in one bucket")
    options.add_argument("--folder", type=Path, help="where to write (default: a new folder under TMPDIR)")
    asked = options.parse_args()
    if asked.serve:
        return serve(asked.serve)
    folder = Path(tempfile.mkdtemp(prefix="bench-s3-", dir=asked.folder))
    servers: list[Any] = []
    try:
        servers.append(S3(folder))
        if asked.objects:
            return at_size(servers[0], folder, asked.objects)
        if shutil.which("nginx"):
            servers.append(Nginx(folder))
        for name in Peer.MODULES if asked.peers else ():
            servers.append(Peer(name, asked.peers, folder))
        report(servers, folder, asked.rounds, asked.large_mib)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


def report(servers: list[Any], folder: Path, rounds: int, large_mib: int) -> None:
    source = folder / "source"
    with open(source, "wb") as file:
        for _ in range(large_mib):
            file.write(os.urandom(MIB))
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for round in range(rounds):
        for size, count in ((KIB, 200), (MIB, 20)):
            add(f"plain write+fsync {size // KIB} KiB, ms", plain(folder, size, count))
            for server in servers:
                for what, value in small(server, size, count, f"r{round}").items():
                    add(f"{server.name} {what} {size // KIB} KiB{'' if what == 'cpu_us' else ', ms'}", value)
                for what, value in together(server, size, count // 4, f"r{round}").items():
                    add(f"{server.name} {what} {size // KIB} KiB{'' if what.endswith('per s') else ', ms'}", value)
        for server in servers:
            for what, value in large(server, source).items():
                add(f"{server.name} {what} {large_mib} MiB", value)
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in sorted(middle.items()):
        print(f"{name:<40} {value:10.3f}   ± {100 * (max(found[name]) - min(found[name])) / max(value, 1e-9):.0f} %")
    print("\nratios (target)")
    print(f"T8  PUT 1 KiB / plain write+fsync     {middle['s3 put 1 KiB, ms'] / middle['plain write+fsync 1 KiB, ms']:.2f}  (≤ 3)")
    if len(servers) > 1:
        print(f"T7  GET 1 KiB p50 / nginx             {middle['s3 get 1 KiB, ms'] / middle['nginx get 1 KiB, ms']:.2f}  (≤ 6)")
        print(f"T7  GET 1 KiB CPU / nginx             {middle['s3 cpu_us 1 KiB'] / max(middle['nginx cpu_us 1 KiB'], 1):.2f}  (≤ 10)")
        print(
            f"T10 PUT {large_mib} MiB / nginx DAV         {middle[f's3 put_s {large_mib} MiB'] / middle[f'nginx put_s {large_mib} MiB']:.2f}  (≤ 2.0)"
        )
        print(
            f"T10 GET {large_mib} MiB / nginx             {middle[f's3 get_s {large_mib} MiB'] / middle[f'nginx get_s {large_mib} MiB']:.2f}  (≤ 1.3)"
        )
    print(
        f"T9  peak RSS growth, PUT / GET, MiB   {max(found[f's3 put_rss {large_mib} MiB']):.1f} / {max(found[f's3 get_rss {large_mib} MiB']):.1f}  (≤ 16)"
    )


if __name__ == "__main__":
    main()
