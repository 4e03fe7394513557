"""The built-in XGBoost on two instances makes the model that one instance makes of the whole data."""


def test_two_hosts_make_the_model_of_one(yard):
    told = yard.python("client-sdk2", "sdk2_xgboost_hosts.py", timeout=240)
    assert list(told["1"]) == ["xgboost-model"] and told["2"] == told["1"]
    assert any("Train matrix has 200 rows and 2 columns" in line for line in told["said"])
    assert any("are handed over to algo-1" in line for line in told["said"])
