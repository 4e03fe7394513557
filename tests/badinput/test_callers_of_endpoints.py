"""Callers and replicas that misbehave, on real sockets: slow readers, hang-ups, flapping replicas. Neighbours are unharmed."""

from __future__ import annotations

import socket
import struct
import threading
import time
from itertools import pairwise

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from modelyard.wire.server import Server
from tests.support import inproc
from tests.support.hosting import Hosting, eventually

STREAM = "invocations-response-stream"


class Door(Hosting):
    """With a front door on a port."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        gateway = self.yard.gateway
        self.server = Server(gateway.handle, pool=gateway.pool, at_once=gateway.at_once)
        inproc.loop().run(self.server.start("127.0.0.1", 0))

    def close(self) -> None:
        inproc.loop().run(self.server.stop(0.1))
        super().close()

    def send(self, body: bytes, endpoint: str = "e", kind: str = "invocations", receive: int = 0) -> socket.socket:
        """A signed call whose answer nobody has read yet. `receive`: the size of the socket's buffer."""
        url = f"http://127.0.0.1:{self.server.port}/endpoints/{endpoint}/{kind}"
        keys = self.yard.secrets["session"]
        asked = AWSRequest("POST", url, {"Content-Type": "text/csv", "Content-Length": str(len(body))}, body)
        credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(asked)
        lines = [f"POST {asked.url.partition(str(self.server.port))[2]} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}"]
        lines += [f"{name}: {value}" for name, value in asked.headers.items()]
        made = socket.socket()
        if receive:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        made.connect(("127.0.0.1", self.server.port))
        made.settimeout(20)
        made.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return made

    def ask(self, body: bytes = b"x", endpoint: str = "e") -> bytes:
        return self.rt.invoke_endpoint(EndpointName=endpoint, Body=body)["Body"].read()

    def busy(self) -> bool:
        return any(pool.in_use for pool in self.platform.invoker._replicas._pools.values())

    def box(self, name: str):
        return next(b for b in self.runtime.running() if b.name == name)


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path)
    made.deploy("e", "m")
    yield made
    made.close()


def test_a_client_that_hangs_up_in_mid_stream(door):
    """The model's connection is let go of at once, not when its stream would have ended (10 s later)."""
    for _ in range(5):
        client = door.send(b"parts " + b"a " * 200, kind=STREAM)
        assert b" 200 " in client.recv(4096)
        assert door.busy()
        client.close()
    eventually(lambda: not door.busy(), 5)
    assert door.ask() == b"m:x"


def test_a_client_that_hangs_up_while_its_model_works(door):
    """A connection that is reset is a call that is given up. One that is closed politely may be a client that only has said everything:
    it is answered, and what it does not take is dropped."""
    before = time.monotonic()
    for number in range(5):
        client = door.send(b"sleep 20")
        eventually(lambda: door.box("m").requests == number + 1)  # noqa: B023
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    eventually(lambda: not door.busy(), 5)
    assert time.monotonic() - before < 20 and door.ask() == b"m:x"
    door.send(b"sleep 0.5").close()
    eventually(lambda: door.box("m").requests == 7 and not door.busy(), 5)
    assert door.ask() == b"m:x"


def test_a_slow_reader_of_a_stream_holds_the_model_up_and_nobody_else(door):
    """What a client does not read is not gathered: the model waits. 64 MiB, of which a few are on their way."""
    client = door.send(b"flood 64", kind=STREAM, receive=1 << 16)
    head = client.recv(1000)
    box = door.box("m")
    for _ in range(200):
        assert door.ask() == b"m:x"
    stands = box.flooded
    for _ in range(50):
        assert door.ask() == b"m:x"
    assert box.flooded == stands < 16 << 20, "it stands still"
    taken = len(head)
    while piece := client.recv(1 << 20):
        taken += len(piece)
        if box.flooded == 64 << 20 and taken >= 64 << 20:
            break
    client.close()
    eventually(lambda: not door.busy(), 5)


def test_slow_readers_of_whole_answers(door):
    """Each answer is whole in the gateway, and its replica is free again: slow clients do not use up a model."""
    big = b"y" * (4 << 20)
    clients = [door.send(big, receive=1 << 16) for _ in range(8)]
    eventually(lambda: door.box("m").requests == 8)
    eventually(lambda: not door.busy(), 10)
    assert door.ask() == b"m:x"
    for client in clients:
        got = client.recv(1 << 16)
        while len(got) < len(big):
            got += client.recv(1 << 20)
        assert got.endswith(b"y" * 1000)
        client.close()


def test_a_replica_that_flaps(door):
    """It dies whenever it is up. Its neighbour in the variant and the other endpoint answer every call but one that it had in hand when
    it died; it is started again after longer and longer pauses; the endpoint stays in service."""
    row = {"VariantName": "v", "ModelName": "pair", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
    door.model("pair")
    door.sm.create_endpoint_config(EndpointConfigName="two", ProductionVariants=[row])
    door.sm.create_endpoint(EndpointName="two", EndpointConfigName="two")
    door.until("InService", "two")
    steady = door.box("pair")
    over, deaths, lost = threading.Event(), [], 0

    def kill() -> None:
        while not over.wait(0.01):
            for box in door.runtime.running():
                if box.name == "pair" and box is not steady:
                    box.end(1)
                    deaths.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while len(deaths) < 4:
            try:
                assert door.ask(endpoint="two") == b"pair:x"
            except ClientError as problem:
                assert "The container ended" in str(problem)
                lost += 1
            assert door.ask() == b"m:x"
    finally:
        over.set()
        killer.join(10)
    pauses = [later - earlier for earlier, later in pairwise(deaths)]
    assert lost <= len(deaths)
    assert pauses[-1] > min(pauses[:-1]), "it is tried less and less often"
    assert door.sm.describe_endpoint(EndpointName="two")["EndpointStatus"] == "InService"
    eventually(lambda: len([b for b in door.runtime.running() if b.name == "pair"]) == 2, 10)
