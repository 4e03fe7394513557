"""What a real job of a real platform can reach: its own folders, the platform's door and the filtered way out, and nothing else."""

from __future__ import annotations

import http.server
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest

from modelyard.runtime.process import probe
from tests.support.realm import BASE, Realm, eventually

pytestmark = pytest.mark.slow

PRELUDE = """
import json, os, socket, subprocess, sys, urllib.request
def tell(name, work):
    try: got = work()
    except BaseException as problem: got = f'{type(problem).__name__}: {problem}'
    print('TOLD ' + json.dumps([name, str(got)]), flush=True)
def sh(text): return subprocess.run(['sh', '-c', text], capture_output=True, text=True).stdout.strip()
def dial(host, port): return socket.create_connection((host, int(port)), 3).getpeername()
"""


@pytest.fixture(scope="module")
def realm():
    with tempfile.TemporaryDirectory(prefix="my-box-", ignore_cleanup_errors=True) as folder:
        made = Realm(Path(folder), gateways=1, engines=1)
        yield made.up()
        made.down()


@pytest.fixture(scope="module")
def host():
    """A server on the host's loopback that nobody in a box may reach; `host.seen` counts who did."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.seen += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"private")

        def log_message(self, *words): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = 0
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()


def told(realm: Realm, name: str, code: str, **more) -> dict[str, str]:
    realm.job(name, PRELUDE + code, **more)
    job = realm.end(name, 120)
    lines = realm.log(name)
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    return dict(json.loads(line.removeprefix("TOLD ")) for line in lines if line.startswith("TOLD "))


def test_files_of_the_host_are_not_there(realm):
    secret = Path(realm.data).parent / f"my-secret-{os.getpid()}"
    secret.write_text("hush")
    try:
        places = [
            str(secret),
            str(realm.data),
            f"{realm.data}/secrets",
            f"{realm.data}/store.db",
            str(Path.home() / ".cache"),
            "/home",
            "/etc/shadow",
            "/var/log",
        ]
        code = f"for p in {places!r}:\n    tell(p, lambda: os.listdir(p) if os.path.isdir(p) else open(p).read())\n"
        code += "tell('env', lambda: [k for k in os.environ if 'ROOT' in k or 'SECRET_ROOT' in k])\ntell('mounts', lambda: open('/proc/self/mountinfo').read())"
        said = told(realm, "files", code)
    finally:
        secret.unlink()
    for place in places:
        assert said[place].startswith(("FileNotFoundError", "PermissionError", "NotADirectoryError")) or said[place] == "[]", (
            place,
            said[place],
        )
    assert "hush" not in str(said)


def test_nothing_outside_its_own_folders_can_be_written(realm):
    places = [
        "/x",
        "/usr/x",
        "/etc/x",
        "/bin/x",
        "/opt/x",
        "/opt/image/x",
        "/var/x",
        "/proc/sys/kernel/hostname",
        "/sys/x",
        "/etc/hosts",
        "/etc/passwd",
        "/opt/image/bin/python3",
    ]
    good = ["/opt/ml/model/x", "/opt/ml/output/data/x", "/opt/ml/input/x", "/tmp/x", "/dev/shm/x"]
    said = told(realm, "writes", f"for p in {places + good!r}:\n    tell(p, lambda: open(p, 'w').write('1'))")
    for place in places:
        assert said[place].startswith(("OSError: [Errno 30]", "PermissionError", "FileNotFoundError", "OSError: [Errno 26]")), (
            place,
            said[place],
        )
    assert [said[place] for place in good] == ["1"] * len(good)


def test_no_other_process_is_seen_or_can_be_touched(realm):
    code = "tell('processes', lambda: sh('ls /proc | grep -c ^[0-9]'))\ntell('kill', lambda: [os.kill(p, 0) for p in range(2, 70000, 1) if p != os.getpid() and os.path.exists(f'/proc/{p}')])\n"
    code += "tell('environ', lambda: set(open('/proc/1/environ').read().split(chr(0))) - {'', *(f'{k}={v}' for k, v in os.environ.items())})\ntell('caps', lambda: sh('grep CapEff /proc/self/status'))\ntell('mount', lambda: sh('mount -t tmpfs none /mnt 2>&1; unshare -m true 2>&1'))\n"
    said = told(realm, "processes", code)
    assert int(said["processes"]) <= 8
    assert said["environ"] == "set()", "process 1 has nothing that the payload has not"
    assert said["caps"].endswith("0000000000000000"), said["caps"]


def test_the_hosts_loopback_and_other_addresses_are_out_of_reach(realm, host):
    port, own = host.server_port, realm.state()["endpoint"].rpartition(":")[2]
    code = f"""
for h, p in (('127.0.0.1', {port}), ('localhost', {port}), ('0.0.0.0', {port}), ('10.0.0.1', 80), ('169.254.169.254', 80), ('192.0.2.1', 80), ('8.8.8.8', 53)):
    tell(h, lambda: dial(h, p))
tell('own', lambda: dial('127.0.0.1', {own}))
tell('name', lambda: socket.gethostbyname('example.com'))
"""
    said = told(realm, "net", code)
    assert said.pop("own") == f"('127.0.0.1', {own})"
    for name, answer in said.items():
        assert "Error" in answer or "error" in answer, (name, answer)
    assert host.seen == 0


def test_the_way_out_refuses_private_addresses_and_those_without_its_password(realm, host):
    port, egress = host.server_port, realm.state()["egress_port"]
    code = f"""
proxy = os.environ.get('HTTP_PROXY') or os.environ.get('http_proxy') or os.environ.get('HTTPS_PROXY') or os.environ['https_proxy']
def through(url, target):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({{'http': url, 'https': url}}))
    try: return opener.open(target, timeout=10).status
    except urllib.error.HTTPError as problem: return problem.code
def connect(target):
    s = socket.create_connection(('127.0.0.1', {egress}), 5)
    import base64, urllib.parse as u
    p = u.urlsplit(proxy); token = base64.b64encode(f'{{p.username}}:{{p.password}}'.encode()).decode()
    s.sendall(f'CONNECT {{target}} HTTP/1.1\\r\\nHost: {{target}}\\r\\nProxy-Authorization: Basic {{token}}\\r\\n\\r\\n'.encode())
    return s.recv(200).split(b' ')[1].decode()
bare = 'http://127.0.0.1:{egress}'
wrong = 'http://files-1:' + '0' * 40 + '@127.0.0.1:{egress}'
for h in ('127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1', '2130706433', '[::ffff:127.0.0.1]'):
    tell('http ' + h, lambda: through(proxy, f'http://{{h}}:{port}/'))
    tell('connect ' + h, lambda: connect(f'{{h}}:{port}'))
for h in ('10.0.0.1:80', '169.254.169.254:80', '192.168.1.1:443'):
    tell('connect ' + h, lambda: connect(h))
tell('bare', lambda: through(bare, 'http://127.0.0.1:{port}/'))
tell('bare out', lambda: through(bare, 'http://example.com/'))
tell('wrong', lambda: through(wrong, 'http://example.com/'))
"""
    said = told(realm, "egress", "import urllib.error\nfor k in ('NO_PROXY', 'no_proxy'): os.environ.pop(k, None)\n" + code)
    assert host.seen == 0, said
    assert said["bare"] == said["bare out"] == said["wrong"] == "407", said
    for name, answer in said.items():
        assert answer in ("400", "403", "407", "502") or "Error" in answer, (name, answer)


def test_jobs_beside_each_other_do_not_meet(realm):
    realm.job(
        "neighbour",
        "import http.server, os\nopen('/tmp/mine', 'w').write('hush')\nprint('up', flush=True)\nhttp.server.HTTPServer(('127.0.0.1', 8099), http.server.SimpleHTTPRequestHandler).serve_forever()",
    )
    eventually(lambda: "up" in realm.log("neighbour"), 60)
    said = told(
        realm,
        "curious",
        "tell('port', lambda: dial('127.0.0.1', 8099))\ntell('tmp', lambda: os.listdir('/tmp'))\ntell('shm', lambda: os.listdir('/dev/shm'))\ntell('ml', lambda: os.listdir('/opt/ml/model'))",
    )
    realm.sm.stop_training_job(TrainingJobName="neighbour")
    assert "ConnectionRefusedError" in said["port"] and "mine" not in said["tmp"] and said["ml"] == "[]"


def test_network_isolation_leaves_no_way_at_all(realm):
    own, egress = realm.state()["endpoint"].rpartition(":")[2], realm.state()["egress_port"]
    code = f"for p in ({own}, {egress}):\n    tell(str(p), lambda: dial('127.0.0.1', p))\ntell('keys', lambda: [k for k in os.environ if k.startswith('AWS_SEC') or 'PROXY' in k.upper()])"
    said = told(realm, "isolated", code, EnableNetworkIsolation=True)
    assert said.pop("keys") == "[]" and all("ConnectionRefusedError" in answer for answer in said.values()), said


def test_a_jobs_credentials_are_its_roles_and_no_more(realm):
    code = "tell('who', lambda: os.environ['AWS_ACCESS_KEY_ID'][:4] + ' ' + str('AWS_SESSION_TOKEN' in os.environ))\ntell('spec', lambda: [f for f in os.listdir('/') if 'run' in f or 'data' in f])"
    assert told(realm, "who", code)["who"] == "ASIA True"


@pytest.mark.parametrize("tier", ["ctypes", "degraded", "no-proc", "full"])
def test_a_job_runs_end_to_end_in_every_tier(tier, monkeypatch):
    if tier not in probe.offered():
        pytest.skip(f"this machine does not offer the tier {tier}")
    with tempfile.TemporaryDirectory(prefix="my-tier-", ignore_cleanup_errors=True) as folder:
        realm = Realm(Path(folder), gateways=1, engines=1, env={"MODELYARD_TIER": tier})
        try:
            realm.up()
            assert json.loads(realm._cli("status", "--json").stdout)["tier"] == tier
            realm.s3.put_object(Bucket=realm.bucket, Key="in/x", Body=b"42")
            source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{realm.bucket}/in/"}}}
            code = "import os; base = os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml'); data = open(base + '/input/data/train/x').read(); open(base + '/model/m', 'w').write(data); print('said', data)"
            entry = [
                "python3",
                "-c",
                "import json, os; exec(json.loads(json.load(open(os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml') + '/input/config/hyperparameters.json'))['code']))",
            ]
            algorithm = {"TrainingImage": BASE, "TrainingInputMode": "File", "ContainerEntrypoint": entry}
            realm.job("tiered", code, InputDataConfig=[{"ChannelName": "train", **source}], AlgorithmSpecification=algorithm)
            job = realm.end("tiered", 120)
            lines = realm.log("tiered")
            assert job["TrainingJobStatus"] == "Completed", (job, lines)
            assert "said 42" in lines and any("no sandbox" in line for line in lines) == (tier == "degraded")
            realm.s3.head_object(Bucket=realm.bucket, Key="out/tiered/output/model.tar.gz")
        finally:
            realm.down()
