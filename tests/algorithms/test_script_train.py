"""Script mode training, run as the container runs it."""

from __future__ import annotations

import http.server
import io
import json
import signal
import subprocess
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from modelyard.algorithms.script.process import error_message
from modelyard.algorithms.script.source import ArchiveError, unpack

pytestmark = pytest.mark.slow


@pytest.fixture
def box(container):
    return container("scikit-learn-1.2")


def give(box, tmp_path: Path, files: dict[str, str], program: str, **hyperparameters: str) -> None:
    for name, text in files.items():
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_text(text)
    code = json.dumps(str(tmp_path / "code"))
    box.write("hyperparameters", hyperparameters | {"sagemaker_program": json.dumps(program), "sagemaker_submit_directory": code})


def test_a_script_runs_with_its_arguments(box, tmp_path):
    give(
        box, tmp_path, {"train.py": "import sys, os; print(sys.argv[1:], os.environ['SM_MODEL_DIR'])"}, "train.py", lr="0.5", name='"it\'s"'
    )
    done = box.run("train", "scikit-learn")
    assert done.returncode == 0
    assert f"""['--lr', '0.5', '--name', "it's"] {box.base}/model""" in done.stdout
    assert (box.base / "output" / "success").exists() and not (box.base / "output" / "failure").exists()


def test_a_failing_script_is_told_as_the_toolkit_does(box, tmp_path):
    give(box, tmp_path, {"train.py": "def f():\n    raise ValueError('boom')\nf()"}, "train.py", epochs="3")
    done = box.run("train", "scikit-learn")
    assert done.returncode == 1
    command = f"{box.python} train.py --epochs 3"
    assert box.failure == f'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: boom"\nCommand "{command}"'
    assert "Reporting training FAILURE" in done.stdout


def test_exit_codes_and_signals(box, tmp_path):
    give(box, tmp_path, {"train.py": "import sys; sys.exit(7)"}, "train.py")
    assert box.run("train", "scikit-learn").returncode == 1 and "ExitCode 7\n" in box.failure
    (box.base / "output" / "failure").unlink()
    (box.base / "code" / "train.py").write_text("import os; os.kill(os.getpid(), 9)")
    assert box.run("train", "scikit-learn").returncode == 1
    assert "ExitCode 137\n" in box.failure and "OutOfMemory: Process killed by SIGKILL (signal 9)" in box.failure


def test_shell_scripts_and_packages(box, tmp_path):
    give(box, tmp_path, {"go.sh": 'echo "shell $1 $2"'}, "go.sh", a="'$HOME'")
    done = box.run("train", "scikit-learn")
    assert done.returncode == 0 and "shell -a '$HOME'" in done.stdout


def test_a_missing_entry_point(box, tmp_path):
    give(box, tmp_path, {"other.py": ""}, "train.py")
    assert box.run("train", "scikit-learn").returncode == 1
    assert box.failure.startswith("Framework Error: \n") and "The entry point train.py is not in" in box.failure


def test_an_index_out_of_reach_is_told_as_that(box, tmp_path):
    give(box, tmp_path, {"train.py": "", "requirements.txt": "tinydb"}, "train.py")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    assert box.run("train", "scikit-learn", **nowhere).returncode == 1
    assert box.failure.startswith("InstallRequirementsError:") and "EnableNetworkIsolation" in box.failure


def test_requirements_that_cannot_be_installed(box, tmp_path):
    give(box, tmp_path, {"train.py": "print('ran')", "requirements.txt": "./no-such-folder"}, "train.py")
    done = box.run("train", "scikit-learn")
    assert done.returncode == 1 and box.failure.startswith("InstallRequirementsError:\nExitCode 1\n") and "no-such-folder" in box.failure


def wheel(folder: Path, name: str, code: str) -> str:
    """Write a wheel of one module; answers its file name."""
    file = f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(folder / file, "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nRequires-Dist: numpy\n")
        archive.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}-1.dist-info/RECORD", "")
    return file


def test_requirements_go_over_the_image(box, tmp_path):
    """They are found by the script, what the image has is not installed again, and the image stays as it is."""
    code = (
        "import subprocess, sys, extra, sklearn\n"
        "subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', './late-1-py3-none-any.whl'])\n"
        "import late; print(extra.__file__, late.__file__, sys.executable)"
    )
    give(box, tmp_path, {"train.py": code}, "train.py")
    wheel(tmp_path / "code", "late", "")
    (tmp_path / "code" / "requirements.txt").write_text("./" + wheel(tmp_path / "code", "extra", ""))
    site = next((box.python.parents[1] / "lib").glob("python3*")) / "site-packages"
    before = sorted(site.iterdir())
    done = box.run("train", "scikit-learn")
    assert done.returncode == 0, done.stdout
    over = next((Path(box.variables["MODELYARD_PACKAGES"]) / "lib").glob("python3*")) / "site-packages"
    assert f"{over}/extra.py {over}/late.py {box.python}" in done.stdout
    assert not (over / "numpy").exists() and sorted(site.iterdir()) == before


def test_sigterm_reaches_the_script(box, tmp_path):
    code = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *a: (print('saving'), sys.exit(0)))\nprint('ready')\ntime.sleep(600)"
    )
    give(box, tmp_path, {"train.py": code}, "train.py")
    command = [str(box.python), "-m", "modelyard_algorithms", "train", "scikit-learn"]
    process = subprocess.Popen(command, env=box.variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "ready\n"  # live, though the script goes on
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == "saving\n" and process.wait(60) == 0


def test_code_from_s3(box):
    """The archive is read with a signed GET from the endpoint of the environment."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(text := b"print('from s3')")
        tar.addfile(info, io.BytesIO(text))
    seen = []

    class S3(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, dict(self.headers)))
            self.send_response(200 if self.path == "/bucket/some%20job/source/sourcedir.tar.gz" else 404)
            self.end_headers()
            self.wfile.write(data.getvalue())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), S3)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    names = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token", "AWS_REGION": "eu-west-1"}
    box.variables |= names | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    place = {"sagemaker_submit_directory": '"s3://bucket/some job/source/sourcedir.tar.gz"'}
    box.write("hyperparameters", place | {"sagemaker_program": '"train.py"'})
    done = box.run("train", "scikit-learn")
    server.shutdown()
    assert done.returncode == 0 and "from s3" in done.stdout, done.stdout
    assert seen[0][1]["Authorization"] == expected_authorization(f"http://127.0.0.1:{server.server_port}{seen[0][0]}", seen[0][1])


def expected_authorization(url: str, sent: dict[str, str]) -> str:
    """botocore's signature of the same request."""
    sent = {name.lower(): value for name, value in sent.items()}
    signed = ("x-amz-content-sha256", "x-amz-date", "x-amz-security-token")
    request = AWSRequest("GET", url, headers={name: sent[name] for name in signed})
    request.context["timestamp"] = sent["x-amz-date"]
    auth = S3SigV4Auth(Credentials("AKID", "secret", "token"), "s3", "eu-west-1")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential=AKID/{sent['x-amz-date'][:8]}/eu-west-1/s3/aws4_request, SignedHeaders={names}, Signature={signature}"
    )


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [("../out", tarfile.REGTYPE, ""), ("/abs", tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "../x"), ("h", tarfile.LNKTYPE, "/etc/passwd"),
     ("d", tarfile.CHRTYPE, "")],
)  # fmt: skip
def test_archives_that_leave_their_folder_are_refused(tmp_path, name, kind, link):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    (tmp_path / "target").mkdir()
    with pytest.raises(ArchiveError):
        unpack(str(tmp_path / "a.tar.gz"), str(tmp_path / "target"))
    assert not list((tmp_path / "target").iterdir())


def test_error_messages():
    chained = "Traceback (most recent call last):\n  File\nKeyError: 1\n\nDuring …\n\nTraceback (most recent call last):\n  x\nOSError: two\nlines\n"
    assert error_message(chained) == "OSError: two\nlines"
    assert error_message("warning\nlast words\n") == "last words"
    assert error_message("") == ""
