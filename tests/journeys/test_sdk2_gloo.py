"""PyTorch on two hosts: gloo finds its way over the private network, and both hosts have one result."""

from tests.journeys.conftest import HERE
from tests.support.needs import large_image


def test_two_hosts_train_one_model(yard):
    large_image("pytorch-2.13")
    told = yard.python("client-sdk2", "sdk2_gloo.py", str(HERE / "code/gloo"), timeout=280)
    assert {name: round(float(text), 2) for name, text in told["model"].items()} == {"algo-1.txt": 4.0, "algo-2.txt": 4.0}
    said = sorted(line for line in told["said"] if line.startswith("algo-"))
    assert "algo-1 data=[1.0, 3.0] sum=3.0" in said[0] and "algo-2 data=[5.0, 7.0] sum=3.0" in said[1]
