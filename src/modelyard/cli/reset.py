"""Stop the platform and delete everything it remembers: the whole data folder. Built images stay (`modelyard images rm`)."""

from __future__ import annotations

import argparse
import sys

from modelyard.cli import exits, output

NAME = "reset"
HELP = "stop and delete all data"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    if not args.data.exists():
        output.note(f"{args.data} is not there; nothing to delete")
        return exits.OK
    if not (args.data / "VERSION").exists() and any(args.data.iterdir()):
        output.problem(f"{args.data} is no Modelyard data folder (it has no VERSION file); not touched")
        return exits.FAILED
    if not args.yes and not _agreed(f"Stop the platform and delete everything in {args.data}?"):
        output.problem("nothing was deleted", "Say --yes to delete without being asked.")
        return exits.FAILED
    import shutil

    from modelyard.cli import stopping

    stopping.stop(args.data)
    _empty_socket_folder(args.data)
    shutil.rmtree(args.data)
    output.note(f"deleted {args.data}")
    return exits.OK


def _empty_socket_folder(folder) -> None:
    import shutil

    from modelyard.config import Settings

    sockets = Settings(data=folder).socket_dir
    if not sockets.is_relative_to(folder):
        shutil.rmtree(sockets, ignore_errors=True)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
