"""What user code can do in the box of its job: everything is tried, nothing is assumed; the answers are the model."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

facts = {}


def tried(name, call):
    try:
        facts[name] = call()
    except BaseException as problem:
        code = getattr(problem, "response", {}).get("Error", {}).get("Code")
        facts[name] = {"error": type(problem).__name__, "code": code, "text": str(problem)[:300]}


def reach(host, port):
    with socket.create_connection((host, port), timeout=3):
        return "reached"


def pip():
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "tinydb"], capture_output=True, text=True, timeout=100)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return subprocess.run([sys.executable, "-c", "import tinydb; print(tinydb.__version__)"], capture_output=True, text=True).stdout.strip()


def aws():
    import boto3

    bucket, prefix = os.environ["SM_HP_BUCKET"], os.environ["SM_HP_PREFIX"]
    s3 = boto3.client("s3")
    tried("caller", lambda: boto3.client("sts").get_caller_identity()["Arn"])
    tried("hard_sts", lambda: boto3.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com").get_caller_identity()["Arn"])
    tried("read", lambda: s3.get_object(Bucket=bucket, Key=f"{prefix}/train/rows.csv")["Body"].read().decode())
    tried("write", lambda: s3.put_object(Bucket=bucket, Key=f"{prefix}/from-inside", Body=b"hello")["ETag"])
    tried("forbidden", lambda: boto3.client("iam").list_users()["Users"])
    tried("forbidden_bucket", lambda: s3.create_bucket(Bucket="made-inside"))
    tried("region", lambda: boto3.Session().region_name)


tried("aws", aws)
if os.environ["SM_HP_PIP"] == "true":
    tried("pip", pip)
tried("open_internet", lambda: urllib.request.urlopen("http://203.0.113.1/", timeout=3).status)
tried("metadata", lambda: reach("169.254.169.254", 80))
tried("host_service", lambda: reach("127.0.0.1", int(os.environ["SM_HP_PORT"])))
tried("algo", lambda: socket.gethostbyname(os.environ["SM_CURRENT_HOST"]))
tried("endpoint", lambda: urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_modelyard/health", timeout=3).status)
tried("own_tree", lambda: sorted(p.name for p in Path("/opt/ml").iterdir()))
tried("other_home", lambda: sorted(p.name for p in Path(os.environ["SM_HP_HOME"]).iterdir()))
tried("root_is_read_only", lambda: Path("/usr/left-here").write_text("x"))
facts["keys"] = sorted(k for k in os.environ if k.startswith("AWS_") or k.lower().endswith("_proxy"))
Path(os.environ["SM_MODEL_DIR"], "facts.json").write_text(json.dumps(facts))
