"""Several hosts of the built-in XGBoost: files come together as on one host."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from modelyard.algorithms.errors import PlatformError
from modelyard.algorithms.layout import Layout
from modelyard.algorithms.xgb import hosts


def layout(folder, files):
    made = Layout(str(folder))
    for name, text in files.items():
        path = folder / "input/data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tree(folder):
    return {
        os.path.relpath(os.path.join(root, f), folder): open(os.path.join(root, f)).read()
        for root, _, files in os.walk(folder)
        for f in files
    }


def test_the_first_host_has_the_files_of_all_under_their_names(tmp_path, port):
    first = layout(tmp_path / "1", {"train/a": "1", "train/deep/d": "4", "validation/v": "own"})
    second = layout(tmp_path / "2", {"train/b": "2", "validation/v": "theirs"})
    third = layout(tmp_path / "3", {"train/deep/c": "3", "validation/v": "theirs"})
    others = [threading.Thread(target=hosts.follow, args=(one, ["train"], "127.0.0.1", port)) for one in (second, third)]
    for thread in others:
        thread.start()
    with hosts.lead(first, ["train"], 2, "127.0.0.1", port):
        assert tree(first.channel("train")) == {"a": "1", "b": "2", "deep/c": "3", "deep/d": "4"}
        assert tree(first.channel("validation")) == {"v": "own"}
        assert all(thread.is_alive() for thread in others), "they wait for the model"
    for thread in others:
        thread.join(10)
        assert not thread.is_alive()


def test_a_host_whose_first_host_fails_does_not_end_well(tmp_path, port, monkeypatch):
    monkeypatch.setattr(hosts.time, "sleep", lambda seconds: None)
    first, second = layout(tmp_path / "1", {"train/a": "1"}), layout(tmp_path / "2", {"train/b": "2"})
    found = []

    def follow():
        try:
            hosts.follow(second, ["train"], "127.0.0.1", port)
        except PlatformError as error:
            found.append(str(error))

    thread = threading.Thread(target=follow)
    thread.start()
    with pytest.raises(ValueError), hosts.lead(first, ["train"], 1, "127.0.0.1", port):
        raise ValueError
    thread.join(10)
    assert found == ["127.0.0.1 ended before the model was made"]


def test_only_sharded_channels_are_handed_over():
    assert hosts.sharded({"b": {"S3DistributionType": "ShardedByS3Key"}, "a": {"S3DistributionType": "FullyReplicated"}, "c": {}}) == ["b"]
