"""Runs the demo and shows it: one line a step, live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.config import default_cache

HERE = Path(__file__).parent
STEPS = {
    "images": "Build the images (once; then from the cache)",
    "up": "Start the platform in a fresh data folder",
    "data": "Upload iris and bank marketing to S3",
    "xgboost": "Train built-in XGBoost on iris",
    "sklearn": "Train a scikit-learn script on iris",
    "deploy": "Deploy both behind one endpoint, 90/10",
    "predict": "Predict the test rows",
    "traffic": "Send traffic",
    "crash": "kill -9 engine and gateway in mid-training",
    "clean": "Delete the endpoint",
    "down": "Stop the platform",
}
IMAGES = ("sagemaker-xgboost:1.0-1", "sagemaker-scikit-learn:1.2-1")
TIMEOUT_SECONDS = 900.0
MARK = "demo.mark"


@dataclass
class Line:
    title: str
    state: str = "waiting"
    text: str = ""
    began: float = 0.0
    seconds: float = 0.0


@dataclass
class Board:
    """What is known of each step, drawn live by rich on a terminal."""

    lines: dict[str, Line] = field(default_factory=lambda: {key: Line(title) for key, title in STEPS.items()})
    live: Any = None

    def start(self, step: str, text: str = "") -> None:
        line = self.lines[step]
        line.state, line.text, line.began = "running", text, time.monotonic()
        self._show(line)

    def progress(self, step: str, text: str) -> None:
        self.lines[step].text = text
        if self.live:
            self._show(self.lines[step])

    def done(self, step: str, text: str = "", ok: bool = True) -> None:
        line = self.lines[step]
        line.state, line.seconds = ("done" if ok else "failed"), time.monotonic() - line.began
        line.text = text or line.text
        self._show(line)

    def _show(self, line: Line) -> None:
        if self.live:
            self.live.update(self.table(), refresh=True)
        elif line.state in ("done", "failed"):
            mark = {"done": "ok    ", "failed": "FAILED"}[line.state]
            print(f"{mark} {line.seconds:6.1f} s  {line.title}: {line.text}", flush=True)

    def table(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table

        table = Table.grid(padding=(0, 1))
        marks = {"done": "[green]✔[/]", "failed": "[red]✘[/]", "waiting": "[dim]·[/]"}
        for line in self.lines.values():
            mark = Spinner("dots", style="cyan") if line.state == "running" else marks[line.state]
            seconds = line.seconds or (time.monotonic() - line.began if line.began else 0.0)
            table.add_row(mark, line.title, f"[dim]{seconds:5.1f} s[/]" if line.began else "", line.text)
        return table


def main(data: Path | None = None) -> int:
    """Answers the exit code: 0 when every step held."""
    folder = data or default_cache() / "demo"
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            print(f"{folder} is not empty and not of an earlier demo: give an empty folder", file=sys.stderr)
            return 2
        _quiet("down", "--data", str(folder))
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    (folder / MARK).touch()
    board, facts = Board(), {}
    log = folder / "demo.log"
    try:
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            from rich.live import Live

            with Live(board.table(), refresh_per_second=8) as board.live:
                _steps(board, folder, log, facts)
        else:
            _steps(board, folder, log, facts)
    except _Failed as problem:
        print(f"\nThe demo failed: {problem}\nThe log is {log}", file=sys.stderr)
        return 1
    finally:
        _quiet("down", "--data", str(folder))
    _report(facts, folder, log)
    return 0 if facts.get("held") else 1


class _Failed(Exception):
    pass


def _steps(board: Board, folder: Path, log: Path, facts: dict[str, Any]) -> None:
    python = _images(board, folder)
    board.start("up")
    began = time.monotonic()
    _modelyard("up", "--detach", "--port", "0", "--data", str(folder))
    endpoint = _status(folder)["endpoint"]
    board.done("up", f"{endpoint}, ready after {time.monotonic() - began:.1f} s")
    _main_job(board, folder, log, python, facts)
    board.start("down")
    _modelyard("down", "--data", str(folder))
    board.done("down", "nothing is left running")


def _images(board: Board, folder: Path) -> Path:
    """Builds what the demo needs, and answers the Python of the client's environment (the SDK, not the platform)."""
    from modelyard.config import Settings
    from modelyard.runtime.images import ImageStore

    board.start("images")
    images = ImageStore(Settings(data=folder))
    for uri in IMAGES:
        image = images.find(uri)
        images.ensure(image, log=lambda text, env=image.env: board.progress("images", f"{env}: {text[:90]}"))
    client = images.of_environment("client-sdk2")
    images.ensure(client, log=lambda text: board.progress("images", f"client: {text[:90]}"))
    board.done("images", f"{', '.join(IMAGES)} and the SageMaker SDK v2")
    return images.path(client) / "bin" / "python"


def _main_job(board: Board, folder: Path, log: Path, python: Path, facts: dict[str, Any]) -> None:
    reader, writer = os.pipe()
    environment = {**os.environ, "MODELYARD_DEMO_EVENTS": str(writer), "PYTHONWARNINGS": "ignore"}
    command = [*_command("run", "--data", str(folder)), "--", str(python), str(HERE / "main_job.py")]
    with log.open("wb") as output:
        client = subprocess.Popen(command, env=environment, pass_fds=[writer], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    os.close(writer)
    watchdog = time.monotonic() + TIMEOUT_SECONDS
    try:
        with os.fdopen(reader) as lines:
            for raw in lines:
                _event(board, folder, json.loads(raw), facts)
                if time.monotonic() > watchdog:
                    raise _Failed("it took too long")
        if client.wait() != 0:
            raise _Failed(facts.get("error", f"the client ended with exit code {client.returncode}"))
    finally:
        if client.poll() is None:
            client.kill()
            client.wait()


def _event(board: Board, folder: Path, event: dict[str, Any], facts: dict[str, Any]) -> None:
    step, state = event.pop("step"), event.pop("state")
    if step == "error":
        facts["error"] = event["text"]
        return
    facts.setdefault(step, {}).update(event)
    if state == "start":
        board.start(step)
    elif step == "crash":
        _crash(board, folder, event, facts, state)
    elif state == "progress":
        board.progress(step, event["text"])
    else:
        board.done(step, event.get("text", ""))


def _crash(board: Board, folder: Path, event: dict[str, Any], facts: dict[str, Any], state: str) -> None:
    """When the job trains, engine and gateway get SIGKILL; the supervisor brings them back, the job goes on."""
    if state == "done":
        killed = facts["crash"].get("killed", [])
        facts["held"] = event["status"] == "Completed" and bool(killed)
        what = ", ".join(f"{role} {pid}" for role, pid in killed) or "nothing: the job was over too soon"
        board.done("crash", f"killed {what}; the job ended {event['status']} after {event.get('seconds')} s", ok=facts["held"])
    elif event.get("secondary") == "Training" and "killed" not in facts["crash"]:
        victims = [(p["role"], p["pid"]) for p in _status(folder)["processes"] if p["role"] in ("engine", "gateway")]
        for _, pid in victims:
            os.kill(pid, signal.SIGKILL)
        facts["crash"]["killed"] = victims
        board.progress("crash", f"kill -9 {' '.join(str(pid) for _, pid in victims)}; the job trains on")
    elif "text" in event:
        board.progress("crash", event["text"])


def _report(facts: dict[str, Any], folder: Path, log: Path) -> None:
    rounds = facts["xgboost"]["rounds"]
    low, high = facts["traffic"]["band"]
    share = facts["traffic"]["counts"]["xgboost"]
    print(f"""
XGBoost on iris, merror of {len(rounds)} rounds, the first and the last:
  {rounds[0]}
  {rounds[-1]}
F1 (micro) {facts["predict"]["f1"]:.1f}   (real AWS printed 90.0 for this lab)
Split      {share} of 1000 calls went to xgboost; {low} to {high} were to be expected ({"inside" if low <= share <= high else "OUTSIDE"})
Artifacts  {facts["xgboost"]["artifact"]}
           {facts["sklearn"]["artifact"]}
           {facts["crash"]["artifact"]}
Logs       log group /aws/sagemaker/TrainingJobs: {facts["xgboost"]["job"]}, {facts["sklearn"]["job"]}
           what the SDK printed: {log}
Look around: modelyard up --data {folder}   then, elsewhere:  modelyard run --data {folder} -- aws sagemaker list-training-jobs""")


def _status(folder: Path) -> dict[str, Any]:
    return json.loads(_modelyard("status", "--json", "--data", str(folder)))


def _modelyard(*words: str) -> str:
    done = subprocess.run(_command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise _Failed(f"modelyard {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _quiet(*words: str) -> None:
    subprocess.run(_command(*words), capture_output=True, stdin=subprocess.DEVNULL)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "modelyard", *words]
