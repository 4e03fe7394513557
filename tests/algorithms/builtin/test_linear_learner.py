"""The linear learner: as good as scikit-learn's models on the same data, with AWS's lines, artifact and answers."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, QuantileRegressor

from modelyard.algorithms import recordio as wire
from modelyard.algorithms.builtin import artifact
from tests.algorithms.builtin.conftest import RECORDIO, csv, recordio, request


def split(rows, labels, share=0.7):
    order = np.random.RandomState(3).permutation(len(rows))
    cut = int(share * len(rows))
    return (rows[order[:cut]], labels[order[:cut]]), (rows[order[cut:]], labels[order[cut:]])


def with_labels(rows, labels):
    return csv(np.column_stack([labels, rows]))


def last(log, where, name):
    found = re.findall(rf"#quality_metric: host=algo-1, {where} {name} <(?:score|loss)>=(\S+)", log)
    assert found, f"no {where} {name} in the log"
    return float(found[-1])


@pytest.fixture
def cancer(box):
    """(box, test rows, test labels) with a trained binary classifier."""
    (rows, labels), (test, truth) = split(*load_breast_cancer(return_X_y=True))
    box.channel("train", recordio(rows, labels))
    box.channel("validation", with_labels(test, truth), "text/csv")
    assert box.train("linear-learner", predictor_type="binary_classifier", mini_batch_size=100, epochs=15) == 0, box.log
    return box, test, truth


def test_binary_classifier(cancer):
    box, test, truth = cancer
    assert last(box.log, "validation", "binary_classification_accuracy") >= 0.96
    assert last(box.log, "validation", "roc_auc_score") >= 0.98
    said = box.server("linear-learner").json(csv(test))["predictions"]
    assert set(said[0]) == {"score", "predicted_label"}
    assert np.mean([row["predicted_label"] == label for row, label in zip(said, truth, strict=True)]) == pytest.approx(
        last(box.log, "validation", "binary_classification_accuracy")
    )
    assert all(0 <= row["score"] <= 1 for row in said)


def test_lines_that_the_metric_definitions_search_for(cancer):
    log = cancer[0].log
    for line in (
        r"#quality_metric: host=algo-1, epoch=0, train binary_classification_cross_entropy_objective <loss>=0\.\d+",
        r"#quality_metric: host=algo-1, epoch=3, validation binary_classification_cross_entropy_objective <loss>=",
        r"#quality_metric: host=algo-1, validation binary_classification_cross_entropy_objective <loss>=",
        r"#quality_metric: host=algo-1, train binary_f_1\.000 <score>=",
        r"#quality_metric: host=algo-1, validation precision <score>=",
        r"#progress_metric: host=algo-1, completed 6\.7 % of epochs",
        r"#throughput_metric: host=algo-1, train throughput=[0-9.]+ records/second",
        r"#validation_score \(algo-1\) : \('recall', ",
        r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d+\] Best model found for hyperparameters: ",
        r'#metrics \{"StartTime": .*"Algorithm": "Linear Learner", "Host": "algo-1", "Operation": "training", "epoch": 0, "model": 31',
    ):
        assert re.search(line, log), line


def test_the_artifact_is_mxnets(cancer):
    """Weights for the raw data: the answer is the logistic function of their sum."""
    box, test, _ = cancer
    with zipfile.ZipFile(box.model) as packed:
        assert {"mx-mod-symbol.json", "mx-mod-0000.params", "additional-params.json", "manifest.json"} == set(packed.namelist())
        arrays = artifact.parse(packed.read("mx-mod-0000.params"))
        assert json.loads(packed.read("mx-mod-symbol.json"))["heads"] == [[3, 0, 0]]
    weights, bias = arrays["arg:fc0_weight"], arrays["arg:fc0_bias"]
    assert (weights.shape, bias.shape) == ((1, 30), (1,))
    said = box.server("linear-learner").json(csv(test[:5]))["predictions"]
    expected = 1 / (1 + np.exp(-(test[:5] @ weights[0] + bias[0])))
    assert np.allclose([row["score"] for row in said], expected, atol=1e-5)


def test_every_content_type_gives_the_same_answer(cancer):
    box, test, _ = cancer
    server, rows = box.server("linear-learner"), test[:3]
    expected = server.json(csv(rows))["predictions"]
    dense = {"instances": [{"features": row.tolist()} for row in rows]}
    nested = {"instances": [{"data": {"features": {"values": row.tolist()}}} for row in rows]}
    keys = list(range(30))
    sparse = {"instances": [{"data": {"features": {"keys": keys, "shape": [30], "values": row.tolist()}}} for row in rows]}
    lines = "".join(json.dumps(each) + "\n" for each in nested["instances"])
    for body, kind in ((json.dumps(dense), "application/json"), (json.dumps(nested), "application/json"),
                       (json.dumps(sparse), "application/json"), (lines, "application/jsonlines"),
                       (recordio(rows), RECORDIO), (recordio(rows, sparse=True), RECORDIO)):  # fmt: skip
        found = server.json(body, kind)["predictions"]
        assert [row["predicted_label"] for row in found] == [row["predicted_label"] for row in expected]
        assert np.allclose([row["score"] for row in found], [row["score"] for row in expected], atol=1e-4), kind


def test_every_answer_type(cancer):
    box, test, _ = cancer
    server, body = box.server("linear-learner"), csv(test[:2])
    expected = server.json(body)["predictions"]
    lines = server.ask(body, accept="application/jsonlines")
    assert [json.loads(line) for line in lines.body.splitlines()] == expected
    assert lines.content_type == "application/jsonlines"
    records = list(wire.read(server.ask(body, accept=RECORDIO).body))
    assert np.allclose([record.label["score"].values[0] for record in records], [row["score"] for row in expected])
    assert [record.label["predicted_label"].values[0] for record in records] == [row["predicted_label"] for row in expected]
    assert server.ask(body, accept="text/csv").content_type == "application/json"  # AWS's has no CSV and answers JSON


def test_multiclass(box):
    rows, labels = load_iris(return_X_y=True)
    (rows, labels), (test, truth) = split(rows, labels)
    box.channel("train", with_labels(rows, labels), "text/csv")
    box.channel("test", with_labels(test, truth), "text/csv")
    code = box.train(
        "linear-learner", predictor_type="multiclass_classifier", num_classes=3, mini_batch_size=20, epochs=40, accuracy_top_k=2
    )
    assert code == 0, box.log
    assert last(box.log, "test", "multiclass_accuracy") >= 0.93
    assert last(box.log, "test", "multiclass_top_k_accuracy_2") == 1.0
    assert {"dcg", "macro_recall", "macro_precision", "macro_f_1.000"} <= set(re.findall(r"test (\S+) <score>", box.log))
    said = box.server("linear-learner").json(csv(test[:4]))["predictions"]
    assert all(len(row["score"]) == 3 and abs(sum(row["score"]) - 1) < 1e-5 for row in said)
    assert [row["predicted_label"] for row in said] == [int(np.argmax(row["score"])) for row in said]


def test_regression_is_near_least_squares(box):
    rows, labels = load_diabetes(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    box.channel("test", recordio(rows, labels))
    assert box.train("linear-learner", predictor_type="regressor", mini_batch_size=50, epochs=40, loss="squared_loss") == 0, box.log
    best = LinearRegression().fit(rows, labels)
    off = float(((best.predict(rows) - labels) ** 2).mean())
    assert off <= last(box.log, "test", "mse") < 1.05 * off
    said = box.server("linear-learner").json(csv(rows[:3]))["predictions"]
    assert set(said[0]) == {"score"}
    assert np.allclose([row["score"] for row in said], best.predict(rows[:3]), rtol=0.15)


@pytest.mark.parametrize("loss", ["absolute_loss", "huber_loss", "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss"])
def test_losses_of_regression(box, loss):
    rows, labels = load_diabetes(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    assert box.train("linear-learner", predictor_type="regressor", mini_batch_size=50, epochs=30, loss=loss) == 0, box.log
    assert last(box.log, "train", "mse") < 1.1 * float(((LinearRegression().fit(rows, labels).predict(rows) - labels) ** 2).mean())
    assert f"train {loss}_objective <loss>" in box.log


def test_quantiles(box):
    rows, labels = load_diabetes(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    code = box.train("linear-learner", predictor_type="regressor", mini_batch_size=50, epochs=60, loss="quantile_loss", quantile=0.9)
    assert code == 0, box.log
    said = [row["score"] for row in box.server("linear-learner").json(csv(rows))["predictions"]]
    expected = QuantileRegressor(quantile=0.9, alpha=0).fit(rows, labels).predict(rows)
    assert 0.85 < np.mean(labels <= said) < 0.95
    assert np.corrcoef(said, expected)[0, 1] > 0.97


def test_hinge_loss_answers_scores_that_are_no_probabilities(box):
    rows, labels = load_breast_cancer(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    assert box.train("linear-learner", predictor_type="binary_classifier", mini_batch_size=100, loss="hinge_loss") == 0, box.log
    assert last(box.log, "train", "binary_classification_accuracy") > 0.97
    scores = [row["score"] for row in box.server("linear-learner").json(csv(rows))["predictions"]]
    assert min(scores) < -1 and max(scores) > 1


@pytest.mark.parametrize(
    ("criterion", "target", "held", "least"),
    [
        ("precision_at_target_recall", {"target_recall": 0.99}, "recall", 0.99),
        ("recall_at_target_precision", {"target_precision": 0.995}, "precision", 0.995),
    ],
)
def test_the_threshold_holds_its_target(box, criterion, target, held, least):
    rows, labels = load_breast_cancer(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    more = {"binary_classifier_model_selection_criteria": criterion, **target}
    assert box.train("linear-learner", predictor_type="binary_classifier", mini_batch_size=100, **more) == 0, box.log
    assert last(box.log, "train", held) >= least


def test_sparse_records_stay_sparse(box):
    random = np.random.RandomState(0)
    rows = (random.rand(500, 400) < 0.02).astype(float)
    labels = (rows[:, :5].sum(1) > 0).astype(int)
    box.channel("train", recordio(rows, labels, sparse=True))
    assert box.train("linear-learner", predictor_type="binary_classifier", feature_dim=400, mini_batch_size=100, epochs=20) == 0, box.log
    assert last(box.log, "train", "binary_classification_accuracy") > 0.97


def test_early_stopping(box):
    rows, labels = load_iris(return_X_y=True)
    box.channel("train", recordio(rows, (labels == 0).astype(int)))
    assert (
        box.train("linear-learner", predictor_type="binary_classifier", mini_batch_size=150, epochs=500, early_stopping_tolerance=0.5) == 0
    )
    assert "Early stop condition met" in box.log
    assert box.log.count("epoch=") < 2000


def test_a_tuning_job_trains_one_model(box):
    rows, labels = load_iris(return_X_y=True)
    box.channel("train", recordio(rows, (labels == 0).astype(int)))
    more = {"_tuning_objective_metric": "train:objective_loss", "use_bias": "True", "num_models": "auto"}
    assert box.train("linear-learner", predictor_type="binary_classifier", mini_batch_size=150, epochs=1, **more) == 0, box.log
    assert '"model": 0' in box.log and '"model": 1' not in box.log


def test_many_requests_in_one_batch(cancer):
    box, test, _ = cancer
    server = box.server("linear-learner")
    alone = [server.ask(csv(row[None, :])).body for row in test[:5]]
    mixed = [request(csv(row[None, :])) for row in test[:5]]
    mixed.insert(2, request("1,2\n"))
    answers = server.handler.handle(mixed)
    assert answers.pop(2).status == 400
    together = [json.loads(each.body)["predictions"][0]["score"] for each in answers]
    assert np.allclose(together, [json.loads(body)["predictions"][0]["score"] for body in alone])
