"""Print the export lines that point AWS clients of this shell at the running platform."""

from __future__ import annotations

import argparse

from modelyard.cli import environment, exits, output

NAME = "env"
HELP = "print export lines for a shell"
EXAMPLES = """\
examples:
  eval "$(modelyard env)"
  eval "$(modelyard env --transparent)"     also catch hard-coded https://*.amazonaws.com (SageMaker SDK's STS calls)
  modelyard env --account 111122223333      root keys of an account
  modelyard env --json | jq -r .AWS_ENDPOINT_URL
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--transparent", action="store_true", help="also set proxy and certificates for hard-coded AWS hosts")
    parser.add_argument("--account", metavar="ID", help="root keys of this account (default: the first account's role session)")
    parser.add_argument("--quick-polls", action="store_true", help=environment.QUICK_POLLS)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of export lines")


def run(args: argparse.Namespace) -> int:
    import os
    import shlex

    from modelyard.cli import live

    state = live.state(args.data)
    if state is None:
        return live.not_running(args.data)
    try:
        found = environment.variables(args.data, state, args.account, args.transparent)
    except environment.NoAccount as missing:
        output.problem(f"this platform has no account {missing}", "See  modelyard account ls;  make one with  modelyard account add ID")
        return exits.FAILED
    if args.quick_polls:
        found |= environment.quick_polls(os.environ)
    if args.json:
        output.as_json(found)
    else:
        for name, value in found.items():
            print(f"export {name}={shlex.quote(value)}")
        if "AWS_SESSION_TOKEN" not in found:
            print("unset AWS_SESSION_TOKEN")
    return exits.OK
