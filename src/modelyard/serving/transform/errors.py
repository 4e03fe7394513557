"""Why an object could not be transformed, as the data log of the job tells it."""

from __future__ import annotations

CLIENT, ALGORITHM, INTERNAL = "ClientError", "AlgorithmError", "InternalServerError"
MOST_SHOWN = 4096
"""Characters of a model's message that go into the log."""


class Refused(Exception):
    """`side` is whose fault it is (ClientError, AlgorithmError or InternalServerError), `text` AWS's line, `message` what the model
    said, `place` which records it was about (empty: the whole object)."""

    def __init__(self, side: str, text: str, message: bytes = b"", place: str = "") -> None:
        super().__init__(text)
        self.side, self.text, self.message, self.place = side, text, message, place

    def lines(self) -> list[str]:
        """As AWS prints them, each after the object's name."""
        said = [self.text]
        if self.message:
            shown = self.message[:MOST_SHOWN].decode("utf-8", "replace")
            said += ["", "Message:", *shown.splitlines()]
        return [*said, f"Place: {self.place}"] if self.place else said

    def short(self) -> str:
        """In one line, for a FailureReason."""
        first = next((line.strip() for line in self.message.decode("utf-8", "replace").splitlines() if line.strip()), "")
        return self.text + (f" at {self.place}" if self.place else "") + (f": {first}" if first else "")


def too_large(place: str) -> Refused:
    return Refused(CLIENT, "Too much data for max payload size", place=place)
