"""SageMaker SDK v3: registry, experiments and lineage."""

import pytest


@pytest.fixture(scope="module")
def told(yard):
    return yard.python("client-sdk3", "sdk3_registry.py", timeout=300)


def test_packages(told):
    arn, approval, version = told["package"]
    assert arn.endswith(":model-package/v3-group/1") and (approval, version) == ("Approved", 1)
    assert told["listed"] == [arn] and told["second"].endswith(":model-package/v3-group/2")
    assert told["model"] == "v3-of-package"


def test_a_run_and_an_artifact(told):
    depth, metrics = told["run"]
    assert depth == 3.0 and metrics == [["loss", 3, pytest.approx(1 / 3)]]
    assert told["experiment"].endswith(":experiment/v3-exp") and told["artifact"] == "DataSet"
