"""SageMaker SDK v3: ModelTrainer with its driver, built-in XGBoost, core resources, ModelBuilder."""

import pytest

from tests.journeys.conftest import HERE, environment


@pytest.fixture(scope="module")
def v3(yard):
    return yard.python("client-sdk3", "sdk3_train.py", str(HERE / "code/v3"), timeout=300)


@pytest.mark.parametrize("image", ["base", "sklearn"])
def test_model_trainer_script(v3, image):
    told, seen, env = v3[image], v3[image]["seen"], v3[image]["seen"]["env"]
    assert told["status"] == "Completed"
    assert told["entry"] == ["/bin/bash"]
    assert seen["driver_env"]  # the driver wrote /opt/ml/input/sm_training.env
    assert (seen["cwd"], seen["files"]) == ("/opt/ml/input/data/code", ["train.py"])
    assert seen["channels"] == ["code", "sm_drivers", "train"]
    assert seen["argv"] == ["--epochs", "3", "--rate", "0.01"]
    assert env["SM_CHANNEL_TRAIN"] == "/opt/ml/input/data/train"
    assert (env["SM_HOSTS"], env["SM_CURRENT_HOST"], env["SM_HOST_COUNT"]) == ('["algo-1"]', "algo-1", "1")
    assert (env["SM_HP_EPOCHS"], env["SM_SOURCE_DIR"]) == ("3", "/opt/ml/input/data/code")
    assert told["metrics"] == {"loss": pytest.approx(0.397063)}  # three steps of gradient descent on the 100 rows


def test_built_in_xgboost(v3):
    assert v3["xgboost"] == {
        "status": "Completed",
        "metrics": {"train:merror": pytest.approx(0.03), "validation:merror": pytest.approx(0.1)},
    }


def test_core_resources(v3):
    assert len([name for name in v3["listed"] if name.startswith(("v3-base-", "v3-sklearn-", "v3-xgboost-"))]) == 3
    assert (v3["accuracy"], v3["first"]) == (pytest.approx(0.9), 1.0)
    assert v3["models_left"] == []


def test_model_builder_and_a_narrow_role(yard):
    facts = yard.python("client-sdk3", "sdk3_model_builder.py", timeout=240)
    assert facts["model"]["name"].startswith("v3-built")
    assert facts["model"]["image"].endswith("/sagemaker-xgboost:1.7-1")
    assert facts["model"]["data"].endswith("/output/model.tar.gz")
    assert facts["accuracy"] >= 0.97
    assert facts["refused"][0] == "RoleValidationError"
    assert "cloudwatch:PutMetricData" in facts["refused"][1]
    assert any(key.startswith("out/") and key.endswith("iris.csv") for key in facts["staged"]), facts["staged"]
    assert facts["narrow_model"].startswith("s3://v3-own/out/")


def test_functions_run_as_jobs(yard):
    """On the base image, whose edition for this SDK is built when it is first asked for."""
    environment("base-python-sdk3")
    told = yard.python("client-sdk3", "sdk3_remote.py", timeout=300)
    assert told["found"] == {"a": 2.0, "b": 15.0} and told["job"].startswith("remote3-")
    assert told["raised"] == "only 2 rows"
