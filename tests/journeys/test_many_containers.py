"""SDK v2's PipelineModel and MultiDataModel against a real platform."""

import pytest

from tests.journeys.conftest import HERE


@pytest.fixture(scope="module")
def said(yard):
    return yard.python("client-sdk2", "sdk2_many_containers.py", str(HERE / "code/pipeline"), timeout=300)


def test_pipeline_model(said):
    assert said["pipeline"] > 0.95
    assert said["streams"] == ["container-1", "container-2"]
    assert "from container-1 with message" in said["error"]


def test_multi_data_model(said):
    assert said["listed"] == ["times1.tar.gz", "times2.tar.gz"]
    assert said["many"]["1"] == pytest.approx(2, abs=0.2) and said["many"]["2"] == pytest.approx(4, abs=0.4)
    assert "Failed to download model data(bucket:" in said["unknown"]


def test_multi_data_model_in_script_mode(said):
    assert said["script"] == said["expected"]
