"""`modelyard` and `python -m modelyard`."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Runs a command and answers its exit code (see `modelyard --help`)."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in ("_gateway", "_engine"):
        from modelyard.app import child_main

        return child_main(words[0][1:], words[1:])
    if words and words[0] == "_work":
        from modelyard.app import work_main

        return work_main(words[1:])
    from modelyard.cli.parser import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
