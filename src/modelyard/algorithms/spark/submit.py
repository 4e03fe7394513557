"""`smspark-submit [options] app [arguments]`: the application on PySpark's own Spark; how it failed goes to /opt/ml/output/message."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .cluster import NoCluster, hosts, local, primary, work
from .options import conf, configured, parse, spark_options

MESSAGE = "/opt/ml/output/message"
NO_JAVA = "there is no Java on this machine: Spark needs a Java runtime 8, 11 or 17 (Debian: apt install openjdk-17-jre-headless)"
PORT_OF_CLUSTER = 7099
"""Where each host of a cluster, in a network of its own, answers for S3: the executors of all hosts get the same options."""


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        return _run(options)
    except (NoCluster, OSError, ValueError, KeyError) as problem:
        return _fail(f"{type(problem).__name__}: {problem}")


def _run(options) -> int:
    if not shutil.which("java"):
        return _fail(NO_JAVA)
    import boto3
    import pyspark

    from . import s3_server

    home = os.path.dirname(pyspark.__file__)
    properties, variables, unused = configured()
    me, all_hosts = hosts()
    port = s3_server.serve(boto3.client("s3"), PORT_OF_CLUSTER if len(all_hosts) > 1 else 0).server_address[1]
    os.environ.update(s3_server.settings(Path("/tmp/spark-conf")))
    os.environ.update(variables, SPARK_HOME=home, PYSPARK_PYTHON="python3", SPARK_LOCAL_HOSTNAME=me)
    properties = s3_server.properties(port) | properties
    os.environ.setdefault("SPARK_LOCAL_DIRS", "/tmp/spark")
    if unused:
        print(f"[modelyard] not used here: {', '.join(unused)}", flush=True)
    if options.events_s3:
        print("[modelyard] --spark-event-logs-s3-uri is not built; use spark_event_logs_s3_uri of the processor's run()", flush=True)
    print(f"[modelyard] Spark {pyspark.__version__}", flush=True)
    if me != all_hosts[0]:
        work(home, me, all_hosts[0])
        return 0
    submit = [f"{home}/bin/spark-submit", *conf(properties), *spark_options(options)]
    app = [options.app, *options.app_arguments]
    if len(all_hosts) == 1:
        code = subprocess.call([*submit, *local(), *app])
    else:
        with primary(home, me, all_hosts) as cluster:
            code = subprocess.call([*submit, *cluster, *app])
    return code if code == 0 else _fail(f"spark failed with exit code {code}", code)


def _fail(text: str, code: int = 255) -> int:
    print(f"smspark-submit: {text}", file=sys.stderr, flush=True)
    Path(MESSAGE).write_text(f"Algorithm Error: {text}")
    return code
