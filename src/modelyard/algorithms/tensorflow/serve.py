"""Serving in the TensorFlow image: SavedModels behind TensorFlow Serving's JSON, and inference.py around it.

As AWS's sagemaker-tensorflow-serving-container: `input_handler(data, context)` and `output_handler(response, context)`, or one
`handler(data, context)` that posts to `context.rest_uri`; which model, version and signature is told by `tfs-…` words in the header
X-Amzn-SageMaker-Custom-Attributes. SAGEMAKER_TFS_ENABLE_BATCHING and SAGEMAKER_TFS_MAX_BATCH_SIZE are that image's own variables.
"""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import re
import threading
import types
from collections import namedtuple

from ..cpus import cpus
from ..layout import Layout
from ..script.frameworks import legacy_keras
from ..serving.code import user_module
from ..serving.codecs import JSON, media_type
from ..serving.context import failed
from ..serving.messages import Request, Response
from .bodies import KINDS, to_predict
from .rest import BadRequest, NotServed, SavedModel, find_models
from .rest import Request as Predict

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
DEFAULT_BATCH = 8
"""TensorFlow Serving's max_batch_size as AWS's image sets it."""

Context = namedtuple(
    "Context",
    "model_name model_version method rest_uri grpc_port channel custom_attributes request_content_type accept_header content_length",
)


def main() -> int:
    """Serve the models in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(TensorFlowHandler())


class TensorFlowHandler:
    """Models by name and version. TensorFlow's threads do not survive a fork: each worker loads for itself, and there is one unless
    SAGEMAKER_MODEL_SERVER_WORKERS says more."""

    cheap = False
    forks = False

    def __init__(self) -> None:
        self.layout = Layout()
        self.batches, self.most = False, None
        self.module: types.ModuleType | None = None
        self.models: dict[str, dict[int, str]] = {}
        self.loaded: dict[tuple[str, int], SavedModel] = {}
        self.loading = threading.Lock()
        self.port = 0

    def load(self) -> None:
        """Find the models and load the newest version of each; import the user's module."""
        os.environ |= legacy_keras()
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(cpus())
        tf.config.threading.set_inter_op_parallelism_threads(min(2, cpus()))
        self.models = find_models(self.layout.model)
        if not self.models:
            raise FileNotFoundError(
                f"There is no SavedModel at {self.layout.model}/<version>/saved_model.pb, and <version> has to be a number. "
                "Save with tf.saved_model.save(model, '/opt/ml/model/1'), with Keras 3 by model.export('/opt/ml/model/1')."
            )
        for name, versions in self.models.items():
            self._model(name, max(versions))
        self.module = user_module(self.layout)
        if self.module and not (hasattr(self.module, "handler") or self._both()):
            raise NotImplementedError("Handlers are not implemented correctly in user script.")
        if self.module and hasattr(self.module, "handler"):
            self.port = serve_rest(self)
        self.batches = not self.module and os.environ.get("SAGEMAKER_TFS_ENABLE_BATCHING", "false").lower() == "true"
        self.most = int(os.environ.get("SAGEMAKER_TFS_MAX_BATCH_SIZE") or DEFAULT_BATCH)

    def _both(self) -> bool:
        return hasattr(self.module, "input_handler") and hasattr(self.module, "output_handler")

    def execution_parameters(self) -> Response | None:
        return None

    def handle(self, requests: list[Request]) -> list[Response]:
        if len(requests) == 1:
            return [self.answer(requests[0])]
        return self._together(requests)

    def answer(self, request: Request) -> Response:
        """One request: through the user's functions where there are some."""
        if self.module is None:
            return self._plain(request)
        try:
            return self._through_user(request)
        except Exception as error:
            failed(500, error)  # its traceback goes to the log
            return Response(500, json.dumps({"error": str(error)}).encode(), JSON)

    def _plain(self, request: Request) -> Response:
        kind = media_type(request.headers.get("content-type") or "")
        if kind not in KINDS:
            return _error(415, f"Unsupported Media Type: {request.headers.get('content-type') or 'Unknown'}")
        try:
            text = to_predict(request.body.decode(), kind)
        except UnicodeDecodeError as error:
            return _error(400, f"JSON Parse error: {error}")
        status, body = self.predict(attributes(request), text)
        accept = request.headers.get("accept", "").replace(" ", "").split(",")
        return Response(status, body, accept[0] if {"application/jsonlines", JSON} & set(accept) else JSON)

    def _through_user(self, request: Request) -> Response:
        context, data = self._context(request), io.BytesIO(request.body)
        if hasattr(self.module, "handler"):
            body, kind = self.module.handler(data, context)
        else:
            processed = self.module.input_handler(data, context)
            body, kind = self.module.output_handler(_like_requests(*self.predict(attributes(request), processed)), context)
        return Response(200, body.encode() if isinstance(body, str) else bytes(body), kind)

    def _context(self, request: Request) -> Context:
        told = attributes(request)
        name, version = told.get("tfs-model-name"), told.get("tfs-model-version")
        method = told.get("tfs-method", "predict")
        at = f"http://127.0.0.1:{self.port}/v1/models/{name or self.default()}" + (f"/versions/{version}" if version else "") + f":{method}"
        kind, accept = request.headers.get("content-type") or JSON, request.headers.get("accept") or JSON
        sent = request.headers.get(ATTRIBUTES)
        return Context(name, version, told.get("tfs-method"), at, None, None, sent, kind, accept, len(request.body))

    def default(self) -> str:
        """The model that is meant when none is named."""
        wanted = os.environ.get("SAGEMAKER_TFS_DEFAULT_MODEL_NAME") or os.environ.get("TFS_DEFAULT_MODEL_NAME")
        return wanted if wanted in self.models else sorted(self.models)[0]

    def predict(self, told: dict[str, str], body: bytes | str) -> tuple[int, bytes]:
        """(status, JSON) as TensorFlow Serving would answer."""
        try:
            method = told.get("tfs-method", "predict")
            if method != "predict":
                raise BadRequest(f"Method {method} is not built here: only predict is")
            asked = Predict(self._named(told), body)
            return 200, asked.answer(asked.model.call(asked.signature, asked.columns))
        except NotServed as error:
            return 404, json.dumps({"error": str(error)}).encode()
        except BadRequest as error:
            return 400, json.dumps({"error": str(error)}).encode()
        except Exception as error:
            if type(error).__name__ == "InvalidArgumentError":
                return 400, json.dumps({"error": str(error)}).encode()
            failed(500, error)
            return 500, json.dumps({"error": str(error)}).encode()

    def _named(self, told: dict[str, str]) -> SavedModel:
        name = told.get("tfs-model-name") or self.default()
        versions = self.models.get(name, {})
        version = told.get("tfs-model-version") or str(max(versions, default=0))
        if not version.isdecimal() or int(version) not in versions:
            raise NotServed(
                f"Servable not found for request: {'Specific' if versions else 'Latest'}({name}{', ' + version if versions else ''})"
            )
        return self._model(name, int(version))

    def _model(self, name: str, version: int) -> SavedModel:
        with self.loading:
            if (name, version) not in self.loaded:
                self.loaded[name, version] = SavedModel(self.models[name][version])
            return self.loaded[name, version]

    # --- batching --------------------------------------------------------------------------------

    def _together(self, requests: list[Request]) -> list[Response]:
        """Requests of one signature and one shape of row are asked in one call; what cannot be, is asked by itself."""
        groups: dict[object, list[tuple[int, Predict]]] = {}
        answers: list[Response | None] = [None] * len(requests)
        for number, request in enumerate(requests):
            try:
                kind = media_type(request.headers.get("content-type") or "")
                asked = Predict(self._named(attributes(request)), to_predict(request.body.decode(), kind))
                if kind in KINDS and asked.rows:
                    shapes = tuple((name, tuple(value.shape[1:])) for name, value in sorted(asked.columns.items()))
                    groups.setdefault((id(asked.model), asked.name, shapes), []).append((number, asked))
            except Exception:  # told when it is asked alone
                continue
        for members in groups.values():
            for number, body in zip([n for n, _ in members], _called_once([asked for _, asked in members]), strict=True):
                if body is not None:
                    answers[number] = Response(200, body, JSON)
        return [answer or self.answer(request) for answer, request in zip(answers, requests, strict=True)]


def _called_once(asked: list[Predict]) -> list[bytes | None]:
    """The answers of requests whose rows are put together; None for those that have to be asked again, alone."""
    first, tf = asked[0], asked[0].model.tf
    try:
        columns = {name: tf.concat([one.columns[name] for one in asked], 0) for name in first.columns}
        outputs = first.model.call(first.signature, columns)
        sizes = [int(next(iter(one.columns.values())).shape[0]) for one in asked]
        if any(value.ndim == 0 or len(value) != sum(sizes) for value in outputs.values()):
            return [None] * len(asked)
        found, at = [], 0
        for one, size in zip(asked, sizes, strict=True):
            found.append(one.answer({name: value[at : at + size] for name, value in outputs.items()}))
            at += size
        return found
    except Exception:
        return [None] * len(asked)


def attributes(request: Request) -> dict[str, str]:
    """The `tfs-name=value` words of the custom attributes."""
    sent = request.headers.get(ATTRIBUTES, "")
    return dict(word.split("=", 1) for word in re.findall(r"tfs-[a-z\-]+=[^,]+", sent)) if sent else {}


def _error(status: int, message: str) -> Response:
    return Response(status, json.dumps({"error": message}).encode(), JSON)


def _like_requests(status: int, body: bytes) -> object:
    """What output_handler gets: a response of the `requests` library."""
    import requests

    response = requests.Response()
    response.status_code, response._content, response.encoding = status, body, "utf-8"
    response.headers["Content-Type"] = JSON
    return response


def serve_rest(handler: TensorFlowHandler) -> int:
    """TensorFlow Serving's own address for a user's `handler`, on threads of its own; answers its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Rest, handler))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="rest").start()
    return server.server_address[1]


class _Rest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    PATH = re.compile(r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+))?(?::(?P<method>\w+))?")

    def __init__(self, handler: TensorFlowHandler, *rest: object) -> None:
        self.models = handler
        super().__init__(*rest)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = self.PATH.fullmatch(self.path)
        if found is None:
            self._say(404, b'{"error": "Malformed request"}')
            return
        told = {f"tfs-{key}": value for key, value in (("model-name", found["name"]), ("model-version", found["version"])) if value}
        self._say(*self.models.predict(told | {"tfs-method": found["method"] or "predict"}, body))

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not one line per request."""
