"""Show the log of a job, an endpoint or a log group: what was printed, by platform time."""

from __future__ import annotations

import argparse
import time

from modelyard.cli import exits, output

NAME = "logs"
HELP = "show the log of a job, an endpoint or a log group"
EXAMPLES = """\
examples:
  modelyard logs my-training-job
  modelyard logs my-endpoint -f
  modelyard logs /my/group /my/other/group -f --filter 'ERROR -timeout'
"""

GROUPS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TransformJobs", "/aws/sagemaker/Endpoints/{name}")
PAGE, MOST_STREAMS = 1000, 1_000_000
LOOK_SECONDS = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="JOB|ENDPOINT|GROUP", help="name of a job or endpoint, or of a log group (/…)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is printed from now on, until Ctrl-C")
    parser.add_argument("--filter", metavar="PATTERN", default="", help="only what this filter pattern of CloudWatch Logs matches")
    parser.add_argument("--account", metavar="ID", help="of this account (default: the platform's first)")
    parser.add_argument("--region", help="of this region (default: the platform's)")
    parser.add_argument("--json", action="store_true", help="print a JSON object per event: timestamp (ms), stream, message")


def run(args: argparse.Namespace) -> int:
    from modelyard import app, datafolder
    from modelyard.services.logs.patterns import matcher

    if not (args.data / "store.db").exists() and not datafolder.load_settings(args.data).store:
        output.problem(f"no platform was ever started on {args.data}", "Start it with  modelyard up --detach")
        return exits.NOT_RUNNING
    settings = datafolder.load_settings(args.data)
    try:
        matches = matcher(args.filter, ValueError)
    except ValueError as problem:
        output.problem(str(problem), "See  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html")
        return exits.USAGE
    logs = app.build_platform(settings, "tool").logs
    tails = [Tail(logs, args.account or settings.account, args.region or settings.region, name) for name in args.names]
    for tail in tails:
        if not tail.streams() and not args.follow:
            output.problem(
                f"no job, endpoint or group {tail.name} has written a log", "See  aws sagemaker list-training-jobs  or  list-endpoints"
            )
            return exits.FAILED
    while True:
        for timestamp, stream, message in sorted((event for tail in tails for event in tail.news()), key=lambda event: event[0]):
            if matches(message):
                _print(args, timestamp, stream, message)
        if not args.follow:
            return exits.OK
        time.sleep(LOOK_SECONDS)


class Tail:
    """New events of all streams of one job, endpoint or group."""

    def __init__(self, logs, account: str, region: str, name: str) -> None:
        self._logs, self._account, self._region, self.name = logs, account, region, name
        self._seq: int | None = None
        self._told: set[int] = set()
        """Of the first look, what arrived while it looked."""

    def streams(self) -> list:
        """Streams of it: jobs have streams JOB/… in a group of all jobs, endpoints a group of their own."""
        found = []
        if self.name.startswith("/"):
            group = self._logs.group(self._account, self._region, self.name)
            return [] if group is None else self._logs.streams(group, limit=MOST_STREAMS)
        for pattern in GROUPS:
            group = self._logs.group(self._account, self._region, pattern.format(name=self.name))
            if group is not None:
                prefix = "" if "{name}" in pattern else f"{self.name}/"
                found += self._logs.streams(group, prefix=prefix, limit=MOST_STREAMS)
        return found

    def news(self) -> list[tuple[int, str, str]]:
        """(timestamp ms, stream, message) in time order: at first everything, then what has arrived since, whatever its time."""
        from modelyard.services.logs.lines import START, place_of

        fresh = []
        if self._seq is None:
            self._seq = self._logs.last_seq()
            streams = {stream.id: stream.name for stream in self.streams()}
            for id in streams:
                place = START
                while events := self._logs.events([id], after=place, limit=PAGE):
                    fresh += events
                    place = place_of(events[-1])
            self._told = {event.seq for event in fresh if event.seq > self._seq}
        else:
            while events := self._logs.arrived(self._seq):
                fresh += [event for event in events if event.seq not in self._told]
                self._seq = events[-1].seq
            streams = {stream.id: stream.name for stream in self.streams()} if fresh else {}  # after the lines: one of them may be new
            fresh = [event for event in fresh if event.stream_id in streams]
        return sorted(((event.at_ms, streams[event.stream_id], event.message) for event in fresh), key=lambda event: event[0])


def _print(args: argparse.Namespace, timestamp: int, stream: str, message: str) -> None:
    if args.json:
        import json

        print(json.dumps({"timestamp": timestamp, "stream": stream, "message": message}), flush=True)
    else:
        print(message, flush=args.follow)
