"""The model server with many models, asked by the contract of multi-model endpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

from tests.support import patience

pytestmark = pytest.mark.slow

CODE = "import helper, os\ndef model_fn(d):\n    return open(os.path.join(d, 'word')).read()\ndef transform_fn(model, body, kind, accept):\n    {}\n    return f'{{model}} {{helper.WORD}} {{body}}', 'text/plain'\n"


class Models:
    def __init__(self, client):
        self.client = client

    def ask(self, method, path, body=None, **headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.client.port}{path}", data, headers, method=method)
        return self.client._ask(request)[:2]

    def load(self, name):
        return self.ask("POST", "/models", {"model_name": name, "url": f"/opt/ml/models/{name}/model"})[0]

    def invoke(self, name, body=b"hello"):
        return self.ask("POST", f"/models/{name}/invoke", body, **{"Content-Type": "text/csv"})

    def names(self):
        return sorted(row["modelName"] for row in json.loads(self.ask("GET", "/models")[1])["models"])


def put(box, name, word, code="pass"):
    """A model of which the code has the same module names as that of all others."""
    folder = box.base / "models" / name / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "word").write_text(word)
    (folder / "code/inference.py").write_text(CODE.format(code))
    (folder / "code/helper.py").write_text(f"WORD = {name!r}\n")


def test_the_contract(container):
    box = container("scikit-learn-1.2")
    put(box, "a", "first")
    put(box, "b", "second")
    put(box, "broken", "x", "return 1 / 0")
    put(box, "deadly", "x", "os._exit(3)")
    (box.base / "models/none/model").mkdir(parents=True)
    with box.serving("scikit-learn", SAGEMAKER_MULTI_MODEL="true") as client:
        models = Models(client)
        assert client.get("/ping")[0] == 200 and models.names() == []
        assert models.invoke("a")[0] == 404 and models.ask("GET", "/models/a")[0] == 404 and models.ask("DELETE", "/models/a")[0] == 404
        assert (models.load("a"), models.load("b"), models.load("a")) == (200, 200, 409)
        assert models.names() == ["a", "b"]
        assert json.loads(models.ask("GET", "/models/a")[1]) == {"modelName": "a", "modelUrl": "/opt/ml/models/a/model"}
        assert models.invoke("a") == (200, b"first a hello") and models.invoke("b") == (200, b"second b hello")
        assert models.load("none") == 500, "no model_fn"
        assert models.ask("POST", "/models", b"garbage")[0] == 400
        assert models.load("broken") == 200 and models.invoke("broken")[0] == 500
        assert models.load("deadly") == 200 and models.invoke("deadly")[0] == 500
        assert models.invoke("a") == (200, b"first a hello"), "a crash hurts no other model"
        end = patience.deadline(10)
        while models.names() != ["a", "b", "broken"]:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert models.ask("DELETE", "/models/a")[0] == 200 and models.names() == ["b", "broken"]
        assert models.load("a") == 200 and models.invoke("a")[0] == 200


def test_built_in_xgboost_and_memory(container):
    box = container("xgboost-1.7")
    train = "import sys, numpy, xgboost\nfor seed, path in enumerate(sys.argv[1:]):\n    x = numpy.arange(20.0).reshape(-1, 2)\n    xgboost.train({'seed': seed}, xgboost.DMatrix(x, x[:, 0] * (seed + 1)), 20).save_model(path)\n"
    paths = []
    for name in ("one", "two"):
        (box.base / "models" / name / "model").mkdir(parents=True)
        paths.append(str(box.base / "models" / name / "model/xgboost-model"))
    subprocess.run([box.python, "-c", train, *paths], check=True)
    with box.serving("xgboost", SAGEMAKER_MULTI_MODEL="true") as client:
        models = Models(client)
        assert models.load("one") == models.load("two") == 200
        one, two = (float(models.invoke(name, b"18,19")[1].decode().strip("[]\n")) for name in ("one", "two"))
        assert one == pytest.approx(18, abs=2) and two == pytest.approx(36, abs=4)
    with box.serving("xgboost", SAGEMAKER_MULTI_MODEL="true", MODELYARD_MEMORY_BYTES="1000000") as client:
        assert Models(client).load("one") == 507


def test_nothing_stays_when_the_server_is_killed(container):
    box = container("scikit-learn-1.2")
    put(box, "a", "first")
    with box.serving("scikit-learn", SAGEMAKER_MULTI_MODEL="true") as client:
        assert Models(client).load("a") == 200
        family = [int(p) for p in os.listdir("/proc") if p.isdigit() and _parent(p) == client.process.pid]
        assert len(family) == 2, "the front and one model"
        client.process.send_signal(signal.SIGKILL)
        end = patience.deadline(15)
        while any(os.path.exists(f"/proc/{pid}") and _state(pid) not in "ZX" for pid in family):
            assert time.monotonic() < end
            time.sleep(0.05)


def _fields(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def _parent(pid):
    return int(_fields(pid)[1])


def _state(pid):
    return _fields(pid)[0]
