import os
import sys

import litserve
from model import load

on = os.environ["BATCHING"] == "on"


class Model(litserve.LitAPI):
    def setup(self, device):
        self.predict_rows = load()

    def decode_request(self, request):
        return request["instances"][0]

    def predict(self, rows):
        return self.predict_rows(rows if on else [rows])

    def encode_response(self, output):
        return {"predictions": [output] if on else output}


if __name__ == "__main__":
    batching = {"max_batch_size": 64, "batch_timeout": 0.001} if on else {}
    server = litserve.LitServer(Model(**batching), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
