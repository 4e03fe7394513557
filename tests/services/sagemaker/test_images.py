"""What an image is asked for: known, there, and able to do it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modelyard.config import Settings
from modelyard.kernel.tasks import Tasks
from modelyard.runtime.images import ImageStore
from modelyard.services.sagemaker.images import edition_for, look_at_image

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def world(tmp_path):
    return SimpleNamespace(images=ImageStore(Settings(data=tmp_path, cache=tmp_path)), tasks=Tasks())


@pytest.mark.parametrize(
    ("tag", "verb", "state", "told"),
    [
        ("pytorch-training:2.1.0-cpu-py310", "train", "absent", ""),
        ("pytorch-training:2.1.0-cpu-py310", "serve", "unknown", "is an image for training and has no `serve`"),
        ("pytorch-inference:2.1.0-cpu-py310", "serve", "absent", ""),
        ("pytorch-inference:2.1.0-cpu-py310", "train", "unknown", "is an image for inference and has no `train`"),
        ("pytorch-inference:2.1.0-cpu-py310", "", "absent", ""),  # a job that brings its own entry point
        ("mine:1", "train", "unknown", "is no image of this platform"),
    ],
)
def test_an_image_for_the_other_purpose_is_as_good_as_unknown(world, tag, verb, state, told):
    found, why = look_at_image(world, f"{ECR}/{tag}", verb)
    assert found == state and told in why


@pytest.mark.parametrize(
    ("image", "arguments", "env"),
    [
        ("sagemaker-base-python:1.0", ["--client_sagemaker_pysdk_version", "3.27.0"], "base-python-sdk3"),
        ("sagemaker-base-python-310", ["--region", "us-east-1", "--client_sagemaker_pysdk_version", "3.2.0"], "base-python-sdk3"),
        ("sagemaker-base-python:1.0", ["--client_sagemaker_pysdk_version", "2.257.7"], "base-python"),
        ("sagemaker-base-python:1.0", ["--client_sagemaker_pysdk_version"], "base-python"),
        ("sagemaker-base-python:1.0", [], "base-python"),
        ("pytorch-training:2.1.0-cpu-py310", ["--client_sagemaker_pysdk_version", "3.27.0"], "pytorch-2.13"),
    ],
)
def test_a_function_of_the_sdk_v3_runs_where_its_modules_are(world, image, arguments, env):
    assert world.images.find(edition_for(world.images, f"{ECR}/{image}", arguments)).env == env
