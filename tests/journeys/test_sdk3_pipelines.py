"""Pipelines of SDK v3: steps from a PipelineSession, functions, a condition on a property file, the cache."""


def test_a_pipeline_of_sdk_v3(yard):
    told = yard.python("client-sdk3", "sdk3_pipelines.py", timeout=300)
    assert told["arn"].endswith(":pipeline/v3-pipeline")
    assert told["enough"]["status"] == "Succeeded", told
    assert {name: status for name, (status, _) in told["enough"]["steps"].items()} == dict.fromkeys(
        ("Count", "Enough", "double", "Train", "read"), "Succeeded"
    )
    assert told["read"] == "5", "what the training step left in its model"
    assert told["double"] == {"number": 10, "colour": "green"}
    assert told["few"]["status"] == "Failed" and told["few"]["steps"]["TooFew"] == ["Failed", "fewer than 9"]
    assert told["enough"]["cached"] == [] and told["few"]["cached"] == ["Count"]
