"""Doubles the rows it is sent; fails when asked to."""

import json


def model_fn(folder):
    return 2


def input_fn(body, content_type):
    assert content_type == "application/json", content_type
    return json.loads(body)


def predict_fn(data, model):
    if data.get("fail"):
        raise ValueError("asked to fail")
    return [model * row for row in data["rows"]]


def output_fn(data, accept):
    return json.dumps(data), "application/json"
