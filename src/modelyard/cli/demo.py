"""Train, deploy and call real models on a platform of its own, kill it in the middle, and clean up."""

from __future__ import annotations

import argparse

NAME = "demo"
HELP = "show the main job on real data"
EXAMPLES = """\
examples:
  modelyard demo                 in a data folder of its own, under the cache folder; it leaves nothing running
  modelyard demo --data DIR      in an empty folder of your choice
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    from modelyard.demo.show import main

    return main(args.given_data)
