"""The AWS CLI, loaded once: a process that has imported it forks for each command, which so costs what it does and not what 300 modules
cost. What runs is the CLI itself, with the environment, folder, outputs and exit code of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class Commands:
    """`run(words, environment, folder)`. Close it."""

    def __init__(self) -> None:
        self._server = subprocess.Popen([sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, words: list[str], environment: dict[str, str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as said:
            out, err = (os.path.join(said, name) for name in ("out", "err"))
            asked = {"words": words, "environment": environment, "folder": str(folder), "out": out, "err": err, "timeout": int(timeout)}
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(words, code, Path(out).read_text(), Path(err).read_text())

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()


def serve() -> None:
    from awscli.clidriver import create_clidriver

    create_clidriver()  # its plugins are imported now
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _command(create_clidriver, asked)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _command(create_clidriver, asked: dict) -> None:
    import signal

    code = 1
    try:
        signal.alarm(asked["timeout"])  # ends this process
        os.chdir(asked["folder"])
        mine = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}  # set by the import: where its models are
        os.environ.clear()
        os.environ.update(asked["environment"] | mine)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT), number)
        code = create_clidriver().main(asked["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    serve()
