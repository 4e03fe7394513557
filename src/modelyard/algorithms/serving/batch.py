"""Several requests through a user's functions: each is decoded by itself, predicted together, answered by itself."""

from __future__ import annotations

from .codecs import Undecodable, UnsupportedFormat
from .context import Context, body, call, content_type, failed, respond
from .messages import Request, Response


class Batch:
    """The requests of one batch and their answers. A request that fails, fails alone."""

    def __init__(self, handler: object, requests: list[Request]):
        self.handler, self.requests = handler, requests
        self.found: list[Response | None] = [None] * len(requests)

    def answers(self) -> list[Response]:
        """Decode each, predict together what can be joined, answer each from its own rows."""
        groups: dict[object, list[tuple[int, object]]] = {}
        for number, request in enumerate(self.requests):
            data = self._decoded(number, request)
            if self.found[number] is None:
                kind = self.handler.kind_of(data)
                if kind is None:
                    self.found[number] = self.handler.answer(request)
                else:
                    groups.setdefault(kind, []).append((number, data))
        for members in groups.values():
            self._together(members)
        return self.found

    def _decoded(self, number: int, request: Request) -> object:
        context = Context(request, self.handler.layout.model)
        try:
            return call(self.handler.input_fn, context, body(request), content_type(request))
        except UnsupportedFormat as error:
            self.found[number] = failed(415, error)
        except Undecodable as error:
            self.found[number] = failed(400, error)
        except Exception as error:
            self.found[number] = failed(getattr(error, "status_code", 500), error)
        return None

    def _together(self, members: list[tuple[int, object]]) -> None:
        counts = [len(data) for _, data in members]
        try:
            rows = members[0][1] if len(members) == 1 else self.handler.join([data for _, data in members])
            predictions = self.handler.predict_together(rows, counts)
            if len(predictions) != len(rows):
                raise ValueError("the prediction has another number of rows")
        except Exception:
            for number, _ in members:
                self.found[number] = self.handler.answer(self.requests[number])
            return
        at = 0
        for (number, _), count in zip(members, counts, strict=True):
            self.found[number] = self._encoded(self.requests[number], predictions[at : at + count])
            at += count

    def _encoded(self, request: Request, prediction: object) -> Response:
        accept, context = self.handler.accept(request), Context(request, self.handler.layout.model)
        try:
            result = self.handler.output(prediction, accept, context)
        except Exception as error:
            return failed(500, error)
        return result if isinstance(result, Response) else respond(result, accept, context)
