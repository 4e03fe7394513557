"""How boosters are asked: the same bits as `predict`, alone and together, in both modes of the image."""

from __future__ import annotations

import json
import subprocess

import pytest

pytestmark = pytest.mark.slow

COMPARE = """
import json, os, sys, tempfile
import numpy as np, xgboost
from modelyard_algorithms.xgb.model import Model
from modelyard_algorithms.xgb.engine import predict
random, told = np.random.default_rng(0), {}
X = random.normal(size=(300, 5)).astype(np.float32)
X[random.random(X.shape) < 0.1] = np.nan
y = np.nan_to_num(X[:, 0] * 2 + X[:, 1])
for name, parameters in json.loads(sys.argv[1]).items():
    label = np.digitize(y, [-1, 1]) if "num_class" in parameters else y > 0 if "binary" in parameters["objective"] else y
    booster = xgboost.train(parameters, xgboost.DMatrix(X, label=label), 15)
    with tempfile.TemporaryDirectory() as folder:
        booster.save_model(os.path.join(folder, "xgboost-model.json"))
        model = Model(folder)
    wanted = [predict(model.boosters[0], X[at : at + 1]) for at in range(40)]
    alone = [model.predict(X[at : at + 1]) for at in range(40)]
    together = model.predict(X[:40])
    same = all(one.tobytes() == other.tobytes() for one, other in zip(wanted, alone)) and together.tobytes() == np.concatenate(wanted).tobytes()
    told[name] = [type(model.ways[0]).__name__, bool(same), model.predict(X[:3, :4]).shape[0]]
print(json.dumps(told))
"""
BOOSTERS = {
    "binary": {"objective": "binary:logistic"},
    "labels": {"objective": "multi:softmax", "num_class": 3},
    "shares": {"objective": "multi:softprob", "num_class": 3},
    "number": {"objective": "reg:squarederror"},
    "linear": {"objective": "reg:squarederror", "booster": "gblinear"},
    "dart": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3},
}


@pytest.mark.parametrize("image", ["xgboost-1.5", "xgboost-1.7", "xgboost-3.0"])
def test_the_same_bits_as_predict(container, image):
    box = container(image)
    done = subprocess.run([box.python, "-c", COMPARE, json.dumps(BOOSTERS)], env=box.variables, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert all(same and rows == 3 for _, same, rows in told.values()), told
    assert {name for name, (way, _, _) in told.items() if way == "Dense"} >= {"binary", "labels", "shares", "number"}


def test_script_mode_batches_its_defaults(container):
    """Requests in one call: csv and libsvm each get what they get alone, a bad one fails alone."""
    box = container("xgboost-1.7")
    code = (
        "import numpy as np, os, xgboost\nfrom modelyard_algorithms.xgb.script import XgboostScriptHandler\n"
        "from modelyard_algorithms.serving.messages import Request\n"
        "X = np.arange(60).reshape(30, 2) % 7\nbase = os.environ['SAGEMAKER_BASE_DIR']\n"
        "xgboost.train({'objective': 'binary:logistic'}, xgboost.DMatrix(X, label=X[:, 0] > 3), 5).save_model(base + '/model/m.json')\n"
        "os.makedirs(base + '/model/code')\n"
        "open(base + '/model/code/inference.py', 'w').write('import xgboost\\ndef model_fn(d): return xgboost.Booster(model_file=d + \"/m.json\")\\n')\n"
        "handler = XgboostScriptHandler()\nhandler.load()\n"
        "ask = lambda body, kind='text/csv': Request('POST', '/invocations', {'content-type': kind, 'accept': 'text/csv'}, body)\n"
        "asked = [ask(b'6,0'), ask(b'1,1\\n5,2'), ask(b'0:6 1:0', 'text/libsvm'), ask(b'x,y'), ask(b'6,0', 'a/b'), ask(b'3,3')]\n"
        "told = lambda answers: [(a.status, a.body if a.status == 200 else b'') for a in answers]\n"
        "together, alone = told(handler.handle(asked)), told([handler.handle([one])[0] for one in asked])\n"
        "print(handler.batches, together == alone, [status for status, _ in together])"
    )
    done = subprocess.run([box.python, "-c", code], env=box.variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True [200, 200, 200, 400, 415, 200]"


LARGE = """
import numpy as np
from modelyard_algorithms.xgb import payload
random = np.random.default_rng(1)
table = random.normal(size=(2000, 4)) * 10.0 ** random.integers(-30, 30, (2000, 4))
text = "".join(",".join(map(repr, row)) + "\\n" for row in table.tolist())

def read(body, limit):
    payload.LARGE_BYTES = limit
    try:
        return payload.parse(body, "text/csv")[0]
    except payload.BadPayload as problem:
        return str(problem)

taken = 0
for odd in ("", "1,2,3\\n", "1,,3,4\\n", "1, 2 ,3,nan\\n", "\\n", "1,2,3,x\\n", "1_0,2,3,4\\n", "0x1,2,3,4\\n", "1,2,3,4 # no\\n", '"1",2,3,4\\n', "1,2,3,inf\\r\\n"):
    body = (text + odd + text).encode()
    quick, careful = read(body, 0), read(body, 1 << 40)
    assert type(quick) is type(careful), (odd, quick, careful)
    assert quick == careful if isinstance(quick, str) else np.array_equal(quick, careful, equal_nan=True), odd
    taken += payload._large_csv(body) is not None
print(taken)
"""


@pytest.mark.parametrize("image", ["xgboost-1.5", "xgboost-3.0"])
def test_large_tables_are_read_as_small_ones(container, image):
    """What the quick way takes it reads to the same bits as the careful one; the rest it leaves to it."""
    box = container(image)
    done = subprocess.run([box.python, "-c", LARGE], env=box.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and int(done.stdout) >= 3, done.stderr
