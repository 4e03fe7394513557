"""SageMaker SDK v2 beyond the first lab: script mode, failures, attach, analytics, serializers, variants, tags."""

import re

import pytest

from tests.journeys.conftest import HERE
from tests.support.patience import SLOWNESS


@pytest.fixture(scope="module")
def sk(yard):
    return yard.python("client-sdk2", "sdk2_script_mode.py", str(HERE / "code/sklearn"), timeout=240)


def test_fit_without_waiting_then_wait(sk):
    said = sk["describe"]
    assert (said["TrainingJobStatus"], said["SecondaryStatus"]) == ("Completed", "Completed")
    steps = [step["Status"] for step in said["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert said["BillableTimeInSeconds"] >= 1
    assert said["HyperParameters"]["sagemaker_program"] == '"train.py"'
    (metric,) = said["FinalMetricDataList"]
    assert metric["MetricName"] == "train:accuracy"
    assert 0.9 < metric["Value"] <= 1.0


def test_what_the_script_saw(sk):
    seen, env = sk["dump"], sk["dump"]["env"]
    assert seen["argv"] == ["-C", "0.5", "--max-iter", "200"]  # sorted; names of one letter with one dash, as AWS's toolkit does
    assert re.fullmatch(r"\d+\.\d+\.\d+", seen["tinydb"])  # requirements.txt was installed
    assert {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"} <= set(seen["files"])
    expected = {
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_CHANNELS": '["train"]',
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
        "SM_HPS": '{"C":0.5,"max-iter":200}',
        "SM_HP_C": "0.5",
        "SM_HP_MAX-ITER": "200",
        "SM_USER_ARGS": '["-C","0.5","--max-iter","200"]',
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_OUTPUT_DIR": "/opt/ml/output",
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": "/opt/ml/input/config",
        "SM_FRAMEWORK_MODULE": "sagemaker_sklearn_container.training:main",
        "SM_NUM_GPUS": "0",
        "SM_LOG_LEVEL": "20",
        "SM_INPUT_DATA_CONFIG": '{"train":{"RecordWrapperType":"None","S3DistributionType":"FullyReplicated","TrainingInputMode":"File"}}',
        "TRAINING_JOB_NAME": "sk-good",
        "AWS_REGION": "us-east-1",
        "COLOUR": "green",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["SM_MODULE_DIR"].endswith("/sk-good/source/sourcedir.tar.gz")


def test_logs_for_job(sk):
    assert "Invoking user script" in sk["logs"]
    assert "Installing collected packages: tinydb" in sk["logs"]
    assert re.search(r"epoch 2 train_accuracy=0\.9\d+;", sk["logs"])


def test_attach(sk):
    attached = sk["attached"]
    assert attached["hyperparameters"] == {"C": "0.5", "max-iter": "200"}
    assert attached["model_data"].endswith("/sk-good/output/model.tar.gz")
    assert attached["instance_type"] == "ml.m5.large"
    assert attached["tags"] == [{"Key": "team", "Value": "iris"}]


def test_analytics(sk):
    frame = sk["analytics"]
    assert frame["columns"] == ["timestamp", "metric_name", "value"]
    assert {row["metric_name"] for row in frame["rows"]} == {"train:accuracy"}
    # CloudWatch's statistic is an average per minute: three epochs 0.1 apart, mostly in one minute.
    final = sk["describe"]["FinalMetricDataList"][0]["Value"]
    assert all(final - 0.2 <= row["value"] <= final for row in frame["rows"])


def test_failing_script(sk):
    assert (sk["failure"]["actual"], sk["failure"]["allowed"]) == ("Failed", ["Completed", "Stopped"])
    assert 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "RuntimeError: no such luck"' in sk["failure"]["text"]
    assert "exit code: 1" in sk["failure"]["text"]


def test_stop(sk):
    assert sk["stopped"] == {"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}


def test_serializers_agree(sk):
    assert sk["json"] == sk["csv"] == sk["npy"]
    right = sum(int(a) == b for a, b in zip(sk["npy"], sk["labels"], strict=True))
    assert right >= 45


def test_update_endpoint(sk):
    assert sk["updated"]["config_changed"]
    assert sk["updated"]["count"] == 2
    assert sk["updated"]["answer"] == sk["npy"][:1]


def test_tags_and_delete_model(sk):
    assert {t["Key"]: t["Value"] for t in sk["tags"]} == {"team": "iris", "stage": "test"}
    assert len(sk["deleted_models"]) == 1


def test_telemetry_holds_nobody_up(sk):
    """The SDK sends a GET to a bucket of AWS's after most calls; the way out answers it here, at once."""
    assert sk["seconds"] < 90 * SLOWNESS


def test_two_variants_of_script_mode_xgboost(yard):
    facts = yard.python("client-sdk2", "sdk2_two_variants.py", str(HERE / "code/xgb"), timeout=240)
    assert facts["many"] > facts["one"] > 0.6
    assert facts["many"] >= 0.98
    assert re.search(r"\[19\]\s*train-merror:0\.0", facts["stdout"])
    assert "host algo-1 rounds 20" in facts["stdout"]
    assert facts["weights"] == {"one": 1.0, "many": 3.0}
    assert abs(facts["counts"]["one"] - 100) <= 3 * (400 * 0.25 * 0.75) ** 0.5  # three sigma
