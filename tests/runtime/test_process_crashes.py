"""kill -9 at every place, two callers at once, restarts: a run starts at most once and is never forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from modelyard.runtime.process import ProcessRuntime, rundir
from tests.runtime.conftest import until
from tests.runtime.test_process_runs import _processes_with


def test_killed_shim_means_lost_and_a_dead_payload(bench):
    marker = f"8{os.getpid()}.{time.monotonic_ns() % 10**9}"
    bench.start("a", ["sh", "-c", f"sleep {marker} & (setsid sleep {marker} &) ; echo ready; wait"])
    until(lambda: bench.output("a"), lambda text: "ready" in text)
    time.sleep(0.6)  # the degraded tier's guardian looks twice a second
    os.kill(bench.runtime.look("a").pid, signal.SIGKILL)
    assert bench.wait("a", "lost", 5).exit_code is None
    until(lambda: _processes_with(marker), lambda found: not found, 5)
    assert bench.start("a", ["true"]).state == "lost", "a run id is used once"


def test_killed_payload_is_an_ordinary_end(bench):
    bench.start("a", ["sh", "-c", "kill -9 $$"])
    run = bench.wait("a")
    assert (run.exit_code, run.signal, run.ended_by) == (137, signal.SIGKILL, None)


def test_a_run_outlives_its_caller_and_is_found_by_the_next(bench, tier):
    code = textwrap.dedent(f"""
        import os, signal
        from modelyard.config import Settings
        from modelyard.runtime.base import RunSpec
        from modelyard.runtime.process import ProcessRuntime
        from pathlib import Path
        runtime = ProcessRuntime(Settings(data=Path({str(bench.settings.data)!r})))
        runtime.ensure(RunSpec("a", ["sh", "-c", "sleep 0.5; echo survived; exit 4"], {{}}, {str(bench.ml("a"))!r}))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src"}, start_new_session=True)
    assert done.returncode == -signal.SIGKILL
    assert ProcessRuntime(bench.settings).look("a").state in ("starting", "running")
    assert bench.wait("a").exit_code == 4
    assert bench.output("a") == "survived\n"


STEPS = ["mkdir", "look", "try_lock", "make", "write_atomic", "Popen", "communicate", "close"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_caller_killed_between_any_two_steps_leaves_a_run_that_starts_once(best, step, when):
    """The caller kills itself before or after one step of `ensure`; the next caller's `ensure` must lead to one start."""
    code = textwrap.dedent(f"""
        import os, signal, subprocess, pathlib
        from modelyard.config import Settings
        from modelyard.runtime.base import RunSpec
        from modelyard.runtime.process import runtime as module, rundir, plan
        runtime = module.ProcessRuntime(Settings(data=pathlib.Path({str(best.settings.data)!r})))
        def break_at(owner, name):
            original = getattr(owner, name)
            def broken(*a, **k):
                if {when!r} == "before": os.kill(os.getpid(), signal.SIGKILL)
                result = original(*a, **k)
                os.kill(os.getpid(), signal.SIGKILL)
                return result
            setattr(owner, name, broken)
        owners = dict(mkdir=pathlib.Path, look=module.ProcessRuntime, try_lock=rundir, make=plan, write_atomic=rundir,
                      Popen=subprocess, communicate=subprocess.Popen, close=module.os)
        break_at(owners[{step!r}], {step!r})
        runtime.ensure(RunSpec("a", ["sh", "-c", "echo started >> /opt/ml/starts"], {{}}, {str(best.ml("a"))!r}))
    """)
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "src"})
    assert done.returncode == -signal.SIGKILL

    def ensure_again():
        return best.start("a", ["sh", "-c", "echo started >> /opt/ml/starts"])

    until(ensure_again, lambda run: run.state == "exited", 10)
    assert (best.ml("a") / "starts").read_text() == "started\n"


def test_two_callers_at_once_start_one_run(best):
    for number in range(8):
        name = f"a{number}"
        gate = threading.Barrier(4)
        wrong: list = []

        def caller(name=name, gate=gate, wrong=wrong):
            runtime = ProcessRuntime(best.settings)
            gate.wait()
            try:
                runtime.ensure(best.spec(name, ["sh", "-c", "echo started >> /opt/ml/starts"]))
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=caller) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        best.wait(name)
        assert (best.ml(name) / "starts").read_text() == "started\n"


def test_a_stop_at_any_moment_of_the_start_is_heard(best):
    for number in range(20):
        name = f"a{number}"
        stopper = threading.Timer(number * 0.006, best.runtime.stop, [name])
        stopper.start()
        best.start(name, ["sleep", "60"])
        stopper.join()
        run = best.wait(name, seconds=5)
        assert run.ended_by == "stop", (number, run)


def test_a_later_process_with_the_shims_number_is_never_signalled(best):
    best.start("a", ["sleep", "60"])
    best.wait("a", "running")
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        state = best.runtime.folder("a") / "state.json"
        shim = best.runtime.look("a").pid
        state.write_text(state.read_text().replace(f'"pid": {shim}', f'"pid": {stranger.pid}'))
        best.runtime.stop("a")
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.5)
    finally:
        stranger.kill()
        stranger.wait()
        os.kill(shim, signal.SIGKILL)


def test_two_shims_cannot_hold_one_run(tmp_path):
    first = rundir.try_lock(str(tmp_path))
    assert first is not None and rundir.try_lock(str(tmp_path)) is None and rundir.is_locked(str(tmp_path))
    os.close(first)
    assert not rundir.is_locked(str(tmp_path))
