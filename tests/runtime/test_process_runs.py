"""The contract of runtime/base.py, on every tier."""

from __future__ import annotations

import os
import signal
import time

import pytest

from modelyard.runtime.process import plan
from tests.runtime.conftest import until


def test_a_run_ends_with_its_exit_code_and_its_output(bench):
    before = time.time()
    run, output = bench.run("a", ["sh", "-c", "echo out; echo err >&2; printf unfinished; exit 3"])
    assert (run.state, run.exit_code, run.signal, run.ended_by) == ("exited", 3, None, None)
    assert output == "out\nerr\nunfinished\n"
    assert before <= run.started_at <= run.finished_at <= time.time()


def test_log_lines_carry_epoch_milliseconds_and_the_platforms_lines_come_first(bench):
    before = time.time() * 1000
    bench.run("a", ["sh", "-c", "echo payload"], first_log_lines=["XGBoost 1.7.6 is used"])
    lines = (bench.runtime.folder("a") / "log").read_text().splitlines()
    assert lines[0].partition(" ")[2] == "XGBoost 1.7.6 is used"
    assert lines[-1].partition(" ")[2] == "payload"
    assert all(before - 1 <= int(line.split(" ", 1)[0]) <= time.time() * 1000 for line in lines)


def test_output_is_there_while_the_payload_runs(bench):
    bench.start("a", ["sh", "-c", "echo soon; sleep 60"])
    until(lambda: bench.output("a") if (bench.runtime.folder("a") / "log").exists() else "", lambda text: text == "soon\n")
    assert bench.runtime.look("a").state == "running"


def test_what_was_never_started_is_absent(bench):
    assert bench.runtime.look("nothing").state == "absent"
    assert bench.runtime.ids() == []


def test_ensure_of_a_run_that_ran_is_a_look(bench):
    bench.run("a", ["sh", "-c", "echo once"])
    assert bench.start("a", ["sh", "-c", "echo once"]).state == "exited"
    assert bench.output("a") == "once\n"


def test_environment_is_what_was_given_and_nothing_of_ours(bench, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    _, output = bench.run("a", ["sh", "-c", "env"], {"MINE": "x y", "AWS_SECRET_ACCESS_KEY": "hush"}, cpus=0.5)
    env = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    assert env["MINE"] == "x y" and env["PYTHONUNBUFFERED"] == "1" and env["MODELYARD_CPUS"] == "0.5"
    assert "SECRET_OF_THE_HOST" not in env and "MODELYARD_ROLE" not in env


def test_secrets_of_the_environment_touch_no_disk(bench):
    bench.run("a", ["true"], {"AWS_SECRET_ACCESS_KEY": "hushhush"})
    for path in bench.runtime.folder("a").rglob("*"):
        if path.is_file():
            assert b"hushhush" not in path.read_bytes(), path


def test_opt_ml_is_the_given_folder_and_where_the_payload_starts(bench, tier):
    bench.ml("a").mkdir(parents=True)
    (bench.ml("a") / "in").write_text("42")
    argv = ["sh", "-c", "cat in > out; pwd"] if tier == "degraded" else ["sh", "-c", "cat /opt/ml/in > /opt/ml/out; pwd"]
    run, output = bench.run("a", argv)
    assert run.exit_code == 0, output
    assert (bench.ml("a") / "out").read_text() == "42"
    assert output.strip() == (str(bench.ml("a")) if tier == "degraded" else "/opt/ml")


def test_stop_reaches_the_payload_itself_as_sigterm(bench):
    bench.start("a", ["sh", "-c", "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.02; done"])
    until(lambda: bench.output("a"), lambda text: "ready" in text)
    bench.runtime.stop("a")
    run = bench.wait("a")
    assert (run.exit_code, run.ended_by) == (7, "stop")
    assert "got it" in bench.output("a")


def test_grace_over_kills_the_whole_tree(bench):
    bench.start("a", ["sh", "-c", "trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo ready; while :; do sleep 0.05; done"])
    until(lambda: bench.output("a"), lambda text: "ready" in text)
    bench.runtime.stop("a", grace_s=0.2)
    run = bench.wait("a")
    assert (run.signal, run.exit_code, run.ended_by) == (signal.SIGKILL, 137, "stop")


def test_a_second_stop_shortens_the_grace(bench):
    bench.start("a", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    until(lambda: bench.output("a"), lambda text: "ready" in text)
    bench.runtime.stop("a", grace_s=100)
    bench.runtime.stop("a", grace_s=0)
    assert bench.wait("a", seconds=5).signal == signal.SIGKILL


def test_daemons_of_the_payload_end_with_it(bench):
    marker = f"9{os.getpid()}.{time.monotonic_ns() % 10**9}"
    bench.run("a", ["sh", "-c", f"(setsid sleep {marker} > /dev/null 2>&1 &) ; sleep 0.1"])
    until(lambda: _processes_with(marker), lambda found: not found, 5)


def test_max_runtime_is_real_seconds(bench):
    run, _ = bench.run("a", ["sleep", "60"], max_runtime_s=0.3)
    assert run.ended_by == "max-runtime" and run.signal == signal.SIGTERM
    assert 0.3 <= run.finished_at - run.started_at < 30


def test_stop_before_start_leaves_a_tombstone(bench):
    bench.runtime.stop("a")
    assert bench.start("a", ["sh", "-c", "echo never"]).state == "exited"
    run = bench.runtime.look("a")
    assert (run.ended_by, run.exit_code, run.started_at) == ("stop", None, None)
    assert not (bench.runtime.folder("a") / "log").exists()


def test_out_of_memory_is_told_as_such(bench):
    run, _ = bench.run("a", ["python3", "-c", "x = b'x' * 300_000_000; import time; time.sleep(20)"], memory_bytes=100 << 20)
    assert (run.ended_by, run.exit_code) == ("oom", 137)


def test_out_of_memory_is_seen_without_control_groups_too(bench):
    bench.runtime.cgroups = {}
    run, _ = bench.run("a", ["python3", "-c", "x = b'x' * 300_000_000; import time; time.sleep(20)"], memory_bytes=100 << 20)
    assert (run.ended_by, run.exit_code) == ("oom", 137)


def test_a_program_that_is_not_there_is_a_failure_with_a_reason(bench):
    run, _ = bench.run("a", ["no-such-program"])
    assert run.exit_code == 127 and run.detail
    assert "no-such-program" in (bench.runtime.folder("a") / "log").read_text()


def test_a_mount_that_does_not_exist_is_refused_before_anything_starts(best):
    from modelyard.runtime.base import Mount

    with pytest.raises(FileNotFoundError, match="/nowhere"):
        best.start("a", ["true"], mounts=[Mount("/nowhere/at/all", "/data")])
    assert best.runtime.look("a").state == "absent"


def test_remove_kills_and_forgets(bench):
    bench.start("a", ["sh", "-c", "trap '' TERM; mkdir /opt/ml/x 2>/dev/null; while :; do sleep 0.05; done"])
    bench.wait("a", "running")
    pid = bench.runtime.look("a").pid
    bench.runtime.remove("a")
    assert bench.runtime.look("a").state == "absent" and bench.runtime.ids() == []
    until(lambda: os.path.exists(f"/proc/{pid}"), lambda alive: not alive, 5)


def test_remove_copes_with_folders_nobody_may_write(best):
    best.run("a", ["sh", "-c", "mkdir -p /tmp/a/b && touch /tmp/a/b/c && chmod 500 /tmp/a/b /tmp/a"])
    best.runtime.remove("a")
    assert not best.runtime.folder("a").exists()


def test_sweep_removes_runs_without_a_record(best):
    for name in ("a", "b"):
        best.start(name, ["sleep", "60"])
    assert best.runtime.sweep({"a"}.__contains__) == ["b"]
    assert best.runtime.ids() == ["a"]
    assert best.runtime.look("a").state in ("starting", "running")


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".hidden", "a" * 129])
def test_a_run_id_cannot_lead_out_of_the_folder(best, name):
    with pytest.raises(ValueError, match="not a run id"):
        best.runtime.look(name)


def test_cpu_quota_is_kept(best):
    if "cpu" not in best.runtime.cgroups:
        pytest.skip("no writable cpu control group")
    burn = "import time; s = time.time()\nwhile time.process_time() < 0.3: pass\nprint(time.time() - s)"
    _, output = best.run("a", ["python3", "-c", burn], cpus=0.25)
    assert float(output) > 0.8


def test_control_groups_are_gone_after_the_run(best):
    best.run("a", ["true"], memory_bytes=1 << 30, cpus=1)
    own = "modelyard-" + plan.group_name(best.runtime.folder("a"))
    for name, base in best.runtime.cgroups.items():
        assert name == "version" or own not in os.listdir(base)


def _processes_with(word: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if word.encode() in file.read() and pid != str(os.getpid()):
                    found.append(pid)
        except OSError:
            continue
    return found
