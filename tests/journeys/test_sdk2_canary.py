"""Deployment guardrails with the SageMaker SDK v2 on a clock that runs fast."""


def test_a_canary_rolls_back_and_another_goes_through(fresh):
    fresh.up("--clock-speed", "30")
    facts = fresh.python("client-sdk2", "sdk2_canary.py", timeout=300)
    worse, better = facts["worse"], facts["better"]
    assert worse["EndpointStatus"] == "InService" and worse["EndpointConfigName"] == "canary", "the configuration of `deploy`"
    assert "worse-errors" in worse["FailureReason"]
    assert facts["answers of worse"] == ["ModelError", "first"], "the canary got calls, and nothing but the model failed them"
    assert better == {"EndpointStatus": "InService", "EndpointConfigName": "better", "FailureReason": None}
    assert facts["answers of better"] == ["better", "first"] and facts["last"] == "better"
