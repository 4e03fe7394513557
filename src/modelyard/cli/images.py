"""Managed images: list them, build their environments ahead of first use, or remove built ones."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from modelyard.cli import exits, output

NAME = "images"
HELP = "list, build or remove managed images"
EXAMPLES = """\
examples:
  modelyard images
  modelyard images build sagemaker-xgboost:1.7-1
  modelyard images build                              all but those of PyTorch and TensorFlow (takes a while and some GiB)
  modelyard images build pytorch-2.13                 one of these, by its environment
  modelyard images rm sagemaker-xgboost:1.7-1
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("ls", "build", "rm"), default="ls", help="what to do (default: ls)")
    parser.add_argument("names", nargs="*", metavar="NAME:TAG", help="which images (build: default all but the large ones)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    from modelyard import datafolder
    from modelyard.runtime.images import ImageStore

    store = ImageStore(datafolder.load_settings(args.data))
    if args.action == "ls":
        return _list(store, args.json)
    chosen, unknown = _chosen(store, args.names)
    if unknown:
        output.problem(f"no such image: {', '.join(unknown)}", "See  modelyard images ls")
        return exits.FAILED
    if args.action == "rm" and not args.names:
        output.problem("which images? modelyard images rm NAME:TAG …")
        return exits.USAGE
    return _build(store, chosen) if args.action == "build" else _remove(store, chosen)


def _list(store: Any, json: bool) -> int:
    rows = store.list()
    if json:
        output.as_json(rows)
        return exits.OK
    output.table(
        ("ENVIRONMENT", "STATE", "SIZE", "IMAGES"),
        [(r["env"], r["state"], output.size(r["bytes"]) if r["bytes"] else "", ", ".join(r["images"])) for r in rows],
    )
    return exits.OK


def _build(store: Any, environments: list[str]) -> int:
    from modelyard.runtime.images import BuildFailed

    code = exits.OK
    for env in environments:
        try:
            store.ensure(store.of_environment(env), log=output.note)
            output.note(f"{env}: {output.paint('ready', 'green', sys.stderr)}")
        except BuildFailed as problem:
            output.problem(str(problem))
            code = exits.FAILED
    return code


def _remove(store: Any, environments: list[str]) -> int:
    for env in environments:
        output.note(f"{env}: removed" if store.remove(env) else f"{env}: was not built")
    return exits.OK


def _chosen(store: Any, names: list[str]) -> tuple[list[str], list[str]]:
    """(environments, unknown names); a name is REPOSITORY:TAG, a whole image URI or an environment."""
    if not names:
        return [row["env"] for row in store.list() if row["images"] and not row["large"]], []  # nor the environments of clients
    found: dict[str, None] = {}
    unknown = []
    for name in names:
        image = store.find(name if "/" in name else f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}") if ":" in name else None
        env = image.env if image is not None else name
        if image is None and env not in {row["env"] for row in store.list()}:
            unknown.append(name)
        else:
            found[env] = None
    return list(found), unknown
