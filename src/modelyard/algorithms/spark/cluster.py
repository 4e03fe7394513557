"""Where the application runs: in one process on one host, or on a standalone cluster of the job's hosts.

AWS's images start YARN and HDFS; here Spark's own cluster manager does. Workers end when the primary's port is gone.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from ..cpus import cpus

RESOURCES = "/opt/ml/config/resourceconfig.json"
PORT, WEB_PORT, WORK = 7077, 8090, "/tmp/spark-work"
UP_SECONDS, LOOK_SECONDS = 300.0, 0.2


class NoCluster(Exception):
    """The hosts did not come together."""


def hosts(path: str = RESOURCES) -> tuple[str, list[str]]:
    """(this host, all hosts) of the job."""
    told = json.loads(Path(path).read_text())
    return told["current_host"], told["hosts"]


def local() -> list[str]:
    return ["--master", f"local[{cpus()}]"]


@contextlib.contextmanager
def primary(home: str, me: str, all_hosts: list[str]) -> Iterator[list[str]]:
    """On the first host: the cluster with all its workers, and the options that name it."""
    daemons = [_start(home, "master.Master", "--host", me, "--port", str(PORT), "--webui-port", str(WEB_PORT)), _worker(home, me, me)]
    try:
        _wait(lambda: _alive(daemons) and _workers(me) >= len(all_hosts), f"not all of {', '.join(all_hosts)} have joined")
        yield ["--master", f"spark://{me}:{PORT}", *_spread(len(all_hosts))]
    finally:
        _end(daemons)


def work(home: str, me: str, first: str) -> None:
    """On the other hosts: a worker for as long as the primary lives."""
    _wait(lambda: _answers(first), f"{first} has not started")
    worker = _worker(home, me, first)
    try:
        while _alive([worker]) and _answers(first):
            time.sleep(LOOK_SECONDS)
    finally:
        _end([worker])


def _spread(count: int) -> list[str]:
    return ["--conf", "spark.deploy.spreadOut=true", "--conf", f"spark.default.parallelism={cpus() * count}"]


def _worker(home: str, me: str, first: str) -> subprocess.Popen:
    return _start(
        home, "worker.Worker", "--host", me, "--cores", str(cpus()), "--webui-port", "0", "--work-dir", WORK, f"spark://{first}:{PORT}"
    )


def _start(home: str, name: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([f"{home}/bin/spark-class", f"org.apache.spark.deploy.{name}", *arguments])


def _alive(daemons: list[subprocess.Popen]) -> bool:
    if ended := [one.args[1] for one in daemons if one.poll() is not None]:
        raise NoCluster(f"{ended[0]} has ended")
    return True


def _end(daemons: list[subprocess.Popen]) -> None:
    for one in daemons:
        one.terminate()
    for one in daemons:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.wait(10)


def _workers(host: str) -> int:
    """How many workers have joined."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}:{WEB_PORT}/json/", timeout=5) as answer:
            return sum(worker["state"] == "ALIVE" for worker in json.load(answer)["workers"])
    except (OSError, ValueError):
        return 0


def _answers(host: str) -> bool:
    try:
        socket.create_connection((host, PORT), 5).close()
    except OSError:
        return False
    return True


def _wait(what: Callable[[], bool], why: str) -> None:
    until = time.monotonic() + UP_SECONDS
    while not what():
        if time.monotonic() > until:
            raise NoCluster(f"{why} within {UP_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
