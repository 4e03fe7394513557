"""Exit codes of `modelyard`."""

OK = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
HELD = 4
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILED: "it failed; the message says why",
    USAGE: "the command line was wrong",
    NOT_RUNNING: "no platform runs on this data folder",
    HELD: "the data folder or the port is held by another process",
    INTERRUPTED: "interrupted (Ctrl-C)",
}
