"""Inference components with the SageMaker SDK v2 and real model servers."""


def test_two_models_on_one_endpoint(yard):
    facts = yard.python("client-sdk2", "sdk2_components.py", timeout=300)
    assert facts["answers"] == {"twice": [2, 4], "thrice": [3, 6]}
    assert facts["components"] == ["ic-thrice", "ic-twice"] and facts["status"] == ["InService"]
    assert "Inference Component has no capacity to process this request" in facts["no copy"]
    assert facts["the other"] == [15] and facts["again"] == [14]
    assert facts["left"] == 0
