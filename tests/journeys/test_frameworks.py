"""PyTorch, Hugging Face, TensorFlow by the SageMaker SDK v2, and functions that run as jobs.

The images are large: these run where they are built already, or with MODELYARD_TEST_LARGE_IMAGES=1 (tests/support/needs.py).
"""

import pytest

from tests.journeys.conftest import HERE
from tests.support.needs import large_image


@pytest.fixture(scope="module")
def torch(yard):
    large_image("pytorch-2.13")
    large_image("huggingface-4.57")
    return yard.python("client-sdk2", "sdk2_torch.py", str(HERE / "code"), timeout=240)


def test_pytorch_from_fit_to_predict(torch):
    assert torch["image"].endswith("/pytorch-training:2.1.0-cpu-py310")
    assert torch["metrics"]["train:accuracy"] > 0.95
    seen = torch["seen"]
    assert (seen["MASTER_ADDR"], seen["MASTER_PORT"]) == ("algo-1", "7777")
    assert seen["SM_FRAMEWORK_MODULE"] == "sagemaker_pytorch_container.training:main" and seen["SM_DLC_TORCH_VERSION"] == seen["torch"]
    right = sum(a == b for a, b in zip(torch["npy"], torch["labels"], strict=True))
    assert right / len(torch["labels"]) > 0.9 and torch["csv"] == torch["npy"]


def test_hugging_face_from_fit_to_predict(torch):
    assert "huggingface-pytorch-training:2.5.1-transformers4.49.0-gpu" in torch["hf_image"]
    assert torch["texts"] == ["POSITIVE", "NEGATIVE"]
    status, message = torch["refused"]
    assert status == 400 and "InternalServerException" in message and "no_such" in message


def test_tensorflow_from_fit_to_predict(yard):
    large_image("tensorflow-2.15")
    told = yard.python("client-sdk2", "sdk2_tensorflow.py", str(HERE / "code"), timeout=240)
    assert told["image"].endswith("/tensorflow-training:2.12-cpu-py310") and told["loss"] < 0.001
    near = pytest.approx([9.0, 11.0], abs=0.1)
    assert [row[0] for row in told["rows"]["predictions"]] == near == [row[0] for row in told["own"]["predictions"]]
    assert told["list"]["predictions"][0][0] == pytest.approx(9.0, abs=0.1)
    assert told["refused"][0] == 400 and "INVALID_ARGUMENT" in told["refused"][1]
    assert told["tasks"] == {"algo-1.json": "master", "algo-2.json": "worker"}


def test_functions_run_as_jobs(yard):
    told = yard.python("client-sdk2", "sdk2_remote.py", timeout=300)
    assert told["found"] == {"a": 2.0, "b": 15.0}
    assert told["seen"]["COLOUR"] == "green" and told["seen"]["TRAINING_JOB_NAME"].startswith("remote-")
    assert told["raised"] == "only 2 rows"
    assert told["statuses"] == ["Completed", "Failed"] and "TooFew" in told["reason"]


def test_two_hosts_train_one_model(yard):
    large_image("pytorch-2.13")
    told = yard.python("client-sdk2", "sdk2_two_hosts.py", str(HERE / "code/torchrun"), timeout=240)
    for way in ("own", "torchrun"):
        first, second = told[way]["algo-1.json"], told[way]["algo-2.json"]
        assert first["weights"] == second["weights"] == pytest.approx([1.0, 2.0, 3.0], abs=0.2)
        assert (first["rank"], second["rank"], first["world"], second["world"]) == (0, 1, 2, 2)


def test_model_trainer_with_torchrun_and_model_builder(yard):
    large_image("pytorch-2.13")
    told = yard.python("client-sdk3", "sdk3_torchrun.py", str(HERE / "code/torchrun"), timeout=240)
    assert told["status"] == "Completed" and told["entry"] == ["/bin/bash"]
    assert sorted(told["ranks"]) == [[0, 2, 3.0], [1, 2, 3.0]]  # rank, world size, the sum that gloo made of 1 and 2
    assert told["answer"] == [[9.0]]
