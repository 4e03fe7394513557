"""Why a job failed, in the words that AWS puts into FailureReason."""

from __future__ import annotations

from pathlib import Path

from modelyard.kernel.errors import ApiError

CHARACTERS = 1024
"""FailureReason and ExitMessage have at most so many."""
MOST_ATTEMPTS = 3
OUT_OF_MEMORY = "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on an instance."
NO_DISK = "ClientError: Insufficient disk space: the job wrote more than its ML storage volume holds. Please use a larger VolumeSizeInGB."
LOST = "InternalServerError: The instance of the job was lost {times}. Please try again."
_NO_IMAGE = "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
TAIL_BYTES = 65_536


def no_image(image: str, why: str) -> str | None:
    """The reason for an image that is `unknown` or `failed` (see images.py); None for one that may still come."""
    if image == "unknown":
        return f"{_NO_IMAGE} ({why})"
    return "ClientError: Cannot pull algorithm container. " + why if image == "failed" else None


def reason_of(problem: BaseException | None) -> str:
    """A failed task's exception: the customer's fault, or ours."""
    if isinstance(problem, ApiError):
        return f"ClientError: {problem.message}" if problem.sender_fault else f"InternalServerError: {problem.message}"
    return f"InternalServerError: We encountered an internal error. Please try again. ({type(problem).__name__}: {problem})"


def last_line(log: Path) -> str:
    """The last line of a run's log that says something: of a Python traceback, what was raised."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return ""
    said = (line.decode("utf-8", "replace").partition(" ")[2].strip() for line in reversed(lines))
    return next((text for text in said if text), "")
