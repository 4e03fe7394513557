"""A gateway killed with kill -9 while several clients put lines, and an engine packs those that are there: every acknowledged line is there once, a batch that was not
acknowledged is there whole or not at all, and a metric filter has counted each line that is there once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from modelyard import app
from modelyard.config import Settings
from modelyard.services.logs import packs
from modelyard.services.logs.filter_worker import drain
from tests.support.patience import deadline

WRITERS, ROUNDS, BATCH, LEAST = 4, 2, 400, 5


def client(port: str, key: str, secret: str):
    session = boto3.Session(key, secret, region_name="us-east-1")
    config = Config(retries={"max_attempts": 0}, read_timeout=30)
    return session.client("logs", endpoint_url=f"http://127.0.0.1:{port}", config=config)


class Writer(threading.Thread):
    """Puts batches into a stream of its own until the gateway is gone."""

    def __init__(self, logs, name: str) -> None:
        super().__init__(daemon=True)
        self._logs, self.stream = logs, name
        self.acknowledged: list[str] = []
        self.sent: list[str] = []

    def run(self) -> None:
        number = 0
        while True:
            batch, now = f"{self.stream}.{number}", int(time.time() * 1000)
            events = [{"timestamp": now + n // 100, "message": f"LINE {batch} {n}"} for n in range(BATCH)]
            self.sent.append(batch)
            try:
                self._logs.put_log_events(logGroupName="/g", logStreamName=self.stream, logEvents=events)
            except BotoCoreError:
                return
            self.acknowledged.append(batch)
            number += 1


class Packer(threading.Thread):
    """What an engine does, without its patience."""

    def __init__(self, logs) -> None:
        super().__init__(daemon=True)
        self._logs, self.over, self.made = logs, threading.Event(), 0

    def run(self) -> None:
        while not self.over.wait(0.02):
            for stream, _ in self._logs.ingested():
                while self._logs.packs.pack(stream, 1 << 60):
                    self.made += 1


@pytest.mark.slow
def test_kill_9_of_the_gateway(tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "PACK_LINES", 256)
    sent, acknowledged = [], []
    platform = app.build_platform(Settings(data=tmp_path, cache=tmp_path / "cache"), "tool")
    packer = Packer(platform.logs)
    packer.start()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for turn in range(ROUNDS):
        command = [sys.executable, "-m", "tests.support.logs_gateway", str(tmp_path)]
        gateway = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            where = gateway.stdout.readline().split()
            logs = client(*where)
            if turn == 0:
                logs.create_log_group(logGroupName="/g")
                transformation = {"metricName": "lines", "metricNamespace": "Test", "metricValue": "1"}
                logs.put_metric_filter(logGroupName="/g", filterName="f", filterPattern="LINE", metricTransformations=[transformation])
            writers = [Writer(client(*where), f"{turn}-{n}") for n in range(WRITERS)]
            for writer in writers:
                logs.create_log_stream(logGroupName="/g", logStreamName=writer.stream)
            for writer in writers:
                writer.start()
            until = deadline(60)
            while min(len(writer.acknowledged) for writer in writers) < LEAST and time.monotonic() < until:
                time.sleep(0.005)
        finally:
            gateway.kill()
            gateway.wait()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            sent += writer.sent
            acknowledged += writer.acknowledged
    assert len(acknowledged) >= WRITERS * ROUNDS * LEAST

    packer.over.set()
    packer.join(60)
    assert packer.made > 0
    logs = platform.logs
    group = logs.group(platform.settings.account, "us-east-1", "/g")
    there = Counter(event.message for event in logs.scan(logs.streams(group, limit=1000)))
    assert set(there.values()) == {1}
    batches = Counter(message.split()[1] for message in there)
    assert all(batches[batch] == BATCH for batch in acknowledged)
    assert set(batches) <= set(sent) and set(batches.values()) == {BATCH}

    drain(platform)
    drain(platform)
    every = platform.metrics.every_point(platform.settings.account, "us-east-1", "Test", [])
    assert len(every) == there.total()
