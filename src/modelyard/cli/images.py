"""Managed images: list them, build their environments ahead of first use, or remove built ones."""

from __future__ import annotations

import argparse

from modelyard.cli import exits, output

NAME = "images"
HELP = "list, build or remove managed images"
EXAMPLES = """\
examples:
  modelyard images
  modelyard images build sagemaker-xgboost:1.7-1
  modelyard images build                              all of them
  modelyard images rm sagemaker-xgboost:1.7-1
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("ls", "build", "rm"), default="ls", help="what to do (default: ls)")
    parser.add_argument("names", nargs="*", metavar="NAME:TAG", help="which images (build: default all)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    output.problem("this release has no images yet")
    return exits.FAILED
