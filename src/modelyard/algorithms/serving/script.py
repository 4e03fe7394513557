"""Serving with a user's handlers: model_fn, then input_fn, predict_fn and output_fn, or transform_fn.

Signatures and defaults are those of AWS's inference toolkit; each function may take one more argument, the context.

A module may declare `modelyard_batch = True`: predict_fn answers row by row, so it may get the rows of requests that wait at
the same moment in one call (without a request in its context) and must return one prediction per row, in order. input_fn and
output_fn still see one request each. Without the declaration a user's predict_fn gets one request at a time: it might count
them or look at their headers.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable

import numpy as np

from ..layout import Layout
from .batch import Batch
from .code import prepare, user_module
from .codecs import JSON, Undecodable, UnsupportedFormat, acceptable, decode, encode
from .context import Context, body, call, content_type, failed, respond
from .messages import Request, Response


class ScriptHandler:
    """A user's module behind the server. Frameworks override the defaults."""

    batches = False
    cheap = False
    forks = True
    most: int | None = None

    def __init__(self) -> None:
        self.layout = Layout()
        self.module: types.ModuleType | None = None
        self.model: object = None
        self.default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)

    def prepare(self) -> None:
        """What the user's module needs is there after this; the process may have started anew for it."""
        prepare(self.layout)

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
        self.batches = self.may_batch(False)
        self.model = call(model_fn, Context(None, self.layout.model), self.layout.model)

    def _function(self, name: str, default: Callable | None) -> Callable | None:
        return getattr(self.module, name, None) or default

    def execution_parameters(self) -> Response | None:
        """What the module's `execution_parameters_fn` says, when there is one."""
        function = self._function("execution_parameters_fn", None)
        return Response(200, encode(function(), JSON), JSON) if function else None

    def may_batch(self, default: bool) -> bool:
        """What the user's module declares with `modelyard_batch`, else `default`; never with a transform_fn, which does it all."""
        declared = getattr(self.module, "modelyard_batch", None)
        return not self.transform_fn and (default if declared is None else bool(declared))

    def handle(self, requests: list[Request]) -> list[Response]:
        """Answer each; several (only when `batches`) are predicted together where that can be."""
        return [self.answer(requests[0])] if len(requests) == 1 else Batch(self, requests).answers()

    def predict_together(self, rows: object, counts: list[int]) -> object:
        """predict_fn of the rows of several requests, of which each has `counts` rows."""
        return call(self.predict_fn, Context(None, self.layout.model), rows, self.model)

    def kind_of(self, data: object) -> object | None:
        """What input_fn's results must have in common to be joined, None for one that must stay alone."""
        if isinstance(data, np.ndarray) and data.ndim > 1 and data.dtype.kind in "fiub" and len(data):
            return data.shape[1:], data.dtype
        return None

    def join(self, parts: list) -> object:
        return np.concatenate(parts)

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
