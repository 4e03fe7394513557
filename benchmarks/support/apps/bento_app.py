import os

import bentoml
from model import load

batching = {"batchable": True, "max_batch_size": 64, "max_latency_ms": 1000} if os.environ["BATCHING"] == "on" else {}


@bentoml.service(workers=1, traffic={"timeout": 30})
class Model:
    def __init__(self):
        self.predict_rows = load()

    @bentoml.api(**batching)
    def predict(self, instances: list[list[float]]) -> list[int]:
        return [int(value) for value in self.predict_rows(instances)]
