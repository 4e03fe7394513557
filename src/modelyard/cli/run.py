"""Run a command with everything set, so that unchanged AWS code of it lands on this platform and nowhere else."""

from __future__ import annotations

import argparse

from modelyard.cli import environment, exits, output

NAME = "run"
HELP = "run a command against the platform"
EXAMPLES = """\
examples:
  modelyard run -- python train.py
  modelyard run -- aws sagemaker list-training-jobs
  modelyard run -- jupyter lab
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", metavar="ID", help="with the root keys of this account (default: the first account's role session)")
    parser.add_argument("--quick-polls", action="store_true", help=environment.QUICK_POLLS)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD …", help="the command and its arguments")


def run(args: argparse.Namespace) -> int:
    import os

    from modelyard.cli import live

    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    if not words:
        output.problem("which command? modelyard run -- CMD …")
        return exits.USAGE
    state = live.state(args.data)
    if state is None:
        return live.not_running(args.data)
    try:
        found = environment.variables(args.data, state, args.account, transparent=True)
    except environment.NoAccount as missing:
        output.problem(f"this platform has no account {missing}", "See  modelyard account ls")
        return exits.FAILED
    if args.quick_polls:
        found |= environment.quick_polls(os.environ)
    try:
        os.execvpe(words[0], words, {**_without_profiles(dict(os.environ)), **found})
    except OSError as problem:
        output.problem(f"{words[0]}: {problem.strerror}")
        return 127 if isinstance(problem, FileNotFoundError) else 126


def _without_profiles(environment: dict[str, str]) -> dict[str, str]:
    """A profile or a service's own endpoint of the user's shell would win over what is set here."""
    dropped = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
    return {k: v for k, v in environment.items() if k not in dropped and not k.startswith("AWS_ENDPOINT_URL_")}
