"""PUT and GET of S3 beside nginx, moto's server and ministack in one run: 1 KiB, 1 MiB and 256 MiB, 1 and 8 connections.

    python benchmarks/s3.py [--peers moto ministack] [--rounds 1] [--seconds 1] [--large-mib 256] [--json FILE] [--folder DIR]

Ours is a platform as `modelyard up` starts it; requests are presigned (SigV4), what is answered is durable. nginx writes without fsync
and checks no signature: it is the floor; the peers keep objects in memory. Small objects are asked by wrk, 256 MiB by curl. `GET` asks 200
objects by URLs that come again; `GET once` asks with URLs that are all different, so that nothing is known of them. Besides, a plain
write + fsync of the same size. Each PUT is of a key of its own, and begins with a disk that owes nothing of others' unsynced writes. Objects are read back and compared. CPU is that of the server's processes.
Default: about two minutes, and once some more to install the peers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

from support import stores, wrk  # noqa: E402
from support.platform import cpu_s, load_average  # noqa: E402
from support.stores import reset_peak, rss_mib  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
NAMES = {KIB: "1 KiB", MIB: "1 MiB"}
KEYS = {KIB: 2000, MIB: 40}
AGAIN = {KIB: 200, MIB: 20}
ONCE = 12_000
Seen = dict[tuple[str, str, int, str], list[float]]
"""(size, what, connections, server) → figures of the rounds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", default=list(stores.PINS), choices=list(stores.PINS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--large-mib", type=int, default=256)
    parser.add_argument("--cache", type=Path, default=Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard-bench")
    parser.add_argument("--folder", type=Path, help="where to write (default: a new folder under TMPDIR)")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    wrk.require()
    folder = Path(tempfile.mkdtemp(prefix="bench-s3-", dir=asked.folder))
    seen: Seen = {}
    try:
        with contextlib.ExitStack() as stack:
            servers = start(asked, folder, stack)
            for number in range(asked.rounds):
                for size in (KIB, MIB):
                    small(servers, size, asked.seconds, folder, number, seen)
                large(servers, asked.large_mib, folder, seen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = report({key: statistics.median(values) for key, values in seen.items()}, asked.large_mib)
    print(load_average())
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=2))


def start(asked: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> list[Any]:
    servers: list[Any] = [stores.Modelyard(folder)]
    stack.callback(servers[0].stop)
    if shutil.which("nginx"):
        servers.append(stores.Nginx(folder))
        stack.callback(servers[-1].stop)
    for name in asked.peers:
        try:
            servers.append(stores.Peer(name, stores.environment(name, asked.cache), folder / name))
            stack.callback(servers[-1].stop)
        except subprocess.CalledProcessError as error:
            print(f"{name} cannot be installed: {error}", file=sys.stderr)
    return servers


# --- small objects ---------------------------------------------------------------------------------


def small(servers: list[Any], size: int, seconds: float, folder: Path, number: int, seen: Seen) -> None:
    name = NAMES[size]

    def add(what: str, connections: int, server: str, value: float) -> None:
        seen.setdefault((name, what, connections, server), []).append(value)

    for connections in (1, 8):
        add("PUT p50 µs", 1, "write + fsync", plain(folder, size, 200 if size == KIB else 20))
        for server in servers:
            keys = [f"r{number}-{size}-{connections}-{n}" for n in range(KEYS[size])]
            put = [server.target("PUT", key) for key in keys]
            os.sync()
            got = ask(server, "PUT", put, size, connections, seconds, folder)
            for what, value in got.items():
                add(f"PUT {what}", connections, server.name, value)
        for server in servers:
            keys = [f"r{number}-{size}-{connections}-get-{n}" for n in range(AGAIN[size])]
            fill(server, keys, size)
            urls = [server.target("GET", key) for key in keys]
            ask(server, "GET", urls, 0, connections, seconds / 2, folder)  # some need a while to wake up
            for what, value in ask(server, "GET", urls, 0, connections, seconds, folder).items():
                add(f"GET {what}", connections, server.name, value)
            if size == KIB:
                urls = [server.target("GET", keys[n % len(keys)], 600 + n) for n in range(ONCE)]
                for what, value in ask(server, "GET", urls, 0, connections, seconds, folder).items():
                    add(f"GET once {what}", connections, server.name, value)


def ask(server: Any, method: str, urls: list[str], size: int, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    """`urls` in turn, by wrk."""
    before = cpu_s(server.pids())
    load = wrk.in_turn(folder, f"http://127.0.0.1:{server.port}", method, urls, size, connections, seconds)
    return {"p50 µs": load.p50, "CPU µs": (cpu_s(server.pids()) - before) / load.requests * 1e6, "per s": load.rps}


def fill(server: Any, keys: list[str], size: int) -> None:
    """Objects of random bytes, read back once."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for key in keys:
        data = os.urandom(size)
        for method, body in (("PUT", data), ("GET", None)):
            connection.request(method, server.target(method, key), body=body)
            answer = connection.getresponse()
            got = answer.read()
            if answer.status not in (200, 201, 204) or (method == "GET" and got != data):
                raise SystemExit(f"{server.name}: {method} answers {answer.status} {got[:500]!r}")
    connection.close()


def plain(folder: Path, size: int, count: int) -> float:
    """p50 in µs of a new file, written and fsynced."""
    data, times = os.urandom(size), []
    for number in range(count):
        began = time.perf_counter()
        with open(folder / f"plain-{number}", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        times.append(time.perf_counter() - began)
    for number in range(count):
        os.unlink(folder / f"plain-{number}")
    return statistics.median(times) * 1e6


# --- large objects ---------------------------------------------------------------------------------


def large(servers: list[Any], mib: int, folder: Path, seen: Seen) -> None:
    source, name = folder / "source", f"{mib} MiB"
    with open(source, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    os.sync()
    began = time.perf_counter()
    with open(source, "rb") as file, open(folder / "copy", "wb") as copy:
        shutil.copyfileobj(file, copy, MIB)
        copy.flush()
        os.fsync(copy.fileno())
    seen.setdefault((name, "PUT s", 1, "write + fsync"), []).append(time.perf_counter() - began)
    (folder / "copy").unlink()
    for connections in (1, 8):
        for server in servers:
            keys = [f"large-{connections}-{n}" for n in range(connections)]
            for method in ("PUT", "GET"):
                os.sync()
                had, _ = rss_mib(server, "VmRSS"), reset_peak(server)
                took = together(server, method, keys, source)
                seen.setdefault((name, f"{method} s", connections, server.name), []).append(took)
                seen.setdefault((name, f"{method} RSS +MiB", connections, server.name), []).append(rss_mib(server, "VmHWM") - had)
            if connections == 1:
                subprocess.run(["cmp", str(source), str(folder / "got")], check=True)
            delete(server, keys, folder)


def together(server: Any, method: str, keys: list[str], source: Path) -> float:
    """Seconds until all of these are through, each by a curl of its own."""

    def one(number: int) -> None:
        url = f"http://127.0.0.1:{server.port}{server.target(method, keys[number])}"
        kept = str(source.parent / "got") if len(keys) == 1 and method == "GET" else os.devnull
        words = ["-o", kept, *(["-T", str(source)] if method == "PUT" else [])]
        done = subprocess.run(
            ["curl", "-s", "-H", "Expect:", "-w", "%{http_code}", *words, url], capture_output=True, text=True, check=True
        )
        if done.stdout[-3:] not in ("200", "201", "204"):
            raise SystemExit(f"{server.name}: {method} of a large object answers {done.stdout}")

    began = time.perf_counter()
    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(one, range(len(keys))))
    return time.perf_counter() - began


def delete(server: Any, keys: list[str], folder: Path) -> None:
    """So that what holds objects in memory does not hold those of all rounds."""
    for key in keys:
        if server.name == "nginx":
            (folder / "nginx/www" / key).unlink()
        else:
            server.client.delete_object(Bucket=stores.BUCKET, Key=key)


# --- the table -------------------------------------------------------------------------------------


def report(middle: dict[tuple[str, str, int, str], float], mib: int) -> dict[str, Any]:
    order = ("modelyard", "nginx", "moto", "ministack", "write + fsync")
    names = [name for name in order if any(key[3] == name for key in middle)]
    print(f"{'':26}{'c':>3}" + "".join(f"{name:>22}" for name in names) + "   (× ours is of it)")
    rows: dict[str, dict[str, float]] = {}
    for size, what, connections in dict.fromkeys(key[:3] for key in middle):
        ours = middle[size, what, connections, "modelyard"]
        line = f"{size + ' ' + what:26}{connections:>3}"
        row = rows[f"{size} {what} c{connections}"] = {}
        for name in names:
            value = middle.get((size, what, connections, name))
            if value is None:
                line += f"{'':>22}"
                continue
            row[name] = value
            ratio = f" ({ours / value:.2f} ×)" if name != "modelyard" and value > 0 and "RSS" not in what else ""
            line += f"{value:>10.{0 if value >= 100 else 2}f}{ratio:>12}"
        print(line)
    targets = _targets(middle, f"{mib} MiB")
    print("\ntargets")
    for text, (measured, most) in targets.items():
        print(f"{text:58}{measured:8.2f}  (≤ {most})  {'met' if measured <= most else 'NOT MET'}")
    return {"rows": rows, "targets": {text: {"measured": measured, "most": most} for text, (measured, most) in targets.items()}}


def _targets(middle: dict[tuple[str, str, int, str], float], large_name: str) -> dict[str, tuple[float, float]]:
    def of(size: str, what: str, connections: int, peer: str) -> float:
        return middle[size, what, connections, "modelyard"] / max(middle[size, what, connections, peer], 1e-9)

    found = {"T8 PUT 1 KiB durable, p50 / write + fsync": (of("1 KiB", "PUT p50 µs", 1, "write + fsync"), 3.0)}
    if ("1 KiB", "GET p50 µs", 1, "nginx") in middle:
        for what in ("GET", "GET once"):
            found[f"T7 {what} 1 KiB, p50 at 1 connection / nginx"] = (of("1 KiB", f"{what} p50 µs", 1, "nginx"), 6.0)
            for connections in (1, 8):
                found[f"T7 {what} 1 KiB, CPU at {connections} / nginx"] = (of("1 KiB", f"{what} CPU µs", connections, "nginx"), 10.0)
        found[f"T10 PUT {large_name} / nginx without fsync"] = (of(large_name, "PUT s", 1, "nginx"), 2.0)
        found[f"T10 GET {large_name} / nginx"] = (of(large_name, "GET s", 1, "nginx"), 1.3)
    growth = max(middle[large_name, f"{method} RSS +MiB", c, "modelyard"] / c for method in ("PUT", "GET") for c in (1, 8))
    found["T9 growth of RSS per transfer, MiB"] = (growth, 16.0)
    return found


if __name__ == "__main__":
    main()
