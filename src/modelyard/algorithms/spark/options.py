"""smspark-submit's command line and the EMR-style configuration, as spark-submit takes them. Pure but for the look into folders.

Options and classifications as AWS's Spark processing images document them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGURATION = "/opt/ml/processing/input/conf/configuration.json"
HADOOP = ("core-site", "hdfs-site", "yarn-site")
UNUSED = (
    "yarn-env",
    "hadoop-env",
    "hive-env",
    "hive-log4j",
    "hive-exec-log4j",
    "hive-site",
    "spark-log4j",
    "spark-metrics",
    "spark-hive-site",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """`options`, then the application (`app`) and its own arguments, which are passed on untouched. Exits with 2 on what it does
    not know."""
    parser = argparse.ArgumentParser(prog="smspark-submit", allow_abbrev=False)
    parser.add_argument("--class", dest="main_class")
    for name in ("--jars", "--py-files", "--files"):
        parser.add_argument(name, help="a folder, or a list of files with commas")
    parser.add_argument("--local-spark-event-logs-dir", dest="events")
    parser.add_argument("--spark-event-logs-s3-uri", dest="events_s3")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("app")
    parser.add_argument("app_arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def spark_options(options: argparse.Namespace) -> list[str]:
    """The part of spark-submit's command line that comes from ours."""
    made = ["--class", options.main_class] if options.main_class else []
    for name, given in (("--jars", options.jars), ("--py-files", options.py_files), ("--files", options.files)):
        if given:
            made += [name, ",".join(files_of(given))]
    if options.events:
        Path(options.events).mkdir(parents=True, exist_ok=True)
        made += conf({"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{options.events}"})
    return [*made, "--verbose"] if options.verbose else made


def files_of(given: str) -> list[str]:
    """The files of a list with commas; a folder stands for all files below it."""
    found: list[str] = []
    for one in given.split(","):
        path = Path(one)
        found += sorted(str(p) for p in path.rglob("*") if p.is_file()) if path.is_dir() else [one]
    if not found:
        raise ValueError(f"there are no files in {given}")
    return found


def conf(properties: Mapping[str, Any]) -> list[str]:
    return [word for key, value in properties.items() for word in ("--conf", f"{key}={value}")]


def configured(path: str = CONFIGURATION) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """(Spark properties, variables of the environment, classifications that mean nothing here) of the job's configuration."""
    if not Path(path).is_file():
        return {}, {}, []
    given = json.loads(Path(path).read_text())
    properties: dict[str, str] = {}
    variables: dict[str, str] = {}
    unused: list[str] = []
    for one in given if isinstance(given, list) else [given]:
        name, values = one["Classification"], one.get("Properties", {})
        if name in ("spark-defaults", "spark"):
            properties.update(values)
        elif name in HADOOP:
            properties.update({f"spark.hadoop.{key}": value for key, value in values.items()})
        elif name == "spark-env":
            for inner in one.get("Configurations", []):
                variables.update(inner.get("Properties", {}))
        elif name in UNUSED:
            unused.append(name)
        else:
            raise ValueError(f"unknown classification {name} in {path}")
    return properties, variables, unused
