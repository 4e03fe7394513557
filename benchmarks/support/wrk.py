"""wrk (closed loop, keep-alive, one thread) as the load generator: one request over and over, or a file of distinct ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DONE = """
done = function(s, l, r)
  local e = s.errors
  io.write(string.format("RESULT %d %d %f %f %f\\n", s.requests, e.status + e.read + e.connect + e.timeout, s.duration / 1e6, l:percentile(50), l:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """`p50` and `p99` in microseconds."""

    requests: int
    rps: float
    p50: float
    p99: float


def require() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is not on PATH")


def repeat(folder: Path, url: str, headers: dict[str, str], body: str, connections: int, seconds: float, core: int | None = None) -> Load:
    """The same request for `seconds`. An answer that is not 2xx ends the benchmark."""
    script = folder / "repeat.lua"
    lines = [f"wrk.method = 'POST'; wrk.body = {json.dumps(body)}"]
    lines += [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items()]
    script.write_text("\n".join(lines) + DONE)
    return _run([f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), url], core, url)


def in_turn(folder: Path, url: str, method: str, targets: list[str], size: int, connections: int, seconds: float) -> Load:
    """Requests for these paths in turn, each with `size` bytes of body. An answer that is not 2xx ends the benchmark."""
    script, paths = folder / "turn.lua", folder / "paths.txt"
    paths.write_text("\n".join(targets))
    script.write_text(
        f"""
local made, turn, body = {{}}, 0, {f"string.rep('x', {size})" if size else "nil"}
init = function() for path in io.lines({json.dumps(str(paths))}) do made[#made + 1] = path end end
request = function() turn = turn % #made + 1; return wrk.format({json.dumps(method)}, made[turn], nil, body) end
"""
        + DONE
    )
    return _run([f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), url], None, url)


def once_each(folder: Path, url: str, requests: list[tuple[str, dict[str, str], bytes]], connections: int, method: str = "POST") -> float:
    """Every (path, headers, body) is sent once, over `connections` keep-alive connections; answers requests per second."""
    import asyncio

    return asyncio.run(_once_each(url, [_raw(*request, method) for request in requests], connections))


async def _once_each(url: str, raws: list[bytes], connections: int) -> float:
    import asyncio
    from time import perf_counter
    from urllib.parse import urlsplit

    at, waiting = urlsplit(url), iter(raws)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        for raw in waiting:
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            if not head.startswith(b"HTTP/1.1 2"):
                raise SystemExit((head + body).decode())
        writer.close()

    began = perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    return len(raws) / (perf_counter() - began)


def _raw(path: str, headers: dict[str, str], body: bytes, method: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _run(words: list[str], core: int | None, url: str) -> Load:
    command = [*(["taskset", "-c", str(core)] if core is not None else []), "wrk", "-t1", "--timeout", "30s", *words]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, errors, took, p50, p99 = map(float, re.search(r"RESULT (.*)", told)[1].split())
    if errors or not requests:
        raise SystemExit(f"{errors:.0f} of {requests:.0f} answers of {url} were errors")
    return Load(int(requests), requests / took, p50, p99)
