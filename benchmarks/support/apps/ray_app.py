import os
import sys
import time

import ray
from model import load
from ray import serve


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=64)
class Model:
    def __init__(self):
        self.predict_rows = load()
        self.batching = os.environ["BATCHING"] == "on"

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def together(self, rows):
        return self.predict_rows(rows)

    async def __call__(self, request):
        rows = (await request.json())["instances"]
        return {"predictions": [await self.together(rows[0])] if self.batching else self.predict_rows(rows)}


if __name__ == "__main__":
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", _temp_dir=sys.argv[2])
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Model.bind())
    print("ready", flush=True)
    time.sleep(3600)
