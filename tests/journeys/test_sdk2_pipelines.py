"""Pipelines of SDK v2: functions as steps."""


def test_functions_are_steps(yard):
    """About 20 s: six small jobs, two pipelines at a time."""
    told = yard.python("client-sdk2", "sdk2_step.py", timeout=300)
    assert told["created"] == told["updated"] and told["created"].endswith(":pipeline/functionpipeline")
    few, many = told["few"], told["many"]
    assert (few["load"], few["total"]) == ({"rows": [0, 1, 2], "name": "numbers"}, 30)
    assert (many["load"]["rows"], many["total"]) == ([0, 1, 2, 3, 4], 100)
    assert (few["status"], many["status"]) == ("Failed", "Failed")
    assert few["steps"]["too-few"] == ["Failed", "too few rows"] and "boom" not in few["steps"]
    status, reason = many["steps"]["boom"]
    assert status == "Failed" and reason.startswith("ClientError: AlgorithmError") and "ValueError" in reason and "cannot use 100" in reason
    assert "not in Completed status" in told["raised"]
    assert {one["Name"]: one["Value"] for one in many["parameters"]} == {"Rows": "5", "Scale": "10"}
    assert many["experiment"]["ExperimentName"] == "functionpipeline"
