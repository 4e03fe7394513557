"""The user's program as a child process: live output, the end of its errors kept, signals handed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

KEEP = 64 * 1024


def run(command: list[str], cwd: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run it to its end. Answers (exit code as a shell says it: 128 + signal when killed, the end of its standard error)."""
    process = subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE)

    def forward(number: int, _frame: object) -> None:
        if process.poll() is None:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    tail = b""
    source = process.stderr.fileno()
    while chunk := os.read(source, 65536):
        _write(2, chunk)
        tail = (tail + chunk)[-KEEP:]
    code = process.wait()
    sys.stdout.flush()
    return (128 - code if code < 0 else code), tail.decode(errors="replace")


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def error_message(tail: str) -> str:
    """What went wrong, from the end of the program's errors: the last traceback's exception with its message, else the last line."""
    lines = tail.rstrip().splitlines()
    start = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("Traceback (most recent call last)")), None)
    if start is None:
        return lines[-1].strip() if lines else ""
    for i in range(start + 1, len(lines)):
        if lines[i] and not lines[i][0].isspace():
            return "\n".join(lines[i:])
    return lines[-1].strip()
