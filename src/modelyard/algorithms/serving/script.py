"""Serving with a user's handlers: model_fn, then input_fn, predict_fn and output_fn, or transform_fn.

Signatures and defaults are those of AWS's inference toolkit; each function may take one more argument, the context.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import traceback
import types
from collections.abc import Callable, Iterator

from ..layout import Layout
from .code import user_module
from .codecs import JSON, TEXT, Undecodable, UnsupportedFormat, acceptable, decode, encode, media_type
from .messages import Request, Response


class Context:
    """What a handler may know about the request: its headers, the model folder; and headers it adds to the answer."""

    def __init__(self, request: Request | None, model_dir: str):
        self.system_properties = {"model_dir": model_dir, "gpu_id": None}
        self.request_headers = request.headers if request else {}
        self.response_headers: dict[str, str] = {}

    def get_request_header(self, _index: int, name: str) -> str | None:
        return self.request_headers.get(name.lower())

    def get_all_request_header(self, _index: int = 0) -> dict[str, str]:
        return self.request_headers

    def set_response_header(self, _index: int, name: str, value: str) -> None:
        self.response_headers[name] = value


class ScriptHandler:
    """A user's module behind the server. Frameworks override the defaults."""

    batches = False
    cheap = False

    def __init__(self) -> None:
        self.layout = Layout()
        self.module: types.ModuleType | None = None
        self.model: object = None
        self.default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)

    def load(self) -> None:
        """Import the user's module and call its model_fn."""
        self.module = user_module(self.layout)
        self.transform_fn = self._function("transform_fn", None)
        own = [name for name in ("input_fn", "predict_fn", "output_fn") if self._function(name, None)]
        if self.transform_fn and own:
            raise ValueError(
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn implementation"
            )
        self.input_fn = self._function("input_fn", self.default_input_fn)
        self.predict_fn = self._function("predict_fn", self.default_predict_fn)
        self.output_fn = self._function("output_fn", self.default_output_fn)
        model_fn = self._function("model_fn", self.default_model_fn)
        self.model = call(model_fn, Context(None, self.layout.model), self.layout.model)

    def _function(self, name: str, default: Callable | None) -> Callable | None:
        return getattr(self.module, name, None) or default

    def execution_parameters(self) -> Response | None:
        """What the module's `execution_parameters_fn` says, when there is one."""
        function = self._function("execution_parameters_fn", None)
        return Response(200, encode(function(), JSON), JSON) if function else None

    def handle(self, requests: list[Request]) -> list[Response]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Response:
        """One request through the handlers, errors as the toolkit answers them."""
        accept = self.accept(request)
        context = Context(request, self.layout.model)
        try:
            if self.transform_fn:
                result = call(self.transform_fn, context, self.model, body(request), content_type(request), accept)
            else:
                data = call(self.input_fn, context, body(request), content_type(request))
                result = self.output(call(self.predict_fn, context, data, self.model), accept, context)
                if isinstance(result, Response):
                    return result
        except UnsupportedFormat as error:
            return failed(415, error)
        except Undecodable as error:
            return failed(400, error)
        except Exception as error:
            return failed(getattr(error, "status_code", 500), error)
        return respond(result, accept, context)

    def output(self, prediction: object, accept: str, context: Context) -> object:
        """output_fn's result; a format it does not know is 406, not 415."""
        try:
            return call(self.output_fn, context, prediction, accept)
        except UnsupportedFormat as error:
            return failed(406, error)

    def accept(self, request: Request) -> str:
        wanted = request.headers.get("accept")
        return self.default_accept if not wanted or wanted == "*/*" else wanted

    def default_model_fn(self, model_dir: str) -> object:
        raise NotImplementedError(
            "\nPlease provide a model_fn implementation.\nSee documentation for model_fn at https://github.com/aws/sagemaker-python-sdk\n"
        )

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        return decode(data, content_type)

    def default_predict_fn(self, data: object, model: object) -> object:
        raise NotImplementedError(
            "\nPlease provide a predict_fn implementation.\nSee documentation for predict_fn at https://github.com/aws/sagemaker-python-sdk\n"
        )

    def default_output_fn(self, prediction: object, accept: str) -> object:
        """The first of the accepted types that there is an encoder for."""
        kind = acceptable(accept)
        if kind is None:
            raise UnsupportedFormat(accept)
        return encode(prediction, kind), kind


def call(function: Callable, context: Context, *arguments: object) -> object:
    """Call a handler function with its arguments, and with the context when it takes one more."""
    count = _arity(function)
    if count == len(arguments):
        return function(*arguments)
    if count == len(arguments) + 1:
        return function(*arguments, context)
    raise TypeError(f"{function.__name__} takes {count} arguments but {len(arguments)} were given.")


@functools.lru_cache(64)
def _arity(function: Callable) -> int:
    return len(inspect.signature(function).parameters)


def content_type(request: Request) -> str:
    return request.headers.get("content-type") or request.headers.get("contenttype") or JSON


def body(request: Request) -> bytes | str:
    """Text for JSON and CSV, bytes for everything else."""
    if media_type(content_type(request)) in TEXT:
        try:
            return request.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Undecodable(f"The body is not UTF-8: {error}") from None
    return request.body


def respond(result: object, accept: str, context: Context) -> Response:
    """What a handler returned, as an answer: a body, `(body, content type)`, or a generator of chunks."""
    kind = accept
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str):
        result, kind = result
    headers = dict(context.response_headers)
    if isinstance(result, str):
        return Response(200, result.encode(), kind, headers)
    if isinstance(result, bytes | bytearray | memoryview):
        return Response(200, bytes(result), kind, headers)
    if isinstance(result, Iterator):
        return Response(200, result, kind, headers)
    if result is None:
        return Response(200, b"", kind, headers)
    try:
        return Response(200, encode(result, kind), kind, headers)
    except (UnsupportedFormat, TypeError, AttributeError) as error:
        return failed(500, error)


def failed(status: int, error: BaseException) -> Response:
    """An error's answer: its text and traceback, as the toolkit writes them."""
    text = "".join(traceback.format_exception(error))
    logging.error("%s", text)
    return Response(status, f"{error}\n{text}".encode(), "text/plain; charset=utf-8")
