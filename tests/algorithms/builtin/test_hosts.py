"""Built-in algorithms on several hosts: the same model as on one, whoever has which records; and what a host that fails does to the others."""

from __future__ import annotations

import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from modelyard.algorithms.builtin import hosts, lightgbm, train
from modelyard.algorithms.builtin.algorithm import Algorithm, Job
from modelyard.algorithms.builtin.data import Table, joined
from modelyard.algorithms.builtin.failures import ClientError
from modelyard.algorithms.layout import Layout
from tests.algorithms.builtin.conftest import Box, recordio

RANDOM = np.random.RandomState(3)
LABELS = RANDOM.randint(0, 3, 120).astype("float32")
ROWS = (RANDOM.normal(0, 1, (120, 4)) + 6 * np.eye(4)[LABELS.astype(int)]).astype("float32")
FIRST = "127.0.0.1"
"""The first host's name in these jobs: one that leads to it."""


def content(model: Path) -> object:
    """What is in an artifact; the members of one that is an archive, whose times of writing do not count."""
    if not zipfile.is_zipfile(model):
        return model.read_bytes()
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Cluster:
    """Boxes of one job, each trained in a thread of its own."""

    def __init__(self, folder: Path, capsys, monkeypatch, count: int) -> None:
        with socket.socket() as free:
            free.bind((FIRST, 0))
            port = free.getsockname()[1]
        for name in ("lead", "follow"):
            real = getattr(hosts, name)
            monkeypatch.setattr(hosts, name, lambda *given, real=real: real(*given, port=port))
        self.names = [FIRST, *(f"algo-{n}" for n in range(2, count + 1))]
        self.boxes = [Box(folder / f"ml-{n}", capsys) for n in range(1, count + 1)]
        for box, name in zip(self.boxes, self.names, strict=True):
            box.write("resourceconfig", {"current_host": name, "hosts": self.names})

    def train(self, algorithm: Algorithm, **hyperparameters: object) -> list[Exception | None]:
        """What each host ended with."""
        ends: list[Exception | None] = [None] * len(self.boxes)

        def run(number: int) -> None:
            box = self.boxes[number]
            box.write("hyperparameters", {name: str(value) for name, value in hyperparameters.items()})
            box.write("inputdataconfig", box.channels)
            layout = Layout(str(box.base))
            layout.make()
            try:
                train.train(algorithm, layout)
            except Exception as error:
                ends[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in reversed(range(len(self.boxes)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        return ends

    def model(self) -> object:
        (made,) = [path for box in self.boxes for path in (box.base / "model").iterdir()]
        assert made.name == f"model_{FIRST}"
        return content(made)


@pytest.fixture
def cluster(tmp_path, capsys, monkeypatch):
    return lambda count: Cluster(tmp_path, capsys, monkeypatch, count)


GIVEN = {
    "kmeans": {"k": 3, "feature_dim": 4},
    "pca": {"num_components": 2, "feature_dim": 4, "mini_batch_size": 20},
    "linear-learner": {"predictor_type": "multiclass_classifier", "num_classes": 3, "epochs": 2, "mini_batch_size": 20},
    "factorization-machines": {"predictor_type": "regressor", "num_factors": 2, "feature_dim": 4, "mini_batch_size": 20},
    "knn": {"k": 3, "sample_size": 100, "predictor_type": "classifier", "feature_dim": 4},
    "randomcutforest": {"num_trees": 50, "num_samples_per_tree": 30, "feature_dim": 4},
}


@pytest.mark.parametrize("name", GIVEN)
def test_the_model_of_three_hosts_is_that_of_one(name, cluster, box):
    labels = None if name in ("kmeans", "pca", "randomcutforest") else LABELS
    more = {"S3DistributionType": "ShardedByS3Key"}
    group = cluster(3)
    for n, each in enumerate(group.boxes):
        part = slice(40 * n, 40 * n + 40)
        each.channel("train", recordio(ROWS[part], None if labels is None else labels[part]), **more)
    assert group.train(train.algorithm(name), **GIVEN[name]) == [None] * 3
    box.channel("train", recordio(ROWS, labels), **more)
    assert box.train(name, **GIVEN[name]) == 0, box.log
    assert group.model() == content(box.model)
    assert "2 other hosts have handed over their records" in box.log


def test_replicated_channels_count_once_and_a_host_may_have_no_part(cluster, box):
    group = cluster(3)
    for n, each in enumerate(group.boxes):
        each.channel("test", recordio(ROWS))
        each.channel("train", recordio(ROWS) if n == 1 else b"", S3DistributionType="ShardedByS3Key")
    assert group.train(train.algorithm("kmeans"), k=3, feature_dim=4) == [None] * 3
    told = group.boxes[0].capsys.readouterr().out
    box.channel("train", recordio(ROWS))
    box.channel("test", recordio(ROWS))
    assert box.train("kmeans", k=3, feature_dim=4) == 0
    (said,) = [line for line in told.splitlines() if "test msd" in line]
    assert said.rpartition("=")[2] in box.log and group.model() == content(box.model)


@pytest.mark.parametrize("bad", [0, 2])
def test_what_one_host_cannot_read_ends_all_with_one_reason(bad, cluster):
    group = cluster(3)
    for n, each in enumerate(group.boxes):
        each.channel("train", b"no records" if n == bad else recordio(ROWS), S3DistributionType="ShardedByS3Key")
    ends = group.train(train.algorithm("kmeans"), k=3, feature_dim=4)
    assert isinstance(ends[0], ClientError) and "Unable to read data channel 'train'" in str(ends[0])
    assert str(ends[bad]) == str(ends[0]) and all(isinstance(end, ClientError) for end in ends)


def test_a_first_host_that_dies_takes_the_others_along(cluster, monkeypatch):
    group = cluster(2)
    monkeypatch.setattr(hosts, "LINGER_SECONDS", 0.0)
    for each in group.boxes:
        each.channel("train", recordio(ROWS), S3DistributionType="ShardedByS3Key")
    broken = train.algorithm("kmeans").__class__(**{**vars(train.algorithm("kmeans")), "train": lambda job: 1 / 0})
    first, second = group.train(broken, k=3, feature_dim=4)
    assert isinstance(first, ZeroDivisionError) and isinstance(second, hosts.Lost)


def test_lightgbm_trains_on_one(cluster):
    ends = cluster(2).train(lightgbm.ALGORITHM)
    assert "Training lightgbm on 2 instances is not supported here" in str(ends[0])


def test_tables_joined():
    dense, flat = np.ones((2, 3), np.float32), sparse.csr_matrix(np.eye(2, dtype=np.float32))
    both = joined([Table(flat, None), Table(dense, None)], "train").features
    assert both.shape == (4, 3) and both.toarray().tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 1]]
    with pytest.raises(ClientError, match="different numbers of features: \\[2, 3\\]"):
        joined([Table(dense, None), Table(dense[:, :2], None)], "train")
    with pytest.raises(ClientError, match="Some records of channel 'train' have labels"):
        joined([Table(dense, None), Table(dense, np.ones(2, np.float32))], "train")
    with pytest.raises(ClientError, match="no records"):
        joined([Table(dense[:0], None)], "train")


def test_sparse_shares_stay_sparse(tmp_path):
    job = Job(train.algorithm("factorization-machines"), Layout(str(tmp_path)), {}, {}, None, "")
    with socket.socket() as free:
        free.bind((FIRST, 0))
        port = free.getsockname()[1]
    table = Table(sparse.random(50, 1000, 0.01, "csr", np.float32, 1), np.arange(50, dtype=np.float32))
    job.channels = {"train": {"S3DistributionType": "ShardedByS3Key"}}
    job.part, job.log = lambda name: table, type("Log", (), {"info": lambda *said: None})()
    other = threading.Thread(target=hosts.follow, args=(job, FIRST, 1, port))
    leader = Job(job.algorithm, job.layout, {}, job.channels, job.log, "")
    other.start()
    with hosts.lead(leader, 1, FIRST, port):
        (found,) = leader.shares["train"]
    other.join(10)
    assert (found.features != table.features).nnz == 0 and (found.labels == table.labels).all() and sparse.issparse(found.features)
