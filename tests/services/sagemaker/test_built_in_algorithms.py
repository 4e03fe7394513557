"""Built-in algorithms as the service sees them: images that are here and not here, metric definitions, failures."""

from __future__ import annotations

import time

import numpy as np
import pytest
from botocore.exceptions import ClientError

from modelyard.config import Settings
from modelyard.kernel.clock import ManualClock
from modelyard.runtime.base import RunState
from modelyard.runtime.images import ImageStore
from modelyard.services.sagemaker.training_job.metrics import Finder, built_in_definitions
from modelyard.services.sagemaker.training_job.reconcile import Seen, decide
from tests.algorithms.builtin.conftest import box, recordio  # noqa: F401
from tests.services.sagemaker.test_training_job_decide import NOW, job
from tests.support.platform import ACCOUNT, InProcess

ECR = "382416733822.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def create(tmp_path):
    """`create(name, image)` creates a training job and answers its description."""
    yard = InProcess(tmp_path, clock=ManualClock(time.time()))
    yard.platform.parts["images"] = ImageStore(Settings(data=tmp_path))
    client = yard.client("sagemaker")
    role = f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]

    def make(name: str, image: str) -> dict:
        client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
            RoleArn=role,
            OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        return client.describe_training_job(TrainingJobName=name)

    yield make
    yard.close()


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (f"{ECR}/ntm:1", "ntm"),
        (f"{ECR}/object2vec:1", "object2vec"),
        ("766337827248.dkr.ecr.us-east-1.amazonaws.com/lda:1", "lda"),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/blazingtext:1", "blazingtext"),
        ("522234722520.dkr.ecr.us-east-1.amazonaws.com/forecasting-deepar:1", "forecasting-deepar"),
        (f"{ECR}/kmeans:7", "kmeans"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:9.9-9", "sagemaker-xgboost"),
    ],
)
def test_an_image_of_aws_that_is_not_here_is_refused_at_create(create, image, name):
    with pytest.raises(ClientError) as refused:
        create("j", image)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    text = refused.value.response["Error"]["Message"]
    assert text.startswith(f"The image {image} is not available here: this platform has no {name}") and "modelyard images" in text


def test_an_unknown_image_of_ones_own_fails_when_it_is_pulled(create):
    assert create("own", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1")["TrainingJobStatus"] == "InProgress"


@pytest.mark.parametrize("region", ["382416733822.dkr.ecr.us-east-1", "438346466558.dkr.ecr.eu-west-1"])
def test_metric_definitions_are_filled_in(create, region):
    said = create("ll", f"{region}.amazonaws.com/linear-learner:1")["AlgorithmSpecification"]["MetricDefinitions"]
    found = {definition["Name"]: definition["Regex"] for definition in said}
    # As DescribeHyperParameterTuningJob of a real job shows them.
    assert found["train:objective_loss"] == r"#quality_metric: host=\S+, epoch=\S+, train \S+_objective <loss>=(\S+)"
    assert found["validation:objective_loss:final"] == r"#quality_metric: host=\S+, validation \S+_objective <loss>=(\S+)"
    assert found["test:binary_f_beta"] == r"#quality_metric: host=\S+, test binary_f_\S+ <score>=(\S+)"
    assert found["train:throughput"] == r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"


DATA = np.random.RandomState(0).normal(0, 1, (100, 3))
LABELS = (DATA[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "expected"),
    [
        (
            "linear-learner",
            {"predictor_type": "binary_classifier", "mini_batch_size": 50, "epochs": 2},
            {"train:objective_loss", "validation:objective_loss", "test:objective_loss", "test:binary_classification_accuracy",
             "test:binary_f_beta", "test:precision", "test:recall", "test:roc_auc_score", "validation:binary_f_beta"},
        ),
        (
            "linear-learner",
            {"predictor_type": "regressor", "mini_batch_size": 50, "epochs": 2},
            {"validation:mse", "validation:absolute_loss", "test:mse", "test:absolute_loss", "test:objective_loss"},
        ),
        ("kmeans", {"k": 3, "feature_dim": 3}, {"test:msd", "test:ssd", "train:msd", "train:throughput", "train:progress"}),
        ("knn", {"k": 3, "feature_dim": 3, "sample_size": 100, "predictor_type": "classifier"}, {"test:accuracy"}),
        ("knn", {"k": 3, "feature_dim": 3, "sample_size": 100, "predictor_type": "regressor"}, {"test:mse"}),
        (
            "factorization-machines",
            {"feature_dim": 3, "num_factors": 2, "predictor_type": "binary_classifier"},
            {"test:binary_classification_accuracy", "test:binary_classification_cross_entropy", "test:binary_f_beta",
             "train:binary_classification_accuracy", "train:binary_classification_accuracy:epoch"},
        ),
        ("factorization-machines", {"feature_dim": 3, "num_factors": 2, "predictor_type": "regressor"}, {"test:rmse", "train:rmse"}),
        ("randomcutforest", {"feature_dim": 3, "num_trees": 50}, {"test:f1", "test:accuracy"}),
        ("pca", {"num_components": 2, "feature_dim": 3, "mini_batch_size": 50}, {"train:throughput", "train:progress"}),
    ],
)  # fmt: skip
def test_the_documented_metrics_are_found_in_the_log(box, algorithm, hyperparameters, expected):  # noqa: F811
    for channel in ("train", "test", *(["validation"] if algorithm == "linear-learner" else [])):
        box.channel(channel, recordio(DATA, LABELS))
    assert box.train(algorithm, **hyperparameters) == 0, box.log
    finder = Finder(built_in_definitions(f"{ECR}/{algorithm}:1", {}))
    found = {name for line in box.log.splitlines() for name, _, _ in finder.find(0.0, line)}
    assert expected <= found


@pytest.mark.parametrize(
    ("code", "failure", "reason"),
    [
        (2, "ClientError: No value(s) were specified", "ClientError: No value(s) were specified, exit code: 2"),
        (1, "Algorithm failed: KeyError: 'x'", "AlgorithmError: Algorithm failed: KeyError: 'x', exit code: 1"),
        (1, "ClientError: of a script", "AlgorithmError: ClientError: of a script, exit code: 1"),
        (2, "usage: train.py", "AlgorithmError: usage: train.py, exit code: 2"),
    ],
)
def test_what_the_user_has_to_change_is_a_client_error(code, failure, reason):
    step = decide(job("run"), Seen(run=RunState("exited", exit_code=code), failure=failure), NOW)
    assert step.state["reason"] == reason
