"""The TensorFlow images without a sandbox: TensorFlow Serving's JSON over SavedModels, inference.py, script mode."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading

import pytest

from tests.algorithms.test_script_train import give

pytestmark = pytest.mark.slow

MAKE = """
import sys, tensorflow as tf
class Half(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def one(self, x):
        return {"y": x * float(sys.argv[2])}
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="a"), tf.TensorSpec([None], tf.string, name="b")])
    def two(self, a, b):
        return {"sum": a + 1.0, "said": tf.strings.join([b, "!"])}
made = Half()
tf.saved_model.save(made, sys.argv[1], signatures={"serving_default": made.one, "two": made.two})
"""
TWO = {"instances": [[1.0, 2.0], [3.0, 4.0]]}


@pytest.fixture(scope="module")
def saved(environment, tmp_path_factory):
    """Two versions of a model: 1 halves, 2 doubles."""
    folder = tmp_path_factory.mktemp("saved")
    for version, factor in (("1", "0.5"), ("2", "2")):
        subprocess.run([environment("tensorflow-2.19"), "-c", MAKE, folder / "double" / version, factor], check=True, capture_output=True)
    return folder


@pytest.fixture
def box(container, saved):
    """`box(code)`: a container with the models and an inference.py."""
    made = container("tensorflow-2.19")
    shutil.copytree(saved, made.base / "model", dirs_exist_ok=True)

    def with_code(code: str = ""):
        if code:
            (made.base / "model" / "code").mkdir()
            (made.base / "model" / "code" / "inference.py").write_text(code)
        return made

    return with_code


def test_the_predict_api(box):
    with box().serving("tensorflow") as client:

        def ask(body, kind="application/json", **headers):
            status, answer, _ = client.post(body if isinstance(body, str) else json.dumps(body), kind, **headers)
            return status, json.loads(answer)

        assert client.get("/ping")[0] == 200
        assert ask(TWO) == (200, {"predictions": [[2.0, 4.0], [6.0, 8.0]]})
        assert ask({"instances": [{"x": [1, 2]}]}) == (200, {"predictions": [[2.0, 4.0]]})
        assert ask({"inputs": [[1, 2]]}) == (200, {"outputs": [[2.0, 4.0]]})
        assert ask({"inputs": {"x": [[1, 2]]}}) == (200, {"outputs": [[2.0, 4.0]]})
        rows = [{"a": 1, "b": "x"}, {"a": 2, "b": {"b64": "eQ=="}}]
        assert ask({"signature_name": "two", "instances": rows}) == (
            200,
            {"predictions": [{"sum": 2.0, "said": "x!"}, {"sum": 3.0, "said": "y!"}]},
        )
        assert ask({"signature_name": "two", "inputs": {"a": [1], "b": ["x"]}})[1] == {"outputs": {"sum": [2.0], "said": ["x!"]}}
        # What AWS's image makes of other bodies.
        assert ask("1.0,2.0\n3.0,4.0\n", "text/csv") == (200, {"predictions": [[2.0, 4.0], [6.0, 8.0]]})
        assert ask("[[1.0, 2.0]]") == ask("[1.0, 2.0]") == (200, {"predictions": [[2.0, 4.0]]})
        assert ask('{"x": [1.0, 2.0]}\n{"x": [3.0, 4.0]}', "application/jsonlines")[1] == {"predictions": [[2.0, 4.0], [6.0, 8.0]]}
        version = {"X-Amzn-SageMaker-Custom-Attributes": "tfs-model-name=double,tfs-model-version=1"}
        assert ask(TWO, **version)[1] == {"predictions": [[0.5, 1.0], [1.5, 2.0]]}
        for body, headers, status, told in (
            ({"instances": [[1.0]]}, {}, 400, "shape"),
            ({"instances": ["x"]}, {}, 400, "INVALID_ARGUMENT"),
            ({"instances": []}, {}, 400, "non-empty"),
            ({"instances": [{"z": 1}]}, {}, 400, "['x']"),
            ('{"instances": [', {}, 400, "JSON Parse error"),
            ({"instances": [[1, 2]], "signature_name": "none"}, {}, 404, "not found in signature def"),
            (TWO, {"X-Amzn-SageMaker-Custom-Attributes": "tfs-model-name=other"}, 404, "Servable not found"),
            (TWO, {"X-Amzn-SageMaker-Custom-Attributes": "tfs-method=classify"}, 400, "only predict"),
        ):
            got = ask(body, **headers)
            assert got[0] == status and told in got[1]["error"], got
        assert ask("x", "text/plain")[0] == 415


HANDLERS = """
import json
def input_handler(data, context):
    rows = [[float(v) for v in line.split(b";")] for line in data.read().splitlines()]
    return json.dumps({"instances": rows})
def output_handler(response, context):
    if response.status_code != 200:
        raise ValueError(response.content.decode("utf-8"))
    return json.dumps({"kind": context.request_content_type, "first": response.json()["predictions"][0]}), context.accept_header
"""
HANDLER = """
import json, requests
def handler(data, context):
    answer = requests.post(context.rest_uri, data=data.read())
    return json.dumps({"status": answer.status_code, "at": context.rest_uri.rpartition("/")[2], **answer.json()}), "application/json"
"""


def test_input_and_output_handlers(box):
    with box(HANDLERS).serving("tensorflow") as client:
        assert json.loads(client.post("1;2", "text/x")[1]) == {"kind": "text/x", "first": [2.0, 4.0]}
        status, body, _ = client.post("1;2;3", "text/x")
        assert status == 500 and "shape" in json.loads(body)["error"]


def test_a_handler_that_asks_for_itself(box):
    with box(HANDLER).serving("tensorflow") as client:
        assert json.loads(client.post(json.dumps(TWO), "application/json")[1]) == {
            "status": 200,
            "at": "double:predict",
            "predictions": [[2.0, 4.0], [6.0, 8.0]],
        }
        assert json.loads(client.post("{}", "application/json")[1])["status"] == 400


def test_batches_where_the_variable_declares_them(box):
    with box().serving("tensorflow", SAGEMAKER_TFS_ENABLE_BATCHING="true") as client:
        answers: dict[int, object] = {}

        def ask(number: int) -> None:
            row = [1.0] if number == 5 else [float(number), 1.0]
            answers[number] = json.loads(client.post(json.dumps({"instances": [row]}), "application/json")[1])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert "shape" in answers.pop(5)["error"]  # a bad request fails alone
        assert answers == {number: {"predictions": [[2.0 * number, 2.0]]} for number in range(20) if number != 5}


def test_no_saved_model_says_how_to_make_one(container):
    with container("tensorflow-2.19").serving("tensorflow") as client:
        status, body = client.get("/ping")
        assert status == 500 and b"<version>" in body and b"model.export" in body


def test_script_mode_tells_a_model_that_cannot_be_served(container, tmp_path):
    box = container("tensorflow-2.19")
    code = "import os, sys\nprint('argv', sys.argv[1:], os.environ.get('TF_CONFIG'))\nopen(os.environ['SM_MODEL_DIR'] + '/m.keras', 'w')"
    give(box, tmp_path, {"train.py": code}, "train.py", model_dir='"s3://bucket/job/model"', epochs="2")
    done = box.run("train", "tensorflow")
    assert done.returncode == 0 and "argv ['--epochs', '2', '--model_dir', 's3://bucket/job/model'] None" in done.stdout
    assert "Your model will NOT be servable with SageMaker TensorFlow Serving container" in done.stdout
