"""What one user can take from the others: disk, processor, threads."""

from __future__ import annotations

import os
import time

from modelyard.kernel.errors import validation
from modelyard.runtime.process.logfile import LogFile
from modelyard.runtime.process.runtime import _delete
from modelyard.services.logs.patterns import matcher
from modelyard.services.sagemaker.training_job.metrics import Finder
from modelyard.wire.codecs import json as json_codec
from modelyard.wire.codecs import xml
from tests.support.patience import SLOWNESS


def test_the_log_of_a_run_has_an_end(tmp_path):
    log = LogFile(str(tmp_path / "log"), most=10_000)
    for _ in range(1000):
        log.feed(b"spam " * 20 + b"\n")
    log.say("[modelyard] a word of the platform")
    log.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert (tmp_path / "log").stat().st_size < 12_000
    assert "reached its largest size" in lines[-2] and "a word of the platform" in lines[-1]
    assert sum("largest size" in line for line in lines) == 1


def test_a_metric_expression_cannot_hold_the_engine():
    lines = [(1.0, "a" * 5000 + "b"), (2.0, "loss=0.5")] * 20
    began = time.monotonic()
    finder = Finder([{"Name": "evil", "Regex": "(a+)+$"}, {"Name": "loss", "Regex": "loss=([0-9.]+)"}])
    seen = [one for line in lines for one in finder.find(*line)]
    assert time.monotonic() - began < 3 * SLOWNESS and seen == [("loss", 0.5, 2.0)] * 20


def test_a_filter_expression_cannot_hold_the_gateway():
    import pytest

    from modelyard.kernel.errors import ApiError

    began = time.monotonic()
    with pytest.raises(ApiError):
        matcher("%(a+)+$%", validation)("a" * 5000 + "b")
    assert time.monotonic() - began < 3 * SLOWNESS


def test_what_a_run_left_behind_can_be_removed(tmp_path):
    """A folder without permission to write, and links in it that lead out."""
    outside = tmp_path / "outside"
    outside.write_text("kept")
    outside.chmod(0o444)
    left = tmp_path / "run"
    (left / "d").mkdir(parents=True)
    (left / "d/link").symlink_to(outside)
    (left / "d/file").write_text("x")
    (left / "d").chmod(0o555)
    _delete_as_nobody(left) if os.geteuid() == 0 else _delete(left)
    assert not left.exists() and outside.read_text() == "kept" and outside.stat().st_mode & 0o777 == 0o444


def _delete_as_nobody(folder) -> None:
    """Root may write anywhere: only another user meets the missing permission."""
    for path in (folder.parent, folder, folder / "d", folder / "d/file"):
        os.chown(path, 65534, 65534)
    os.chown(folder / "d/link", 65534, 65534, follow_symlinks=False)
    for above in folder.parents:
        if above != folder.parent and above.is_relative_to("/tmp") and str(above) != "/tmp":
            above.chmod(0o755)
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            _delete(folder)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_nesting_has_a_bound():
    import pytest

    from modelyard.kernel.errors import ApiError

    with pytest.raises(ApiError):
        xml.parse(b"<a>" * 5000 + b"</a>" * 5000)
    with pytest.raises(ApiError):
        xml.parse(b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>')
    with pytest.raises(ApiError):
        json_codec.loads(b"[" * 100_000 + b"]" * 100_000)


def test_a_folder_of_another_user_holds_no_sockets_of_ours(tmp_path, monkeypatch):
    import pytest

    from modelyard.kernel import wake

    monkeypatch.setattr(wake.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="not a folder of this user"):
        wake.Bell(tmp_path / "s", "gateway")
