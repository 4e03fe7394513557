"""The supervisor: readiness, restarts, takeover after kill -9, the lock, a clean end."""

import os
import signal

import pytest

from modelyard import datafolder, processes, supervisor
from modelyard.cli import live, stopping
from tests.cli.conftest import wait


def test_ready_state_names_every_process(platform):
    state = platform.start().ready()
    assert sorted(p["role"] for p in state["processes"]) == ["engine", "gateway", "supervisor"]
    assert state["processes"][0]["pid"] == platform.process.pid
    assert live.health(state["endpoint"])["tier"] == "full"


@pytest.mark.parametrize("role", ["gateway", "engine"])
def test_a_killed_child_is_back_within_a_second(platform, role):
    state = platform.start().ready()
    old = platform.pid(role)
    os.kill(old, signal.SIGKILL)
    wait(lambda: platform.pid(role) not in (None, old), 1.0)
    assert live.health(state["endpoint"])


def test_connections_wait_while_the_gateway_is_restarted(platform):
    state = platform.start().ready()
    for _ in range(3):
        old = platform.pid("gateway")
        os.kill(old, signal.SIGKILL)
        wait(lambda pid=old: not processes.alive(pid))
        assert live.health(state["endpoint"])["pid"] != old
        wait(lambda pid=old: platform.pid("gateway") not in (None, pid))


def test_a_failing_child_is_started_ever_more_slowly_and_a_hopeless_start_given_up(platform):
    platform.start(1, "--fail")
    said, _ = platform.process.communicate(timeout=20)
    assert platform.process.returncode == 1
    ends = [said.count(f"{role} 0 ended (exit 7)") for role in ("gateway", "engine")]
    assert max(ends) == supervisor.HOPELESS_FAILURES, "whichever is the first to have failed so often ends the start"
    assert "in 0.25 s" in said and "in 0.5 s" in said
    assert "does not start" in said and "no engine today" in said
    assert datafolder.holder(platform.data) is None


def test_the_end_is_clean(platform):
    state = platform.start().ready()
    platform.process.terminate()
    assert platform.process.wait(20) == 0
    assert not any(processes.alive(p["pid"]) for p in state["processes"])
    assert datafolder.holder(platform.data) is None
    assert not supervisor.answers("127.0.0.1", int(state["endpoint"].rpartition(":")[2]))


def test_children_outlive_a_killed_supervisor_and_the_next_one_takes_over(platform):
    before = platform.start().ready()
    platform.process.kill()
    platform.process.wait()
    assert live.health(before["endpoint"]), "the gateway went on"
    after = platform.start().ready()
    assert live.health(after["endpoint"])
    left = [p for p in before["processes"] if processes.alive(p["pid"], p["start"])]
    assert left == []


def test_down_ends_what_a_killed_supervisor_left(platform):
    before = platform.start().ready()
    platform.process.kill()
    platform.process.wait()
    assert stopping.stop(platform.data)["processes"] == 2
    assert not any(processes.alive(p["pid"], p["start"]) for p in before["processes"])


def test_down_ends_a_running_platform(platform):
    before = platform.start().ready()
    assert stopping.stop(platform.data)["processes"] == 3
    assert platform.process.wait(60) == 0
    assert not any(processes.alive(p["pid"], p["start"]) for p in before["processes"])
    assert stopping.stop(platform.data) == {"processes": 0, "runs": 0}


def test_a_second_supervisor_learns_who_holds_the_folder(platform):
    state = platform.start().ready()
    with pytest.raises(datafolder.Held) as held:
        datafolder.Lock(platform.data)
    assert held.value.holder == {"pid": platform.process.pid, "endpoint": state["endpoint"]}


def test_a_taken_port_names_its_owner():
    listener = supervisor.listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with pytest.raises(supervisor.PortTaken) as taken:
        supervisor.listen("127.0.0.1", port)
    listener.close()
    assert taken.value.owner[0] == os.getpid()
