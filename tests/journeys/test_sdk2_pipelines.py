"""Pipelines of SDK v2: functions as steps, and the steps of a PipelineSession."""

from tests.journeys.conftest import HERE


def test_functions_are_steps(yard):
    """About 40 s on a quiet machine: three jobs, each of which checks its requirements and imports the SDK twice."""
    told = yard.python("client-sdk2", "sdk2_step.py", timeout=300)
    assert told["created"] == told["updated"] and told["created"].endswith(":pipeline/functionpipeline")
    assert (told["load"], told["total"]) == ({"rows": [0, 1, 2, 3, 4], "name": "numbers"}, 100)
    assert told["status"] == "Failed" and "too-few" not in told["steps"]
    assert [told["steps"][name][0] for name in ("load", "total", "enough")] == ["Succeeded"] * 3
    status, reason = told["steps"]["boom"]
    assert status == "Failed" and reason.startswith("ClientError: AlgorithmError") and "ValueError" in reason and "cannot use 100" in reason
    assert "not in Completed status" in told["raised"], "in the words of the SDK"
    assert {one["Name"]: one["Value"] for one in told["parameters"]} == {"Rows": "5", "Scale": "10"}
    assert told["experiment"]["ExperimentName"] == "functionpipeline"


def test_the_abalone_pipeline(yard):
    """About 30 s: two executions of process → train → evaluate → condition, the second from the cache and with a threshold nobody meets."""
    told = yard.python("client-sdk2", "sdk2_abalone.py", str(HERE / "code/abalone"), timeout=420)
    good, bad = told["good"], told["bad"]
    assert good["status"] == "Succeeded", good
    made = {"AbaloneRegisterModel-RegisterModel", "AbaloneCreateModel-CreateModel", "AbaloneTransform"}
    first = {"AbaloneProcess", "AbaloneTrain", "AbaloneEval", "AbaloneMSECond"}
    assert {name: status for name, (status, _) in good["steps"].items()} == dict.fromkeys(first | made, "Succeeded")
    assert told["package"]["arn"].endswith(":model-package/abalonemodelpackagegroupname/1")
    assert told["package"]["status"] == "PendingManualApproval" and told["package"]["metrics"].endswith("/evaluation.json")
    assert len(told["predictions"]) == 20 and all(2 < rings < 20 for rings in told["predictions"])
    assert told["components"] == 4, "two processing jobs, a training job and a transform job"
    assert bad["status"] == "Failed" and bad["cached"] == ["AbaloneProcess", "AbaloneTrain"]
    assert bad["steps"]["AbaloneMSEFail"] == ["Failed", "Execution failed due to MSE > 0.001"] and set(bad["steps"]) == first | {
        "AbaloneMSEFail"
    }
