"""SageMaker SDK v3's processors and core resources."""

import pytest

from tests.journeys.conftest import HERE


@pytest.fixture(scope="module")
def v3(yard):
    return yard.python("client-sdk3", "sdk3_processing.py", str(HERE / "code/processing"), timeout=300)


def test_script_processor_on_two_hosts(v3):
    told = v3["script"]
    assert told["status"] == "Completed"
    assert told["message"] == "".join(f"algo-{n}: 200 rows with scikit-learn 1.2.1\n" for n in (1, 2))
    assert told["train"] == told["test"] == ["algo-1.csv", "algo-2.csv"]
    assert all(f"algo-{n} sees ['code', 'part-0.csv'" in told["logs"] for n in (1, 2))


def test_framework_processor_installs_its_requirements(v3):
    assert v3["framework"]["argv"] == ["--words", "two words"]
    assert {"work.py", "sourcedir.tar.gz", "install_requirements.py"} <= set(v3["framework"]["files"])


def test_core_resources(v3):
    assert v3["core"]["status"] == "Stopped" and v3["deleted"] == []
    assert len([name for name in v3["core"]["listed"] if name.startswith(("v3-prepare", "v3-framework"))]) == 2
