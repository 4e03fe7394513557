"""The model server, asked as SageMaker asks it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from tests.algorithms.test_script_train import wheel

pytestmark = pytest.mark.slow

LOAD = "import os, joblib\ndef model_fn(model_dir):\n    return joblib.load(os.path.join(model_dir, 'model.joblib'))\n"
TRAIN = """
import joblib, sys
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
joblib.dump(LogisticRegression(max_iter=500).fit(X, y), sys.argv[1])
"""
ROW = "5.1,3.5,1.4,0.2"


@pytest.fixture
def model(container):
    """A scikit-learn container with a model; `model(code)` writes its inference.py and answers the container."""
    box = container("scikit-learn-1.2")

    def with_code(code: str):
        (box.base / "model" / "code").mkdir(exist_ok=True)
        (box.base / "model" / "code" / "inference.py").write_text(code)
        subprocess.run([box.python, "-c", TRAIN, str(box.base / "model" / "model.joblib")], check=True)
        return box

    return with_code


def test_defaults_of_scikit_learn(model):
    with model(LOAD).serving("scikit-learn") as client:
        assert client.get("/ping")[0] == 200
        assert client.post(ROW)[:2] == (200, b"[0]")
        assert client.post(ROW + "\n6.3,2.8,5.1,1.5\n", accept="text/csv")[:2] == (200, b"0\n2\n")
        assert client.post(json.dumps([[5.1, 3.5, 1.4, 0.2]]), "application/json")[1] == b"[0]"
        _, body, headers = client.post(ROW, accept="application/x-npy")
        assert body[:6] == b"\x93NUMPY" and headers["Content-Type"] == "application/x-npy" and struct.unpack("<q", body[-8:]) == (0,)
        assert client.post(body, "application/x-npy")[0] == 500  # one number is not a row of four
        assert client.get("/execution-parameters")[0] == 404


def test_requirements_replace_what_the_server_itself_had_imported(model):
    """As when a newer numpy is asked for: the server starts anew over what was installed, so the user's code meets one version."""
    box = model(LOAD + "def predict_fn(data, model):\n    import sys\n    return [sys.modules['sitecustomize'].told]\n")
    code = box.base / "model" / "code"
    (code / "requirements.txt").write_text("./" + wheel(code, "sitecustomize", "told = 7\n"))
    with box.serving("scikit-learn") as client:
        assert client.post(ROW)[:2] == (200, b"[7]"), client.log.read_text()
        assert client.log.read_text().count("Successfully installed") == 1


def test_what_bad_input_gets(model):
    with model(LOAD).serving("scikit-learn") as client:
        status, body, _ = client.post("{", "application/json")
        assert status == 400 and b"Error while decoding application/json" in body
        status, body, _ = client.post(ROW, "image/png")
        assert status == 415 and body.startswith(b"Content type image/png is not supported by this framework.")
        assert client.post(ROW, accept="image/png")[0] == 406
        assert client.post("1,2")[0] == 500
        assert client.post(ROW)[1] == b"[0]"


def test_own_handlers_with_context_and_headers(model):
    code = LOAD + (
        "def input_fn(data, content_type): return [float(v) for v in data.decode().split('|')]\n"
        "def predict_fn(data, model): return model.predict([data])\n"
        "def output_fn(prediction, accept, context):\n"
        "    context.set_response_header(0, 'X-Amzn-SageMaker-Custom-Attributes', context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes'))\n"
        "    return 'class ' + str(prediction[0]), 'text/plain'\n"
    )
    with model(code).serving("scikit-learn") as client:
        status, body, headers = client.post("5.1|3.5|1.4|0.2", "text/pipes", **{"X-Amzn-SageMaker-Custom-Attributes": "trace=1"})
        assert (status, body, headers["Content-Type"]) == (200, b"class 0", "text/plain")
        assert headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=1"
        status, body, _ = client.post("x", "text/pipes")
        assert (
            status == 500 and body.splitlines()[0] == b"could not convert string to float: 'x'" and b"ValueError" in body.splitlines()[-1]
        )


def test_transform_fn_and_streams(model):
    code = LOAD + (
        "def transform_fn(model, data, content_type, accept):\n"
        "    def chunks():\n        for word in data.split(','):\n            yield word.encode() + b';'\n"
        "    return chunks(), 'text/event-stream'\n"
    )
    with model(code).serving("scikit-learn") as client:
        status, body, headers = client.post("a,b,c")
        assert (status, body, headers["Transfer-Encoding"]) == (200, b"a;b;c;", "chunked")


def test_a_model_that_cannot_be_loaded_fails_the_ping(model):
    with model("def model_fn(model_dir):\n    raise OSError('no such weights')\n").serving("scikit-learn") as client:
        assert client.get("/ping") == (500, b"OSError: no such weights")
        assert client.post(ROW)[0] == 500
        assert "raise OSError('no such weights')" in client.log.read_text()


def test_without_model_fn_the_log_says_so(model):
    with model("").serving("scikit-learn") as client:
        assert client.get("/ping")[0] == 500 and "Please provide a model_fn implementation" in client.log.read_text()


def test_requests_that_wait_are_predicted_together_and_answered_apart(model, tmp_path):
    """While one request is being predicted the others wait; then they share one call, and a bad one fails alone."""
    go = tmp_path / "go"
    code = LOAD + (
        "import time\nmodelyard_batch = True\n"
        "def predict_fn(data, model):\n    print('rows', len(data), flush=True)\n"
        f"    while not os.path.exists({str(go)!r}): time.sleep(0.01)\n    return model.predict(data)\n"
    )
    rows = [("5.1,3.5,1.4,0.2", b"0\n"), ("6.3,2.8,5.1,1.5\n5.1,3.5,1.4,0.2", b"2\n0\n"), ("nonsense", None), ("1,2", None)] * 3
    with model(code).serving("scikit-learn") as client:
        answers = {}
        first = threading.Thread(target=client.post, args=(ROW,))
        first.start()
        client.wait_for(lambda: "rows 1" in client.log.read_text())
        threads = [
            threading.Thread(target=lambda n=n, b=body: answers.update({n: client.post(b, accept="text/csv")}))
            for n, (body, _) in enumerate(rows)
        ]
        for thread in threads:
            thread.start()
        client.wait_for(lambda: client.took(1 + len(threads)))
        go.touch()
        for thread in [first, *threads]:
            thread.join()
        assert [answers[n][1] for n, (_, good) in enumerate(rows) if good] == [good for _, good in rows if good]
        assert {answers[n][0] for n, (body, _) in enumerate(rows) if body == "nonsense"} == {400}
        assert {answers[n][0] for n, (body, _) in enumerate(rows) if body == "1,2"} == {500}
        assert max(map(int, re.findall(r"rows (\d+)", client.log.read_text()))) == 9


def test_a_dead_worker_is_replaced(model):
    with model(LOAD + "import os\ndef predict_fn(data, model): return [os.getpid()] * len(data)\n").serving("scikit-learn") as client:
        first = int(client.post(ROW, accept="text/csv")[1])
        os.kill(first, signal.SIGKILL)
        client.wait()
        assert int(client.post(ROW, accept="text/csv")[1]) != first


def test_unix_socket_pipelining_and_bad_http(model, tmp_path):
    path = str(tmp_path / "s")
    with model(LOAD).serving("scikit-learn", MODELYARD_SERVE_SOCKET=path) as client:
        request = (
            f"POST /invocations HTTP/1.1\r\nContent-Type: text/csv\r\nAccept: text/csv\r\nContent-Length: {len(ROW)}\r\n\r\n{ROW}".encode()
        )
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(path)
            sock.sendall(request * 2 + b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n")
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert data.count(b"HTTP/1.1 200 OK") == 3 and data.count(b"\r\n\r\n0\n") == 2 and b"Connection: close" in data
        with socket.create_connection(("127.0.0.1", client.port), 10) as sock:
            sock.sendall(b"NOT HTTP\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
        connection.request("GET", "/invocations")
        assert connection.getresponse().status == 405


def test_sigterm_finishes_what_it_has(model):
    box = model(LOAD + "import time\ndef predict_fn(data, model):\n    print('begun', flush=True)\n    time.sleep(0.5)\n    return model.predict(data)\n")
    with box.serving("scikit-learn") as client:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(client.post(ROW)))
        thread.start()
        client.wait_for(lambda: "begun" in client.log.read_text())
        client.process.send_signal(signal.SIGTERM)
        thread.join()
        assert answers[0][:2] == (200, b"[0]") and client.process.wait(60) == 0


def test_xgboost_content_types_and_errors(container):
    box = container("xgboost-1.7")
    train = (
        "import numpy as np, xgboost, sys\nX = np.arange(60).reshape(30, 2) % 7; y = X[:, 0] > 3\n"
        "xgboost.train({'objective': 'binary:logistic'}, xgboost.DMatrix(X, label=y), 5).save_model(sys.argv[1])"
    )
    subprocess.run([box.python, "-c", train, str(box.base / "model" / "xgboost-model")], check=True)
    with box.serving("xgboost", MODELYARD_IMAGE_VERSION="1.7-1") as client:
        one = client.post("6,0")[1]
        assert float(one) > 0.5 and one.endswith(b"\n")
        assert client.post("6,0", "csv")[1] == one
        assert client.post("0:6 1:0", "text/libsvm")[1] == client.post("0:6 1:0", "text/x-libsvm")[1]
        assert client.post("0:6", "text/libsvm")[:2] == client.post("6,", "text/csv")[:2]  # what is not said is missing
        assert json.loads(client.post("6,0", accept="application/json")[1]) == {"predictions": [{"score": pytest.approx(float(one))}]}
        assert client.post("6,0", accept="application/x-recordio-protobuf")[1][:4] == struct.pack("<I", 0xCED7230A)
        assert client.post("6,0", accept="image/png")[0] == 406
        assert client.post("6", "text/plain")[:2] == (415, b"text/plain is not an accepted ContentType: csv, libsvm, parquet, "
            b"recordio-protobuf, text/csv, text/libsvm, text/x-libsvm, application/x-parquet, application/x-recordio-protobuf.")  # fmt: skip
        status, body, _ = client.post("a,b")
        assert status == 415 and body.startswith(b"Loading csv data failed with Exception, please ensure data is in csv format:")
        assert client.post("1,2,3,4,5")[:2] == (400, b"Unable to evaluate payload provided: Feature size of csv inference data 5 is not "
            b"consistent with feature size of trained model 2.")  # fmt: skip
        assert client.post("")[0] == 204
        status, body = client.get("/execution-parameters")
        assert json.loads(body)["BatchStrategy"] == "MULTI_RECORD"
    with box.serving("xgboost", SAGEMAKER_INFERENCE_OUTPUT="predicted_label,probabilities", MODELYARD_IMAGE_VERSION="1.7-1") as client:
        assert re.fullmatch(rb'1,"\[0\.\d+, 0\.\d+\]"', client.post("6,0")[1])
    with box.serving("xgboost", SAGEMAKER_BATCH="true", MODELYARD_IMAGE_VERSION="1.0-1") as client:
        assert len(client.post("6,0\n1,1")[1].splitlines()) == 2


@pytest.mark.parametrize("kind", ["LogisticRegression(max_iter=500)", "RandomForestClassifier(10)", "names", "two"])
def test_the_short_way_answers_as_the_long_one(model, kind):
    """One text answered in one go equals what each handler function gives on its own, also for odd requests."""
    box = model(LOAD)
    train = (
        "import joblib, sys, numpy\nfrom sklearn.datasets import load_iris\nfrom sklearn.linear_model import *\nfrom sklearn.ensemble import *\n"
        "X, y = load_iris(return_X_y=True)\nkind = sys.argv[2]\n"
        "names, two = (LogisticRegression(max_iter=500), LinearRegression())\n"
        "y = numpy.array(['a', 'b,c', 'd'])[y] if kind == 'names' else numpy.column_stack([y, y / 3]) if kind == 'two' else y\n"
        "joblib.dump(eval(kind).fit(X, y), sys.argv[1])"
    )
    subprocess.run([box.python, "-c", train, str(box.base / "model" / "model.joblib"), kind], check=True)
    bodies = [
        ROW,
        ROW + "\n",
        f"{ROW}\n6.3,2.8,5.1,1.5\n",
        f"{ROW}\r\n{ROW}",
        "5.1,,1.4,0.2",
        "1,2\n3",
        "",
        "5.1,3.5,x,0.2",
        " 5.1, 3.5 ,1.4,0.2",
    ]
    asked = [(body, accept) for body in bodies for accept in ("text/csv", "application/json", "text/html")]
    with box.serving("scikit-learn") as client:
        short = [client.post(body, accept=accept)[:2] for body, accept in asked]
    (box.base / "model" / "code" / "inference.py").write_text(LOAD + "def predict_fn(data, model):\n    return model.predict(data)\n")
    with box.serving("scikit-learn") as client:
        long = [client.post(body, accept=accept)[:2] for body, accept in asked]
    for question, one, other in zip(asked, short, long, strict=True):
        assert one[0] == other[0] and (one == other or one[0] >= 400), question


def test_the_short_way_splits_a_batch(container):
    """Several requests in one call: each gets its own rows, in its own format; an odd one leaves all to the long way."""
    box = container("scikit-learn-1.2")
    code = (
        "from modelyard_algorithms.sklearn.quick import answer\nfrom modelyard_algorithms.serving.messages import Request\n"
        "ask = lambda body, accept='text/csv': Request('POST', '/invocations', {'content-type': 'text/csv', 'accept': accept}, body)\n"
        "first = lambda table: table[:, 0].astype(int)\n"
        "found = answer([ask(b'1,0'), ask(b'2,0\\n3,0\\n'), ask(b'4,0', 'application/json'), ask(b'5,0', '*/*')], first, 'application/json')\n"
        "print([a.body for a in found], [a.content_type for a in found])\n"
        "print(answer([ask(b'1,0'), ask(b'2,0,0')], first, ''), answer([ask(b'1,0'), ask(b'1,')], first, ''), answer([ask(b'1,0'), ask(b'1,0', 'a/b')], first, ''))"
    )
    done = subprocess.run([box.python, "-c", code], env=box.variables, capture_output=True, text=True, check=True)
    types = ["text/csv", "text/csv", "application/json", "application/json"]
    assert done.stdout.splitlines() == [str([b"1\n", b"2\n3\n", b"[4]", b"[5]"]) + " " + str(types), "None None None"]


def test_a_head_seen_before_is_not_taken_for_another(model, tmp_path):
    """Heads are remembered: the same one with other bodies, cut at every byte, pipelined, and nearly the same ones."""
    path = str(tmp_path / "s")

    def asked(body: str, extra: str = "", accept: str = "text/csv") -> bytes:
        head = f"POST /invocations HTTP/1.1\r\nContent-Type: text/csv\r\nAccept: {accept}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def told(data: bytes) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found or len(found.partition(b"\r\n\r\n")[2]) < int(re.search(rb"Content-Length: (\d+)", found)[1]):
            found += sock.recv(65536)
        return found

    with model(LOAD).serving("scikit-learn", MODELYARD_SERVE_SOCKET=path), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(path)
        setosa, virginica = asked("5.1,3.5,1.4,0.2"), asked("6.3,2.8,5.1,1.5")
        for data, body in [(setosa, b"0\n"), (virginica, b"2\n"), (asked("6.3,2.8,5.1,1.5", accept="application/json"), b"[2]")] * 3:
            sock.sendall(data)
            assert told(data).endswith(b"\r\n\r\n" + body)
        for cut in (1, 20, setosa.index(b"\r\n\r\n") + 2, setosa.index(b"\r\n\r\n") + 4, len(setosa) - 1):
            sock.sendall(setosa[:cut])
            time.sleep(0.02)
            sock.sendall(setosa[cut:])
            assert told(setosa).endswith(b"\r\n\r\n0\n")
            sock.sendall(virginica)
            assert told(virginica).endswith(b"\r\n\r\n2\n")
        sock.sendall(setosa + virginica[:30])
        time.sleep(0.02)
        sock.sendall(virginica[30:])
        both = b""
        while both.count(b"\r\n\r\n") < 2 or not both.endswith(b"\n"):
            both += sock.recv(65536)
        assert re.findall(rb"\r\n\r\n(\d)\n", both) == [b"0", b"2"]
        closing = asked("5.1,3.5,1.4,0.2", "Connection: close\r\n")
        sock.sendall(closing)
        assert b"Connection: close" in told(closing) and sock.recv(10) == b""
