"""TensorFlow Serving's predict API over a SavedModel: `{"instances": …}` → `{"predictions": …}`, `{"inputs": …}` → `{"outputs": …}`.

Source: tensorflow.org/tfx/serving/api_rest, the row and the column format. A signature may be named; values may be `{"b64": …}`.
"""

from __future__ import annotations

import base64
import json
import os

import numpy as np


class BadRequest(Exception):
    """What TensorFlow Serving answers with 400."""


class NotServed(Exception):
    """A model, version or signature that is not there: 404."""


class SavedModel:
    """One version of a model, loaded."""

    def __init__(self, path: str) -> None:
        import tensorflow as tf

        self.tf = tf
        self.loaded = tf.saved_model.load(path)
        self.signatures = dict(self.loaded.signatures)
        if not self.signatures:
            raise ValueError(f"The SavedModel in {path} has no signature to serve; Keras models need model.export(…) to have one.")

    def signature(self, name: str) -> object:
        if name not in self.signatures:
            raise NotServed(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def inputs(self, signature: object) -> dict[str, object]:
        """The inputs' tensor specs by name."""
        return dict(signature.structured_input_signature[1])

    def call(self, signature: object, columns: dict[str, object]) -> dict[str, np.ndarray]:
        return {name: value.numpy() for name, value in signature(**columns).items()}


class Request:
    """A parsed predict request: which signature, its tensors by name, and in which format the answer is to be."""

    def __init__(self, model: SavedModel, body: bytes | str) -> None:
        told = _parsed(body)
        self.model = model
        self.name = told.get("signature_name") or "serving_default"
        self.signature = model.signature(self.name)
        self.specs = model.inputs(self.signature)
        self.rows = "instances" in told
        if self.rows and "inputs" in told:
            raise BadRequest("Request has both 'instances' and 'inputs'")
        self.columns = self._of_rows(told["instances"]) if self.rows else self._of_columns(told["inputs"])

    def _of_rows(self, instances: object) -> dict[str, object]:
        if not isinstance(instances, list) or not instances:
            raise BadRequest("Expected 'instances' to be an non-empty list/array")
        named = isinstance(instances[0], dict) and set(instances[0]) != {"b64"}
        if not named:
            return {self._only("'instances'"): self._tensor(self._only("'instances'"), instances)}
        if any(not isinstance(row, dict) or set(row) != set(instances[0]) for row in instances):
            raise BadRequest("Failed to process element of 'instances' list: the elements have different keys")
        self._known(set(instances[0]))
        return {name: self._tensor(name, [row[name] for row in instances]) for name in instances[0]}

    def _of_columns(self, inputs: object) -> dict[str, object]:
        if isinstance(inputs, dict) and set(inputs) != {"b64"}:
            self._known(set(inputs))
            return {name: self._tensor(name, value) for name, value in inputs.items()}
        return {self._only("'inputs'"): self._tensor(self._only("'inputs'"), inputs)}

    def _only(self, where: str) -> str:
        if len(self.specs) != 1:
            raise BadRequest(f"{where} is a plain list, but expecting object/map as input keys: {sorted(self.specs)}")
        return next(iter(self.specs))

    def _known(self, names: set[str]) -> None:
        if names != set(self.specs):
            raise BadRequest(f"input keys {sorted(names)} are not those of signature {self.name}: {sorted(self.specs)}")

    def _tensor(self, name: str, value: object) -> object:
        spec, tf = self.specs[name], self.model.tf
        try:
            tensor = tf.constant(_bytes(value) if spec.dtype == tf.string else value, dtype=spec.dtype)
        except (TypeError, ValueError) as error:
            raise BadRequest(f"Failed to process element of key {name}. Error: INVALID_ARGUMENT: {error}") from None
        if not spec.shape.is_compatible_with(tensor.shape):
            raise BadRequest(f"input {name} has shape {tensor.shape.as_list()}, but the model takes {spec.shape}")
        return tensor

    def answer(self, outputs: dict[str, np.ndarray]) -> bytes:
        """The outputs as JSON."""
        values = {name: _json(value) for name, value in outputs.items()}
        if self.rows:
            sizes = {len(value) if isinstance(value, list) else -1 for value in values.values()}
            if len(sizes) != 1 or -1 in sizes:
                raise BadRequest("the outputs do not have one row per instance: ask with 'inputs' instead of 'instances'")
            if len(values) > 1:
                rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
                return _text({"predictions": rows})
            return _text({"predictions": next(iter(values.values()))})
        return _text({"outputs": values if len(values) > 1 else next(iter(values.values()))})


def _parsed(body: bytes | str) -> dict:
    try:
        told = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"JSON Parse error: {error}") from None
    if not isinstance(told, dict) or not {"instances", "inputs"} & set(told):
        raise BadRequest("Missing 'inputs' or 'instances' key")
    return told


def _bytes(value: object) -> object:
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (ValueError, TypeError):
            raise BadRequest("JSON value of b64 is not base64") from None
    return [_bytes(item) for item in value] if isinstance(value, list) else value


def _json(value: np.ndarray) -> object:
    if value.dtype.kind in "SO":
        return _texts(value.tolist())
    return value.tolist()


def _texts(value: object) -> object:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def _text(value: dict) -> bytes:
    """As TensorFlow Serving writes numbers that JSON has no word for: NaN, Infinity."""
    return json.dumps(value).encode()


def find_models(root: str) -> dict[str, dict[int, str]]:
    """`{model: {version: folder}}` of the SavedModels under `root`, that is `[<model>/]<version>/saved_model.pb`."""
    found: dict[str, dict[int, str]] = {}
    for folder, _, files in os.walk(root):
        version = os.path.basename(folder)
        if ("saved_model.pb" in files or "saved_model.pbtxt" in files) and version.isdecimal():
            name = os.path.basename(os.path.dirname(folder))
            found.setdefault(name, {})[int(version)] = folder
    return found
