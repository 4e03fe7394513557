"""Train, deploy and call real models on a platform of its own, kill it in the middle, and clean up."""

from __future__ import annotations

import argparse

from modelyard.cli import exits, output

NAME = "demo"
HELP = "show the main job on real data"


def arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    output.problem("the demo is not built yet")
    return exits.FAILED
