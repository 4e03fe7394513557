"""PySparkProcessor of SDK v2, where the machine has Java: one host, a cluster of two, a failing application."""

import shutil

import pytest

from tests.journeys.conftest import HERE

pytestmark = pytest.mark.timeout(600)  # several Java machines start one after the other


@pytest.fixture(scope="module")
def spark(yard):
    """`spark(name, hosts, *arguments)` runs the application and answers what came of it."""
    if not shutil.which("java"):
        pytest.skip("needs java (apt install openjdk-17-jre-headless)")
    return lambda *words: yard.python("client-sdk2", "sdk2_pyspark.py", str(HERE / "code/processing"), *words, timeout=580)


@pytest.mark.parametrize(("name", "hosts"), [("one", ["algo-1"]), ("two", ["algo-1", "algo-2"])])
def test_an_application_runs_on_all_hosts(spark, name, hosts):
    told = spark(name, str(len(hosts)))
    assert told["sums"] == {"east": sum(n for n in range(300) if n % 3), "west": sum(n for n in range(300) if not n % 3)}, told
    assert (told["hosts"], told["names"], told["partitions"]) == (hosts, ["east", "west"], "7")
    assert any(key.startswith(f"spark/{name}/out/counts/") and key.endswith(".parquet") for key in told["keys"])
    lake = sorted({key.removeprefix(f"spark/{name}/lake/").partition("/part-")[0] for key in told["keys"] if "/lake/" in key})
    assert (told["lake"], lake) == (100, ["_SUCCESS", "shop=east", "shop=west"]), (
        "s3a:// was written, s3:// was read, nothing temporary stayed"
    )
    assert any(key.startswith(f"spark/{name}/events/") for key in told["keys"]), "event logs were uploaded"


def test_a_failing_application_fails_the_job(spark):
    told = spark("bad", "1", "--fail")
    assert "Failed. Reason: AlgorithmError: See job logs for more information, exit code: 1" in told["failure"]
    assert told["message"] == "Algorithm Error: spark failed with exit code 1"
