"""Runs that are the hosts of one private network: they reach each other by name, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.runtime.base import RunSpec
from modelyard.runtime.process import ProcessRuntime, network, probe
from tests.support.boxes import bare_environment
from tests.support.needs import require

MEET = """
import os, socket, sys
here, hosts = os.environ["HERE"], os.environ["HOSTS"].split(",")
server = socket.create_server(("0.0.0.0", 7777))
server.settimeout(20)
if here == hosts[0]:
    for _ in hosts[1:]:
        line, peer = server.accept()
        print("met", line.recv(20).decode(), "from", peer[0])
        line.sendall(b"welcome")
else:
    import time
    end = time.monotonic() + 20
    while True:
        try:
            line = socket.create_connection((hosts[0], 7777), 1)
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    line.sendall(here.encode())
    print("told", line.recv(20).decode(), "as", line.getsockname()[0], socket.gethostbyname(here))
"""


@pytest.fixture(params=["full", "no-proc", "ctypes"])
def runtime(request, tmp_path, monkeypatch):
    require("sandbox")
    if request.param not in probe.offered():
        pytest.skip(f"tier {request.param} is not offered here")
    monkeypatch.setenv("MODELYARD_TIER", request.param)
    made = ProcessRuntime(Settings(data=tmp_path))
    made._sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
    if why := made.no_network():
        pytest.skip(f"no private networks here: {why}")
    yield made
    for run_id in made.ids():
        made.remove(run_id)


def spec(tmp_path: Path, name: str, host: int, hosts: list[str], code: str = MEET) -> RunSpec:
    return RunSpec(
        id=f"{name}-{host}", argv=["python3", "-c", code], env={"HERE": hosts[host - 1], "HOSTS": ",".join(hosts)},
        ml=str(tmp_path / f"ml-{name}-{host}"), env_path=bare_environment(), hostname=hosts[host - 1], hosts=hosts, network=name, host=host,
    )  # fmt: skip


def ended(runtime, run_id, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (state := runtime.look(run_id)).ended:
        assert time.monotonic() < deadline, log(runtime, run_id)
        time.sleep(0.01)
    return state


def log(runtime, run_id) -> str:
    return (runtime.folder(run_id) / "log").read_text()


def test_three_hosts_meet_by_name(runtime, tmp_path):
    hosts = ["algo-1", "algo-2", "algo-3"]
    for host in (1, 2, 3):
        runtime.ensure(spec(tmp_path, "net", host, hosts))
    for host in (1, 2, 3):
        state = ended(runtime, f"net-{host}")
        assert state.exit_code == 0, log(runtime, f"net-{host}")
    met = log(runtime, "net-1")
    assert f"met algo-2 from {network.address(2)}" in met and f"met algo-3 from {network.address(3)}" in met
    assert f"told welcome as {network.address(2)} {network.address(2)}" in log(runtime, "net-2")
    deadline = time.monotonic() + 10
    while list(runtime._sockets.glob("*.net")):
        assert time.monotonic() < deadline, "the network ends with its last run"
        time.sleep(0.05)


def test_networks_do_not_see_each_other_nor_this_machine(runtime, tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as outside:
        listen = "import socket, time; socket.create_server(('0.0.0.0', 7777)); time.sleep(60)"
        look = f"""
import socket
for place in (("{network.address(2)}", 7777), ("{network.address(1)}", {outside.getsockname()[1]}), ("127.0.0.1", {outside.getsockname()[1]}), ("10.0.2.2", 80)):
    try:
        socket.create_connection(place, 0.5)
        print("REACHED", place)
    except OSError as error:
        print("refused", place, error)
"""
        runtime.ensure(spec(tmp_path, "one", 2, ["algo-1", "algo-2"], listen))
        runtime.ensure(spec(tmp_path, "two", 1, ["algo-1", "algo-2"], look))
        assert ended(runtime, "two-1").exit_code == 0
    assert "REACHED" not in log(runtime, "two-1") and log(runtime, "two-1").count(" refused ('") == 4
    runtime.stop("one-2", 0)
    ended(runtime, "one-2")


def test_a_network_outlives_the_shim_that_made_it_and_whoever_holds_it(runtime, tmp_path):
    import signal

    hosts = ["algo-1", "algo-2"]
    code = "import socket\nserver = socket.create_server(('0.0.0.0', 7777))\nserver.settimeout(30)\nline, peer = server.accept()\nprint('met', line.recv(9).decode())"
    first = runtime.ensure(spec(tmp_path, "keep", 1, hosts, "import time; time.sleep(60)"))
    runtime.ensure(spec(tmp_path, "keep", 2, hosts, code))
    os.kill(first.pid, signal.SIGKILL)
    ended(runtime, "keep-1")
    third = "import socket, time\nend = time.monotonic() + 20\nwhile True:\n    try:\n        line = socket.create_connection(('algo-2', 7777), 1); break\n    except OSError:\n        assert time.monotonic() < end\n        time.sleep(.02)\nline.sendall(b'again')"
    again = RunSpec(**{**spec(tmp_path, "keep", 1, hosts, third).__dict__, "id": "keep-3"})
    runtime.ensure(again)
    assert ended(runtime, "keep-3").exit_code == 0, log(runtime, "keep-3")
    assert ended(runtime, "keep-2").exit_code == 0 and "met again" in log(runtime, "keep-2")


def test_the_socket_of_a_killed_holder_is_swept_and_a_living_one_is_not(tmp_path):
    import socket

    dead, alive = tmp_path / "a.net", tmp_path / "b.net"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(alive))
        living.listen()
        network.sweep(str(tmp_path))
        assert not dead.exists() and alive.exists()


def test_without_a_sandbox_there_is_no_network_and_the_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_TIER", "degraded")
    runtime = ProcessRuntime(Settings(data=tmp_path))
    with pytest.raises(ValueError, match="no private network for the hosts of a job: there is no sandbox"):
        runtime.ensure(spec(tmp_path, "none", 1, ["algo-1", "algo-2"]))
    assert runtime.look("none-1").state == "absent"
