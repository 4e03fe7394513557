"""The runtime's small parts by themselves: log lines, control groups on a fake folder, states, index configuration."""

from __future__ import annotations

import json
import os

import pytest

from modelyard.runtime import index_config
from modelyard.runtime.process import cgroup, probe, root, rundir
from modelyard.runtime.process.logfile import LONGEST_LINE, LogFile


def texts(path) -> list[bytes]:
    return [line.partition(b" ")[2] for line in path.read_bytes().split(b"\n")[:-1]]


def test_lines_come_whole_however_they_are_cut(tmp_path):
    log = LogFile(str(tmp_path / "log"))
    for piece in (b"on", b"e\ntwo\n\nth", b"ree", b"\nlast \xff"):
        log.feed(piece)
    log.close()
    assert texts(tmp_path / "log") == [b"one", b"two", b"", b"three", "last \ufffd".encode()]


def test_long_lines_are_cut(tmp_path):
    log = LogFile(str(tmp_path / "log"))
    log.feed(b"x" * (LONGEST_LINE + 5) + b"\ny\n")
    log.close()
    assert [len(text) for text in texts(tmp_path / "log")] == [LONGEST_LINE, 5, 1]


def test_a_full_disk_loses_lines_and_says_so(tmp_path, monkeypatch):
    log, write = LogFile(str(tmp_path / "log")), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    log.feed(b"lost\n")
    monkeypatch.setattr(os, "write", write)
    log.feed(b"kept\n")
    log.close()
    said, kept = texts(tmp_path / "log")
    assert b"bytes of output were lost: no space left" in said and kept == b"kept"


@pytest.mark.parametrize("state", [{"a": None, "b": True, "c": 1, "d": 1.5, "e": 'q"\\\n\u20ac'}, {}])
def test_states_are_json(state):
    assert json.loads(rundir.encode_state(state)) == state


def fake_v2(tmp_path, controllers: str):
    """A version 2 hierarchy whose files are plain ones (the kernel would act on them)."""
    for folder in (tmp_path, tmp_path / "modelyard"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text(controllers)
        (folder / "cgroup.subtree_control").write_text(controllers)
    (tmp_path / "self").write_text("0::/user.slice/me\n")
    return cgroup.bases(str(tmp_path), str(tmp_path / "self"))


def test_version_2_limits(tmp_path):
    where = fake_v2(tmp_path, "memory cpu pids")
    base = str(tmp_path / "modelyard")
    assert where == {"version": 2, "memory": base, "cpu": base, "pids": base}
    group, folder = cgroup.Group(where, "run"), tmp_path / "modelyard/modelyard-run"
    folder.mkdir()
    for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cgroup.procs"):
        (folder / name).write_text("")
    group.make(1 << 30, 0.5, 100)
    group.join()
    written = {name: (folder / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "cgroup.procs")}
    assert written == {
        "memory.max": "1073741824",
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "pids.max": "100",
        "cgroup.procs": "0",
    }
    assert group.oom_kills() == 0
    (folder / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 2\n")
    assert group.oom_kills() == 2 and group.limits_memory()


def test_version_2_with_only_some_controllers(tmp_path):
    where = fake_v2(tmp_path, "cpu")
    assert set(where) == {"version", "cpu"}
    assert not cgroup.Group(where, "run").limits_memory()


def test_no_groups_at_all(tmp_path):
    assert cgroup.bases(str(tmp_path), str(tmp_path / "missing")) == {}
    (tmp_path / "self").write_text("4:memory:/x\n0::/\n")
    assert cgroup.bases(str(tmp_path / "nothing"), str(tmp_path / "self")) == {}


def test_the_index_configuration_of_pip_in_uvs_words(monkeypatch, tmp_path):
    monkeypatch.setattr(index_config, "settings", lambda: {
        "index-url": "https://index.example/simple", "extra-index-url": f"file://{tmp_path}/simple https://two.example/simple",
        "find-links": f"{tmp_path}/wheels", "trusted-host": "two.example", "cert": f"{tmp_path}/ca.pem", "timeout": "99", "proxy": "http://p:1"})  # fmt: skip
    for name in ("simple", "wheels"):
        (tmp_path / name).mkdir()
    (tmp_path / "ca.pem").write_text("")
    assert index_config.uv_env() == {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX": f"file://{tmp_path}/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": f"{tmp_path}/wheels",
        "UV_INSECURE_HOST": "two.example",
        "SSL_CERT_FILE": f"{tmp_path}/ca.pem",
        "UV_HTTP_TIMEOUT": "99",
    }
    pip = index_config.pip_env()
    assert pip["PIP_FIND_LINKS"] == f"{tmp_path}/wheels" and "PIP_PROXY" not in pip, "in the box the platform's proxy is the only one"
    assert set(index_config.paths()) == {str(tmp_path / "wheels"), str(tmp_path), str(tmp_path / "ca.pem")}


def test_a_forced_tier_must_exist():
    with pytest.raises(ValueError, match="no such tier"):
        probe.probe("best")


def test_a_refused_tier_says_why(monkeypatch):
    monkeypatch.delenv("MODELYARD_TIER", raising=False)
    monkeypatch.setattr(probe.shutil, "which", lambda name: None)
    found = probe.probe()
    assert found.tier in ("ctypes", "degraded") and "not installed" in found.refused["full"]


def test_a_bubblewrap_that_does_not_work_is_not_taken(monkeypatch):
    monkeypatch.delenv("MODELYARD_TIER", raising=False)
    monkeypatch.setattr(probe.shutil, "which", lambda name: "/bin/false")
    found = probe.probe()
    assert found.tier in ("ctypes", "degraded") and found.refused["full"] and found.refused["no-proc"]


def test_steps_in_bubblewraps_words():
    steps = [("ro", "/usr", "/usr"), ("link", "usr/bin", "/bin"), ("tmpfs", "/tmp"), ("proc", "/proc")]
    assert root.bwrap_arguments(steps) == [
        "--ro-bind",
        "/usr",
        "/usr",
        "--symlink",
        "usr/bin",
        "/bin",
        "--tmpfs",
        "/tmp",
        "--proc",
        "/proc",
    ]


def test_a_bomb_is_told_by_refused_forks_that_never_pause():
    storm = cgroup.ForkStorm()
    assert not storm.look(0, 1.0) and not storm.blows
    assert not storm.look(400, 2.0) and storm.blows
    assert storm.look(501, 2.25), "however many looks it takes"
    assert not storm.look(501, 2.5) and not storm.blows, "a pause"
    refused = 501
    for tick in range(20):
        refused += 1
        assert not storm.look(refused, 3.0 + tick / 4)
    assert storm.look(refused + 1, 8.0), "few, because they hold each other up"
    patient = cgroup.ForkStorm()
    assert not any(patient.look(10 * (n - n % 2), float(n)) for n in range(100)), "tries again now and then"
