"""Serving in the Hugging Face image: a transformers pipeline of the model in `/opt/ml/model`, or the user's own functions.

As AWS's sagemaker-huggingface-inference-toolkit (handler_service.py, transformers_utils.py): the task is HF_TASK, else it is read
from the architecture in config.json; a request is `{"inputs": …, "parameters": {…}}`. A model of the hub (HF_MODEL_ID) is loaded
where the hub can be reached; else the artifact has to carry it.
"""

from __future__ import annotations

import json
import logging
import os

from ..cpus import cpus, workers
from ..pytorch.serve import TorchHandler
from ..serving.messages import Request, Response
from .formats import decode, encode

TASKS = {
    "TapasForQuestionAnswering": "table-question-answering",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForSequenceClassification": "text-classification",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "GPT2LMHeadModel": "text-generation",
    "T5WithLMHeadModel": "text2text-generation",
}
"""The task of an architecture, by the end of its name; the last that fits counts."""

HEARD = ("automatic-speech-recognition", "audio-classification")
SEEN = ("image-segmentation", "image-classification", "object-detection", "zero-shot-image-classification")
WITHOUT_CSV = ("zero-shot-classification", "table-question-answering")


def main() -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(HuggingFaceHandler())


class HuggingFaceHandler(TorchHandler):
    """A pipeline. Errors of a request are 400 with the toolkit's JSON, as on AWS."""

    def default_model_fn(self, model_dir: str) -> object:
        place = model_dir
        if os.environ.get("HF_MODEL_ID") and not os.path.exists(os.path.join(model_dir, "config.json")):
            place = os.environ["HF_MODEL_ID"]
        else:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # Nothing else is asked for: without it each file would be looked for there.
        return load_pipeline(task_of(place), place)

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        if content_type.startswith("text/csv") and os.environ.get("HF_TASK") in WITHOUT_CSV:
            raise ValueError(f"content type {content_type} not support with {os.environ['HF_TASK']}, use different content_type")
        return decode(data, content_type)

    def default_predict_fn(self, data: object, model: object) -> object:
        if not isinstance(data, dict):
            return model(data)
        inputs = data.pop("inputs", data)
        parameters = data.pop("parameters", None) or {}
        return model(inputs, **parameters)

    def default_output_fn(self, prediction: object, accept: str) -> object:
        return encode(prediction, accept), accept

    def answer(self, request: Request) -> Response:
        answer = super().answer(request)
        if answer.status < 400 or not isinstance(answer.body, bytes):
            return answer
        message = answer.body.decode(errors="replace").partition("\n")[0]
        told = {"code": 400, "type": "InternalServerException", "message": message}
        return Response(400, json.dumps(told, indent=2).encode(), "application/json", answer.headers)


def task_of(place: str) -> str | None:
    """HF_TASK, else what the architecture in config.json is for; None lets the hub tell. Raises ValueError with what to set."""
    if os.environ.get("HF_TASK"):
        return os.environ["HF_TASK"]
    if not os.path.isdir(place):
        return None
    path = os.path.join(place, "config.json")
    if not os.path.exists(path):
        raise ValueError(
            f"There is no config.json in {place}: the model's archive must have the files of save_pretrained at its top. "
            "With those of another kind bring an inference.py with model_fn, or set HF_TASK."
        )
    with open(path) as file:
        architecture = (json.load(file).get("architectures") or [""])[0]
    found = [task for end, task in TASKS.items() if architecture.endswith(end)]
    if not found:
        raise ValueError(f"Task couldn't be inferenced from {architecture or 'config.json'}. Use env `HF_TASK` to define your task.")
    os.environ["HF_TASK"] = found[-1]
    return found[-1]


def load_pipeline(task: str | None, place: str) -> object:
    import torch
    from transformers import pipeline

    torch.set_num_threads(max(1, cpus() // workers()))
    aside = {}
    if task in SEEN:
        aside["image_processor"] = place
    elif task in HEARD:
        aside["feature_extractor"] = place
    if task not in SEEN:
        aside["tokenizer"] = place
    trust = os.environ.get("HF_TRUST_REMOTE_CODE", "").lower() in ("1", "true", "yes", "y", "on", "t")
    logging.info("Loading a pipeline for %s from %s", task or "its own task", place)
    return pipeline(task=task, model=place, device=-1, trust_remote_code=trust, **aside)
