"""What a handler function is called with, and its result as an answer."""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator

from .codecs import JSON, TEXT, Undecodable, UnsupportedFormat, encode, media_type
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
