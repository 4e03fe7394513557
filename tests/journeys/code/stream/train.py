"""A 'model' whose answers come piece by piece."""

import json
import os
import time

if __name__ == "__main__":
    with open(os.path.join(os.environ["SM_MODEL_DIR"], "words.json"), "w") as file:
        json.dump(["one", "two", "three", "four"], file)


def model_fn(model_dir):
    with open(os.path.join(model_dir, "words.json")) as file:
        return json.load(file)


def input_fn(body, content_type):
    return json.loads(body)


def predict_fn(data, model):
    return data, model


def output_fn(prediction, accept):
    data, model = prediction

    def pieces():
        for word in model:
            yield (word + "\n").encode()
            time.sleep(data["pause"])

    return pieces(), "text/plain"
