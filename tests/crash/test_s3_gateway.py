"""A gateway killed with kill -9 in the middle of thousands of puts, completes, copies and deletes: what was acknowledged is there with
the right bytes, what was not is absent or whole, and no file without a row survives the sweep."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from modelyard.config import Settings
from modelyard.kernel.clock import SystemClock
from modelyard.kernel.platform import Platform
from modelyard.services.s3 import install
from modelyard.services.s3.verify import verify

THREADS, KEYS, ROUNDS, LEAST_CALLS = 6, 12, 5, 2000
NOTHING = ""


class Client(threading.Thread):
    """Works on keys of its own until the gateway is gone. `state`: key → the MD5s it may have now (NOTHING: absent)."""

    def __init__(self, number: int, port: int, seed: int, state: dict[str, set[str]]) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._number, self._random, self._state = number, random.Random(seed), state
        self.acknowledged, self.wrong = 0, []

    def run(self) -> None:
        try:
            while True:
                self._random.choice((self._put, self._put, self._put, self._complete, self._copy, self._remove))()
                self.acknowledged += 1
        except (OSError, http.client.HTTPException):
            return
        finally:
            self._connection.close()

    def _ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        self._connection.request(method, f"/bkt/{path}", body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 204):
            self.wrong.append(f"{method} {path}: {answer.status} {text[:200]!r}")
        if b"</Error>" in text:
            self.wrong.append(f"{method} {path}: {text[:200]!r}")
        return text

    def _key(self) -> str:
        return f"{self._number}-{self._random.randrange(KEYS)}"

    def _data(self) -> bytes:
        return self._random.randbytes(self._random.choice((10, 3_000, 20_000, 60_000)))

    def _change(self, key: str, after: str, do: object) -> None:
        before = self._state.get(key, {NOTHING})
        self._state[key] = before | {after}
        do()  # type: ignore[operator]
        self._state[key] = {after}

    def _put(self) -> None:
        key, data = self._key(), self._data()
        self._change(key, hashlib.md5(data).hexdigest(), lambda: self._ask("PUT", key, data))

    def _remove(self) -> None:
        key = self._key()
        self._change(key, NOTHING, lambda: self._ask("DELETE", key))

    def _copy(self) -> None:
        source, key = self._key(), self._key()
        have = self._state.get(source, {NOTHING})
        if source != key and len(have) == 1 and NOTHING not in have:
            self._change(key, next(iter(have)), lambda: self._ask("PUT", key, **{"x-amz-copy-source": f"/bkt/{source}"}))

    def _complete(self) -> None:
        key, data = self._key(), self._data()
        upload = re.search(rb"<UploadId>(.+?)</UploadId>", self._ask("POST", f"{key}?uploads"))
        if upload is None:
            return
        name = upload[1].decode()
        self._ask("PUT", f"{key}?uploadId={name}&partNumber=1", data)
        part = f"<Part><PartNumber>1</PartNumber><ETag>{hashlib.md5(data).hexdigest()}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
        self._change(key, hashlib.md5(data).hexdigest(), lambda: self._ask("POST", f"{key}?uploadId={name}", document))


@pytest.mark.slow
def test_kill_9_of_the_gateway(tmp_path):
    state: dict[str, set[str]] = {}
    calls, chance, round_ = 0, random.Random(7), 0
    while round_ < ROUNDS or (calls < LEAST_CALLS and round_ < 3 * ROUNDS):
        gateway = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3_gateway", str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        try:
            port = int(gateway.stdout.readline())
            clients = [Client(number, port, 100 * round_ + number, state) for number in range(THREADS)]
            for one in clients:
                one.start()
            time.sleep(chance.uniform(0.4, 1.6))  # the moment of the crash
        finally:
            gateway.send_signal(signal.SIGKILL)
            gateway.wait(30)
            gateway.stdout.close()
        for one in clients:
            one.join(60)
            assert not one.is_alive() and one.wrong == []
        calls += sum(one.acknowledged for one in clients)
        check(tmp_path, state)
        round_ += 1
    assert calls >= LEAST_CALLS or round_ == 3 * ROUNDS
    assert calls > 100


def check(data, state: dict[str, set[str]]) -> None:
    depot = install(Platform(Settings(data=data), SystemClock(), None))
    try:
        for key, may_be in state.items():
            latest = depot.index.latest("bkt", key)
            have = NOTHING
            if latest is not None:
                _, found = depot.find_open("bkt", key)
                have = hashlib.md5(found if isinstance(found, bytes) else found.read()).hexdigest()
                if not isinstance(found, bytes):
                    found.close()
            assert have in may_be, key
            state[key] = {have}
        depot.sweep(grace_s=-5.0)
        found = verify(depot, -5.0)
        assert found.whole, found
        assert list((data / "objects" / "tmp").iterdir()) == []
    finally:
        depot.index.db.close()
