"""The Hugging Face image without a sandbox: the artifact carries the model, a small one made here."""

from __future__ import annotations

import json
import subprocess

import pytest

pytestmark = pytest.mark.slow

MAKE = """
import sys, torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
folder = sys.argv[1]
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a"]
with open(folder + "/vocab.txt", "w") as file:
    file.write("\\n".join(words))
BertTokenizerFast(vocab_file=folder + "/vocab.txt").save_pretrained(folder)
torch.manual_seed(0)
config = BertConfig(
    vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=32,
    id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1},
)
BertForSequenceClassification(config).save_pretrained(folder)
"""
ASKED = {"inputs": "a good film"}


@pytest.fixture(scope="module")
def files(environment, tmp_path_factory):
    """A text classifier as save_pretrained leaves it."""
    folder = tmp_path_factory.mktemp("bert")
    subprocess.run([environment("huggingface-4.57"), "-c", MAKE, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def box(container, files):
    made = container("huggingface-4.57")
    (made.base / "model").rmdir()
    (made.base / "model").symlink_to(files)
    return made


def test_a_pipeline_by_the_architecture_of_the_artifact(box):
    with box.serving("huggingface") as client:
        assert client.get("/ping")[0] == 200
        status, body, headers = client.post(json.dumps(ASKED), "application/json")
        (first,) = json.loads(body)
        assert (status, headers["Content-Type"]) == (200, "application/json") and first["label"] in ("NEGATIVE", "POSITIVE")
        many = json.loads(client.post(json.dumps({"inputs": ["a good film", "bad"]}), "application/json")[1])
        assert [many[0]["label"], many[0]["score"]] == [first["label"], pytest.approx(first["score"])] and len(many) == 2
        every = json.loads(client.post(json.dumps(ASKED | {"parameters": {"top_k": None}}), "application/json")[1])
        assert sum(label["score"] for label in every) == pytest.approx(1)
        table = client.post('inputs\n"a good film"\nbad\n', "text/csv", accept="text/csv")[1].decode().splitlines()
        assert table[0] == "label,score" and len(table) == 3
        for body, kind, told in (
            (json.dumps(ASKED | {"parameters": {"no_such": 1}}), "application/json", "no_such"),
            ("{", "application/json", "Expecting"),
            ("x\n1\n", "text/csv", "You need to provide the correct CSV with Header columns"),
            (b"x", "image/png", "cannot identify image file"),
            ("x", "text/xml", "Content type text/xml is not supported"),
        ):
            status, answer, headers = client.post(body, kind)
            said = json.loads(answer)
            assert (status, said["code"], said["type"]) == (400, 400, "InternalServerException") and told in said["message"], said


def test_the_users_own_functions(container, files):
    box = container("huggingface-4.57")
    code = box.base / "model" / "code"
    code.mkdir()
    (code / "inference.py").write_text(
        "from transformers import pipeline\n"
        f"def model_fn(model_dir):\n    return pipeline('text-classification', {str(files)!r})\n"
        "def predict_fn(data, model):\n    return {'text': data['inputs'], 'label': model(data['inputs'])[0]['label']}\n"
    )
    with box.serving("huggingface", HF_TASK="text-classification") as client:
        assert json.loads(client.post(json.dumps(ASKED), "application/json")[1])["text"] == "a good film"


def test_an_artifact_without_a_model_says_what_to_do(container):
    with container("huggingface-4.57").serving("huggingface") as client:
        status, body = client.get("/ping")
        assert status == 500 and b"There is no config.json" in body and b"HF_TASK" in body
