"""What users get wrong, and the words they get: the failure file becomes FailureReason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modelyard.algorithms.builtin import NAMES, fields, train
from tests.algorithms.builtin.conftest import RECORDIO, csv, recordio

ROWS = np.random.RandomState(0).normal(0, 1, (60, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)
GOOD = {
    "linear-learner": {"predictor_type": "binary_classifier", "mini_batch_size": 20, "epochs": 1},
    "kmeans": {"k": 3, "feature_dim": 3},
    "pca": {"num_components": 2, "feature_dim": 3, "mini_batch_size": 20},
    "knn": {"k": 3, "feature_dim": 3, "sample_size": 60, "predictor_type": "classifier"},
    "factorization-machines": {"feature_dim": 3, "num_factors": 2, "predictor_type": "binary_classifier"},
    "randomcutforest": {"feature_dim": 3, "num_trees": 50},
}


def fails(box, algorithm, text, **change):
    given = {name: value for name, value in (GOOD[algorithm] | change).items() if value is not None}
    assert box.train(algorithm, **given) == 2, box.log
    assert box.failure.startswith("ClientError: ")
    assert text in box.failure
    assert text in box.log


@pytest.mark.parametrize("algorithm", GOOD)
def test_good_settings_pass(box, algorithm):
    box.channel("train", recordio(ROWS, LABELS))
    assert box.train(algorithm, **GOOD[algorithm]) == 0, box.log


@pytest.mark.parametrize(
    ("algorithm", "change", "text"),
    [
        ("pca", {"mini_batch_size": None}, "No value(s) were specified for 'mini_batch_size' which are required hyperparameter(s) (caused by ValidationError)"),
        ("kmeans", {"k": None, "feature_dim": None}, "No value(s) were specified for 'feature_dim', 'k' which are required"),
        ("kmeans", {"colour": "red"}, "Additional hyperparameters are not allowed ('colour' was unexpected) (caused by ValidationError)"),
        ("kmeans", {"k": "0"}, "The value '0' is not valid for the 'k' hyperparameter which expects one of the following: an integer of at least 1"),
        ("kmeans", {"k": "3.5"}, "The value '3.5' is not valid for the 'k' hyperparameter"),
        ("kmeans", {"epochs": "many"}, "The value 'many' is not valid for the 'epochs' hyperparameter"),
        ("kmeans", {"init_method": "best"}, "hyperparameter which accepts one of the following: 'random', 'kmeans++'"),
        ("kmeans", {"local_lloyd_tol": "1.5"}, "a number of at least 0 and of at most 1"),
        ("kmeans", {"eval_metrics": '["msd", "rmse"]'}, "The value 'rmse' is not valid for the 'eval_metrics'"),
        ("kmeans", {"k": "61"}, "The number of clusters k (61) is larger than the number of records in the train channel (60)"),
        ("kmeans", {"feature_dim": "4"}, "The feature dimension of the data in channel 'train' is 3, but the feature_dim hyperparameter is 4"),
        ("pca", {"num_components": "4"}, "num_components (4) must not be larger than feature_dim (3)"),
        ("linear-learner", {"learning_rate": "inf"}, "'auto'; or a number greater than 0"),
        ("linear-learner", {"use_bias": "maybe"}, "The value 'maybe' is not valid for the 'use_bias' hyperparameter which expects one of the following: 'true'; or 'false'"),
        ("linear-learner", {"predictor_type": "multiclass_classifier"}, "No value(s) were specified for 'num_classes'"),
        ("linear-learner", {"predictor_type": "multiclass_classifier", "num_classes": 2}, "The value '2' is not valid for the 'num_classes'"),
        ("linear-learner", {"loss": "squared_loss"}, "The loss 'squared_loss' cannot be used with predictor_type 'binary_classifier'"),
        ("linear-learner", {"mini_batch_size": "1000"}, "The mini_batch_size (1000) is larger than the number of records in the train channel (60)"),
        ("knn", {"k": "100"}, "k (100) is larger than the number of samples in the index (60)"),
        ("knn", {"dimension_reduction_type": "sign"}, "dimension_reduction_target is required"),
        ("knn", {"dimension_reduction_type": "sign", "dimension_reduction_target": 3}, "must be greater than 0 and less than feature_dim (3)"),
        ("knn", {"index_type": "faiss.IVFPQ", "index_metric": "COSINE"}, "index_metric COSINE is not supported with index_type faiss.IVFPQ"),
        ("randomcutforest", {"num_trees": "20"}, "an integer of at least 50 and of at most 1000"),
        ("factorization-machines", {"bias_init_method": "constant"}, "bias_init_value is required when bias_init_method is 'constant'"),
    ],
)  # fmt: skip
def test_hyperparameters(box, algorithm, change, text):
    box.channel("train", recordio(ROWS, LABELS))
    fails(box, algorithm, text, **change)


def test_labels_of_a_classifier(box):
    box.channel("train", recordio(ROWS, LABELS + 1))
    fails(box, "linear-learner", "The labels of channel 'train' must be whole numbers from 0 to 1")
    (box.base / "output/failure").unlink()
    fails(box, "factorization-machines", "must be 0 or 1 for predictor_type 'binary_classifier'")


def test_channels(box):
    fails(
        box,
        "kmeans",
        "Failed to validate input data configuration. (caused by ValidationError)\n\nCaused by: 'train' is a required property",
    )
    (box.base / "output/failure").unlink()
    box.channel("train", recordio(ROWS))
    box.channel("validation", recordio(ROWS))
    fails(box, "kmeans", "Additional properties are not allowed ('validation' was unexpected)")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"a,b,c\n1,2,3\n", "text/csv;label_size=0", "Unable to read data channel 'train'. Requested content-type is 'text/csv;label_size=0'. Please verify"),
        (b"1,2,3\n1,2\n", "text/csv;label_size=0", "Unable to read data channel 'train'"),
        (b"1,2,3\n1,,3\n", "text/csv;label_size=0", "Unable to read data channel 'train'"),
        (b"1,2,nan\n", "text/csv;label_size=0", "values that are no finite numbers"),
        (b"1,2,3\n", "text/csv;label_size=2", "label_size is 2; it must be 0 or 1"),
        (b"1,2,3\n", None, "Requested content-type is 'application/x-recordio-protobuf'. Please verify"),
        (b"", None, "Channel 'train' has no records"),
        (b"", "text/csv", "Channel 'train' has no records"),
        (recordio(ROWS)[:-5], None, "Truncated record"),
        (b"1,2,3\n", "application/json", "'application/json' is not one of ['application/x-recordio-protobuf', 'text/csv'] (channel 'train')"),
        (b"9,1,2,3\n", "text/csv;label_size=0", "For text/csv the first column is a label unless the content type says label_size=0"),
    ],
)  # fmt: skip
def test_data(box, body, content_type, text):
    box.channel("train", body, content_type)
    fails(box, "kmeans", text)


def test_labels_are_needed(box):
    box.channel("train", recordio(ROWS))
    fails(box, "linear-learner", "The records of channel 'train' have no labels")


def test_a_broken_algorithm_is_not_the_users_fault(box, monkeypatch):
    box.channel("train", recordio(ROWS))
    found = train.algorithm("kmeans")
    monkeypatch.setattr(train, "algorithm", lambda name: type(found)(**{**vars(found), "train": lambda job: 1 / 0}))
    assert box.train("kmeans", **GOOD["kmeans"]) == 1
    assert box.failure == "Algorithm failed: ZeroDivisionError: division by zero"


def test_settings_of_aws_own_are_let_through(box):
    box.channel("train", recordio(ROWS))
    assert box.train("kmeans", **GOOD["kmeans"], _num_gpus="auto", _kvstore="dist_sync", _log_level="info") == 0, box.log


def test_pipe(box):
    """The first epoch's pipe has the whole channel."""
    import os
    import threading

    box.channel("train", b"", TrainingInputMode="Pipe")
    os.mkfifo(box.base / "input/data/train_0")
    writer = threading.Thread(target=lambda: (box.base / "input/data/train_0").write_bytes(recordio(ROWS)))
    writer.start()
    assert box.train("kmeans", **GOOD["kmeans"]) == 0, box.log
    writer.join(10)
    assert "processed a total of 60 examples" in box.log


def test_files_of_folders_below_the_channel(box):
    box.channel("train", csv(ROWS[:30]), "text/csv;label_size=0", file="a/part-0.csv")
    box.channel("train", csv(ROWS[30:]), "text/csv;label_size=0", file="b/part-1.csv")
    box.channel("train", b"not data", "text/csv;label_size=0", file="_SUCCESS")
    assert box.train("kmeans", **GOOD["kmeans"]) == 0, box.log
    assert "processed a total of 60 examples" in box.log


@pytest.mark.parametrize(
    ("body", "content_type", "status", "text"),
    [
        ("1,2", "text/csv", 400, "the data has 2 features, the model 3"),
        ("1,2,3\n1,2", "text/csv", 400, "the lines have different numbers of values"),
        ("a,b,c", "text/csv", 400, "unable to evaluate payload provided: ValueError"),
        ("", "text/csv", 400, "the request has no body"),
        ("\n", "text/csv", 400, "no rows"),
        ("{", "application/json", 400, "unable to evaluate payload provided: JSONDecodeError"),
        ("[]", "application/json", 400, "unable to evaluate payload"),
        ('{"instances": []}', "application/json", 400, "no instances"),
        ('{"instances": [{"data": {"features": {"keys": [5], "values": [1], "shape": [6]}}}]}', "application/json", 400, "6 features"),
        (
            '{"instances": [{"data": {"features": {"keys": [1, 2], "values": [1], "shape": [3]}}}]}',
            "application/json",
            400,
            "keys and values",
        ),
        (
            '{"instances": [{"data": {"features": {"keys": [-1], "values": [1], "shape": [3]}}}]}',
            "application/json",
            400,
            "keys and values",
        ),
        (b"\x00\x01", RECORDIO, 400, "No records found"),
        ("1,2,3", "text/plain", 415, "content-type 'text/plain' is not supported"),
    ],
)
def test_requests(box, body, content_type, status, text):
    box.channel("train", recordio(ROWS, LABELS))
    assert box.train("linear-learner", **GOOD["linear-learner"]) == 0, box.log
    response = box.server("linear-learner").ask(body, content_type)
    assert (response.status, text in response.body.decode()) == (status, True), response.body


def test_a_model_that_is_not_there(box):
    (box.base / "model").mkdir()
    with pytest.raises(FileNotFoundError, match="There is no model_algo-1"):
        box.server("kmeans")


def test_an_artifact_that_is_none(box):
    (box.base / "model").mkdir()
    box.model.write_bytes(b"garbage" * 100)
    with pytest.raises(ValueError, match="no list of MXNet arrays"):
        box.server("kmeans")


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_consistent(name):
    """No name twice, and each default fits its own field."""
    table = train.algorithm(name).table
    assert len({field.name for field in table}) == len(table)
    for field in table:
        if field.default is not None:
            text = json.dumps(field.default) if isinstance(field.default, list) else str(field.default)
            assert field.parse(text) == field.default, field.name
    assert all(isinstance(field, fields.Field) for field in table)


def test_execution_parameters(box):
    box.channel("train", recordio(ROWS))
    assert box.train("kmeans", **GOOD["kmeans"]) == 0
    said = json.loads(box.server("kmeans").handler.execution_parameters().body)
    assert said["BatchStrategy"] == "MULTI_RECORD" and said["MaxPayloadInMB"] == 6
