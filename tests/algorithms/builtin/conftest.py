"""Built-in algorithms in this process: a fresh /opt/ml, a training job in it, and its model behind the handler."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from modelyard.algorithms.builtin import serve, train
from modelyard.algorithms.serving.messages import Request, Response

RECORDIO = "application/x-recordio-protobuf"


def csv(rows: np.ndarray) -> bytes:
    return "".join(",".join(repr(float(value)) for value in row) + "\n" for row in rows).encode()


def recordio(rows: np.ndarray, labels: np.ndarray | None = None, sparse: bool = False) -> bytes:
    """Records as the SDK's `write_numpy_to_dense_tensor` and `write_spmatrix_to_sparse_tensor` write them."""
    frames = []
    for number, row in enumerate(np.asarray(rows, "<f4")):
        keys = np.flatnonzero(row) if sparse else None
        payload = _entry(1, _tensor(row if keys is None else row[keys], keys, len(row)))
        if labels is not None:
            payload += _entry(2, _tensor(np.asarray([labels[number]], "<f4"), None, 1))
        frames.append(struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4))
    return b"".join(frames)


def _entry(number: int, tensor: bytes) -> bytes:
    return _field(number, _field(1, b"values") + _field(2, _field(2, tensor)))


def _tensor(values: np.ndarray, keys: np.ndarray | None, width: int) -> bytes:
    body = _field(1, values.astype("<f4").tobytes())
    if keys is not None:
        body += _field(2, b"".join(map(_varint, keys.tolist()))) + _field(3, _varint(width))
    return body


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    said = b""
    while True:
        value, low = value >> 7, value & 127
        said += bytes([low | 128 if value else low])
        if not value:
            return said


class Box:
    """One container's /opt/ml. `hosts` and the rest of the configuration are as the platform writes them."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture):
        self.base, self.capsys, self.log = base, capsys, ""
        (base / "input/config").mkdir(parents=True)
        self.write("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})
        self.channels: dict[str, dict] = {}

    def write(self, name: str, value: object) -> None:
        (self.base / "input/config" / f"{name}.json").write_text(json.dumps(value))

    def channel(self, name: str, body: bytes, content_type: str | None = None, file: str = "part-0", **more: str) -> None:
        folder = self.base / "input/data" / name
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(body)
        entry = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None", **more}
        self.channels[name] = entry | ({"ContentType": content_type} if content_type else {})

    def train(self, algorithm: str, **hyperparameters: object) -> int:
        self.write("hyperparameters", {name: str(value) for name, value in hyperparameters.items()})
        self.write("inputdataconfig", self.channels)
        code = train.main(algorithm)
        said = self.capsys.readouterr()
        self.log = said.out + said.err
        return code

    @property
    def failure(self) -> str:
        return (self.base / "output/failure").read_text()

    @property
    def model(self) -> Path:
        return self.base / "model/model_algo-1"

    def server(self, algorithm: str) -> Server:
        handler = serve.handler(algorithm)
        handler.load()
        return Server(handler)


class Server:
    def __init__(self, handler: serve.BuiltInHandler):
        self.handler = handler

    def ask(self, body: bytes | str, content_type: str = "text/csv", accept: str | None = None) -> Response:
        return self.handler.handle([request(body, content_type, accept)])[0]

    def json(self, body: bytes | str, content_type: str = "text/csv", accept: str | None = None) -> dict:
        response = self.ask(body, content_type, accept)
        assert response.status == 200, response.body
        return json.loads(response.body)


def request(body: bytes | str, content_type: str = "text/csv", accept: str | None = None) -> Request:
    headers = {"content-type": content_type} | ({"accept": accept} if accept else {})
    return Request("POST", "/invocations", headers, body.encode() if isinstance(body, str) else body)


@pytest.fixture
def box(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path / "ml"))
    return Box(tmp_path / "ml", capsys)
