"""The command line: one module per command, each with NAME, HELP, `arguments(parser)` and `run(args)`.

The modules are imported for their help only, so they must stay light: what a command needs, it imports in `run`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from modelyard import __version__
from modelyard.cli import (
    account,
    cost,
    demo,
    doctor,
    down,
    env,
    exits,
    fault,
    images,
    load,
    logs,
    policy,
    reset,
    run,
    spot,
    status,
    up,
    watch,
)
from modelyard.config import default_data

COMMANDS = [up, down, status, env, run, logs, watch, load, fault, spot, cost, images, account, policy, reset, doctor, demo]

EPILOG = """\
The first steps:
  modelyard up --detach               start the platform (Ctrl-C ends it without --detach)
  eval "$(modelyard env)"             point boto3, the AWS CLI and the SDKs at it
  aws s3 mb s3://my-bucket            use it
  modelyard down                      stop everything

Exit codes: """ + "; ".join(f"{code} {text}" for code, text in exits.MEANINGS.items())


def data_folder() -> Path:
    named = os.environ.get("MODELYARD_DATA")
    return Path(named) if named else default_data()


def build() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelyard",
        description="The AWS MLOps stack, running for real on your own machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"modelyard {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            epilog=getattr(module, "EXAMPLES", None),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "--data",
            metavar="DIR",
            type=Path,
            default=None,
            help="data folder of the platform (default: $MODELYARD_DATA, else modelyard under the user's data home)",
        )
        module.arguments(command)
        command.set_defaults(act=module.run)
    return parser


def main(argv: list[str]) -> int:
    args = build().parse_args(argv)
    args.given_data = args.data
    args.data = (args.data or data_folder()).expanduser().resolve()
    try:
        return args.act(args)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:  # `modelyard logs x | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
