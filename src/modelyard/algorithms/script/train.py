"""Script mode training: fetch the code, install its requirements, run it as the toolkit does, tell how it ended.

The contract is that of AWS's sagemaker-training toolkit: `python train.py --name value …` (sorted) for a script,
`python -m name` for a package (a folder with setup.py), `/bin/sh -c ./name …` for anything else; exit code 1 and
`/opt/ml/output/failure` when the user's code fails.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
import traceback

from ..layout import Layout
from .environment import Environment
from .frameworks import FRAMEWORKS, Framework
from .packages import InstallError, install, overlay
from .process import error_message, run
from .say import say
from .source import fetch


def main(framework: str = "scikit-learn") -> int:
    """Run the job in this container to its end; the exit code is the container's."""
    layout, kind = Layout(), FRAMEWORKS[framework]
    layout.make()
    try:
        environment = Environment.read(layout, kind.module)
        if not environment.program:
            raise ValueError("sagemaker_program is not set: there is no entry point to run")
        return train(layout, environment, kind)
    except Exception as error:
        return _framework_error(layout, error)


def train(layout: Layout, environment: Environment, kind: Framework) -> int:
    """Fetch, install, run."""
    say(f"Imported framework {environment.framework_module.split(':')[0]}")
    for name in environment.undecoded:
        say(f"Failed to parse hyperparameter {name} value {environment.user.get(name, '')} to Json.\nReturning the value itself")
    say("No GPUs detected (normal if no gpus installed)")
    said, launcher = kind.prepare(environment)
    say("Invoking user training script.")
    fetch(environment.submit_directory, layout.code)
    command = _command(layout, environment, launcher)
    packages = overlay()
    install(layout.code, packages)
    variables = environment.variables() | said
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [layout.code, packages["PYTHONPATH"]]))
    say(_banner(environment, variables, command))
    with kind.beside(environment):
        code, tail = run(command, layout.code, os.environ | packages | variables | {"PYTHONUNBUFFERED": "1"})
    if code and kind.forgives(tail):
        say(f"Known exception: {error_message(tail)}", "WARNING")
        code = 0
    if code == 0:
        kind.finish(environment)
        say("Reporting training SUCCESS")
        with open(os.path.join(layout.output, "success"), "w"):
            return 0
    return _failed(layout, "ExecuteUserScriptError", code, error_message(tail), " ".join(command))


def _command(layout: Layout, environment: Environment, launcher: list[str] | None) -> list[str]:
    """The command to run for the entry point, started by `launcher` if there is one (scripts only). Raises FileNotFoundError when
    the entry point is not there."""
    name, arguments = environment.program, environment.arguments()
    if os.path.exists(os.path.join(layout.code, "setup.py")) and not name.endswith((".py", ".sh")):
        return [sys.executable, "-m", name, *arguments]
    path = os.path.join(layout.code, name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"The entry point {name} is not in {environment.submit_directory}")
    if name.endswith(".py"):
        return [*(launcher or [sys.executable]), name, *arguments]
    if launcher:
        raise ValueError(f"{launcher[0]} starts Python scripts only: the entry point {name} is none")
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return ["/bin/sh", "-c", f"./{name} {shlex.join(arguments)}".strip()]


def _banner(environment: Environment, variables: dict[str, str], command: list[str]) -> str:
    """The block that the toolkit logs before it starts the user's program."""
    training = json.dumps(environment.training_env(), indent=4, sort_keys=True)
    listed = "\n".join(f"{name}={value}" for name, value in variables.items())
    return (
        f"Invoking user script\n\nTraining Env:\n\n{training}\n\nEnvironment variables:\n\n{listed}\n\n"
        f"Invoking script with the following command:\n\n{' '.join(command)}\n\n"
    )


def _failed(layout: Layout, kind: str, code: int, message: str, command: str) -> int:
    extra = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if code == 137 else ""
    text = f'{kind}:\nExitCode {code}\nErrorMessage "{message}"{extra}\nCommand "{command}"'
    layout.fail(text)
    say("Reporting training FAILURE", "ERROR")
    say(text, "ERROR")
    return 1


def _framework_error(layout: Layout, error: Exception) -> int:
    if isinstance(error, InstallError):
        return _failed(layout, "InstallRequirementsError", error.code, error.output, error.command)
    text = f"Framework Error: \n{traceback.format_exc()}\n{error}"
    layout.fail(text)
    say("Reporting training FAILURE", "ERROR")
    say(text, "ERROR")
    return 1
