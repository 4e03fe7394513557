"""The PyTorch images without a sandbox: script mode and the model server."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import threading

import pytest

from tests.algorithms.test_script_train import give

pytestmark = pytest.mark.slow

NET = """
import torch, sys
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.9), torch.nn.Linear(8, 3))
    def forward(self, x):
        return self.layers(x)
"""
SAVE = """
torch.manual_seed(0)
net = Net()
folder = sys.argv[1]
torch.jit.script(net).save(folder + "/script")
torch.save(net.state_dict(), folder + "/state")
torch.save({"net": net, "of": object}, folder + "/whole")
net.eval()
print(net(torch.tensor([[5.1, 3.5, 1.4, 0.2]])).tolist())
"""
STATE = (
    NET
    + """
import os
def model_fn(model_dir):
    net = Net()
    net.load_state_dict(torch.load(os.path.join(model_dir, "model.pth")))
    return net.eval()
"""
)
ROW = "5.1,3.5,1.4,0.2"


@pytest.fixture(scope="module")
def saved(environment, tmp_path_factory):
    """One network saved in three ways, and what it answers to ROW."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "save.py").write_text(NET + SAVE)  # TorchScript reads the source
    command = [environment("pytorch-2.13"), folder / "save.py", folder]
    return folder, json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]


@pytest.fixture
def model(container, saved):
    """`model(kind, file, code)`: a container with the network of that kind in the file, its inference.py, and what it answers to ROW."""

    def make(kind: str, file: str, code: str = ""):
        box = container("pytorch-2.13")
        if kind:
            shutil.copy(saved[0] / kind, box.base / "model" / file)
        if code:
            (box.base / "model" / "code").mkdir()
            (box.base / "model" / "code" / "inference.py").write_text(code)
        return box, saved[1]

    return make


def test_torchscript_without_code(model):
    box, expected = model("script", "net.pth")
    with box.serving("pytorch") as client:
        assert client.get("/ping")[0] == 200
        status, body, headers = client.post(ROW)
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body) == [pytest.approx(expected)]  # no dropout: the network is in eval mode
        assert json.loads(client.post(json.dumps([[5.1, 3.5, 1.4, 0.2]] * 2), "application/json")[1]) == [pytest.approx(expected)] * 2
        assert [float(x) for x in client.post(ROW, accept="text/csv")[1].split(b",")] == pytest.approx(expected)
        npy = client.post(ROW, accept="application/x-npy")[1]
        assert struct.unpack("<3f", npy[-12:]) == pytest.approx(expected)
        assert client.post(ROW, "image/png")[0] == 415
        assert client.post(ROW, accept="image/png")[0] == 406
        status, body, _ = client.post("1,2", "text/csv")
        assert status == 500 and b"mat1 and mat2 shapes cannot be multiplied" in body


@pytest.mark.parametrize("kind, file, told", [
    ("state", "model.pth", b"Please ensure model is saved using torchscript"),
    ("", "", b"Exactly one .pth or .pt file is required for PyTorch models: []"),
])  # fmt: skip
def test_what_cannot_be_loaded_is_told_by_the_ping(model, kind, file, told):
    box, _ = model(kind, file)
    with box.serving("pytorch") as client:
        status, body = client.get("/ping")
        assert status == 500 and told in body


def test_whole_objects_load_where_the_image_did(model):
    """torch.load was for whole objects up to 2.5: the recipe of those tags says so in a variable."""
    code = NET + "def model_fn(model_dir):\n    import __main__\n    __main__.Net = Net\n"
    code += "    return torch.load(model_dir + '/model.pt')['net']\n"
    box, expected = model("whole", "model.pt", code)
    with box.serving("pytorch", TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1") as client:
        assert json.loads(client.post(ROW)[1]) == [pytest.approx(expected)]


COUNTING = (
    STATE
    + """
import threading, time
calls = []
started = threading.Event()
def predict_fn(rows, net):
    calls.append(len(rows))
    while len(calls) == 1 and not os.path.exists(GO):
        time.sleep(0.01)
    with torch.no_grad():
        return net(rows)
def output_fn(prediction, accept):
    import json
    return json.dumps({"calls": calls, "answer": prediction.tolist()}), "application/json"
"""
)


@pytest.mark.parametrize("code, variables, together", [
    (COUNTING, {}, False), (COUNTING + "modelyard_batch = True\n", {}, True), (COUNTING, {"SAGEMAKER_TS_BATCH_SIZE": "4"}, True),
])  # fmt: skip
def test_requests_go_together_where_the_handler_declares_it(model, tmp_path, code, variables, together):
    go = tmp_path / "go"
    box, expected = model("state", "model.pth", f"GO = {str(go)!r}\n{code}")
    with box.serving("pytorch", **variables) as client:
        first = threading.Thread(target=client.post, args=(ROW,))
        first.start()
        answers = []
        rest = [threading.Thread(target=lambda: answers.append(json.loads(client.post(ROW)[1]))) for _ in range(6)]
        for thread in rest:
            thread.start()
        client.wait_for(lambda: client.took(7))
        go.touch()
        for thread in [first, *rest]:
            thread.join()
        assert all(answer["answer"] == [pytest.approx(expected)] for answer in answers)
        sizes = max((answer["calls"] for answer in answers), key=len)
        assert sum(sizes) == 7
        assert (max(sizes) > 1) is together, sizes
        assert max(sizes) <= (4 if variables else 7)


TRAIN = """
import argparse, json, os, torch
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
args = parser.parse_args()
torch.manual_seed(0)
x = torch.randn(64, 2); y = x @ torch.tensor([[1.0], [-2.0]])
net = torch.nn.Linear(2, 1)
best = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(args.epochs):
    loss = torch.nn.functional.mse_loss(net(x), y)
    best.zero_grad(); loss.backward(); best.step()
print(f"loss={loss.item():.6f};")
torch.save(net.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
names = ("MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG", "SM_DLC_TORCH_VERSION", "SM_FRAMEWORK_MODULE", "RANK", "WORLD_SIZE", "SM_FRAMEWORK_PARAMS")
print("seen " + json.dumps({name: os.environ.get(name) for name in names}))
"""


def test_script_mode(container, tmp_path):
    box = container("pytorch-2.13")
    give(box, tmp_path, {"train.py": TRAIN}, "train.py", epochs="40")
    done = box.run("train", "pytorch")
    assert done.returncode == 0, done.stdout
    assert float(re.search(r"loss=([0-9.]+);", done.stdout)[1]) < 0.01
    seen = json.loads(re.search(r"seen (.*)", done.stdout)[1])
    assert seen["MASTER_ADDR"] == "algo-1" and seen["MASTER_PORT"] == "7777" and seen["NCCL_DEBUG"] == "WARN"
    assert seen["SM_DLC_TORCH_VERSION"].startswith("2.13.0") and seen["SM_FRAMEWORK_MODULE"] == "sagemaker_pytorch_container.training:main"
    assert seen["RANK"] is None and (box.base / "model" / "model.pth").exists()


def test_a_launcher_that_is_not_here_is_told(container, tmp_path):
    box = container("pytorch-2.13")
    give(box, tmp_path, {"train.py": TRAIN}, "train.py", epochs="1", sagemaker_mpi_enabled="true")
    assert box.run("train", "pytorch").returncode == 1
    assert "MPI is not in this image" in box.failure
