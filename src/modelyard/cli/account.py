"""Accounts of the platform: list them, or add one with its own root keys and default role."""

from __future__ import annotations

import argparse

from modelyard.cli import exits, output

NAME = "account"
HELP = "list or add accounts"
EXAMPLES = """\
examples:
  modelyard account ls
  modelyard account add 111122223333
  eval "$(modelyard env --account 111122223333)"
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("ls", "add"), default="ls", help="what to do (default: ls)")
    parser.add_argument("id", nargs="?", metavar="ID", help="account ID to add (12 digits)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    if args.action == "add":
        return _add(args)
    listed = [_shown(path) for path in sorted((args.data / "secrets").glob("[0-9]" * 12 + ".json"))]
    if args.json:
        output.as_json(listed)
    else:
        output.table(("ACCOUNT", "DEFAULT ROLE", "ROOT KEY"), [(a["account"], a["role"], a["root_access_key"]) for a in listed])
    return exits.OK


def _add(args: argparse.Namespace) -> int:
    if not args.id:
        output.problem("which ID? modelyard account add 111122223333")
        return exits.USAGE
    if not (args.data / "VERSION").exists():
        output.problem(f"no platform was ever started on {args.data}", "Start it with  modelyard up --detach")
        return exits.NOT_RUNNING
    from modelyard import app, datafolder
    from modelyard.services.iam.bootstrap import ensure_account

    try:
        ensure_account(app.build_platform(datafolder.load_settings(args.data), "tool"), args.id)
    except ValueError as problem:
        output.problem(str(problem))
        return exits.USAGE
    if args.json:
        output.as_json(_shown(args.data / "secrets" / f"{args.id}.json"))
    else:
        output.note(f'account {args.id} is there; use it with  eval "$(modelyard env --account {args.id})"')
    return exits.OK


def _shown(path) -> dict[str, str]:
    import json

    secrets = json.loads(path.read_text())
    return {
        "account": secrets["account"],
        "role": secrets["role"]["RoleArn"],
        "root_access_key": secrets["root"]["AccessKeyId"],
        "secrets": str(path),
    }
