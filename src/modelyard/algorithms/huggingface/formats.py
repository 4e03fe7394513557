"""Bodies of the Hugging Face image: JSON, CSV with a header, NPY, images and audio in; JSON, CSV, NPY and images out.

As AWS's sagemaker-huggingface-inference-toolkit has them (decoder_encoder.py, content_types.py).
"""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json

import numpy as np

from ..serving.codecs import CSV, JSON, NPY, Undecodable, UnsupportedFormat, media_type

IMAGES = {f"image/{kind}": kind.upper() for kind in ("jpeg", "png", "tiff", "bmp", "gif", "webp")} | {"image/x-image": "PNG"}
AUDIO = ("audio/x-flac", "audio/mpeg", "audio/wave", "audio/ogg", "audio/x-audio", "audio/wav")


def decode(body: bytes | str, content_type: str) -> object:
    """What a pipeline is asked: for most kinds `{"inputs": …}`. Raises UnsupportedFormat or Undecodable."""
    kind = media_type(content_type)
    try:
        if kind == JSON:
            return json.loads(body)
        if kind == CSV:
            return _from_csv(body)
        if kind == NPY:
            return np.load(io.BytesIO(body), allow_pickle=False)
        if kind in IMAGES:
            from PIL import Image

            return {"inputs": Image.open(io.BytesIO(body)).convert("RGB")}
    except Exception as error:
        raise Undecodable(str(error)) from error
    if kind in AUDIO:
        return {"inputs": bytes(body)}
    raise UnsupportedFormat(content_type)


def _from_csv(text: str) -> dict:
    lines = text.splitlines()
    if not lines or not any(name in lines[0].lower() for name in ("question", "context", "inputs")):
        raise ValueError("You need to provide the correct CSV with Header columns to use it with the inference toolkit default handler.")
    rows = list(csv.DictReader(io.StringIO(text)))
    return {"inputs": [row["inputs"] for row in rows] if rows and "inputs" in rows[0] else rows}


def encode(value: object, accept: str) -> bytes:
    """A pipeline's result as bytes. Raises UnsupportedFormat, or what the value itself does not allow."""
    kind = media_type(accept)
    if kind == JSON:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    if kind == CSV:
        rows = value if isinstance(value, list) else list(value)
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue().encode()
    if kind == NPY:
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(value), allow_pickle=False)
        return buffer.getvalue()
    if kind in IMAGES:
        return _picture(value, IMAGES[kind])
    raise UnsupportedFormat(accept)


def _picture(image: object, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


def _plain(value: object) -> object:
    """What JSON has no word for: numbers and arrays of numpy and torch, times, pictures."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return str(value)
    if hasattr(value, "save") and hasattr(value, "convert"):
        return base64.b64encode(_picture(value, "PNG")).decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
