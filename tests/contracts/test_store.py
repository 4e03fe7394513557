"""The store's contract: guarded writes, one event per change, leases, wakes, lists, tags, route tables."""

from __future__ import annotations

import threading

import pytest

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.store import Moved, Step, Store, Taken

JOB = Lifecycle("job", "New", {"New": {"Running"}, "Running": {"Done", "Failed"}})
PLACE = {"account": "123456789012", "region": "us-east-1"}


def make(store, name="a", **more):
    return store.create(JOB, **PLACE, name=name, arn=f"arn:job/{name}", spec={"n": 1}, **more)


def test_a_created_record_reads_back_whole_by_every_key(store):
    job = make(store, tags={"k": "v"})
    assert store.get("job", *PLACE.values(), "a") == job == store.by_uid(job.uid) == store.by_arn(job.arn)
    assert store.tags(job.arn) == {"k": "v"}


def test_a_name_is_taken_once_per_kind_account_and_region(store):
    first = make(store)
    with pytest.raises(Taken) as taken:
        make(store)
    assert taken.value.record.uid == first.uid
    store.create(JOB, account="210987654321", region="us-east-1", name="a", arn="arn:other", spec={})
    assert len(store.list("job")) == 2


def test_every_change_has_one_event_and_revisions_have_no_gap(store, clock):
    job = make(store)
    job = store.request(job, {"stop": True})
    job = store.apply(JOB, job, Step("Running", {"x": 1}), None)
    clock.advance(5)
    job = store.apply(JOB, job, Step("Done"), None)
    store.delete(job)
    events = store.events_of(job.uid)
    assert [(e.revision, e.old, e.new) for e in events] == [
        (1, None, "New"), (2, "New", "New"), (3, "New", "Running"), (4, "Running", "Done"), (5, "Done", None),
    ]  # fmt: skip
    assert [e.seq for e in events] == sorted(e.seq for e in events)
    assert store.events(events[1].seq)[0] == events[2]


def test_a_write_that_saw_an_old_revision_changes_nothing(store):
    seen = make(store)
    store.request(seen, {"stop": True})
    assert store.apply(JOB, seen, Step("Running"), None) is None
    with pytest.raises(Moved):
        store.request(seen, {"other": 1})
    with pytest.raises(Moved):
        store.delete(seen)
    assert store.by_uid(seen.uid).status == "New"
    assert len(store.events_of(seen.uid)) == 2


def test_an_arrow_that_the_lifecycle_lacks_is_refused(store):
    with pytest.raises(ValueError, match="New → Done"):
        store.apply(JOB, make(store), Step("Done"), None)


def test_a_look_that_changes_nothing_leaves_no_event_and_sets_the_next_due_time(store, clock):
    job = make(store)
    store.apply(JOB, job, Step("New", {}), clock.now() + 7)
    assert len(store.events_of(job.uid)) == 1
    assert store.next_due(["job"]) == clock.now() + 7


def test_claim_takes_what_is_due_once_until_the_lease_ends(store, clock):
    job, now = make(store), clock.now()
    assert [r.uid for r in store.claim(["job"], now, 100.0, 30.0, 10)] == [job.uid]
    assert store.claim(["job"], now, 101.0, 30.0, 10) == []
    assert [r.uid for r in store.claim(["job"], now, 131.0, 30.0, 10)] == [job.uid]
    assert store.claim(["other"], now, 999.0, 30.0, 10) == []


def test_a_wish_during_a_look_makes_the_look_void_and_the_record_due(store, clock):
    make(store)
    (seen,) = store.claim(["job"], clock.now(), 0.0, 30.0, 10)
    store.request(seen, {"stop": True})
    assert store.apply(JOB, seen, Step("Running"), None) is None
    assert store.claim(["job"], clock.now(), 0.0, 30.0, 10)[0].spec["stop"] is True


def test_a_wake_during_a_look_is_not_lost(store, clock):
    job = make(store)
    (seen,) = store.claim(["job"], clock.now(), 0.0, 30.0, 10)
    store.wake(job.uid)
    applied = store.apply(JOB, seen, Step("Running"), clock.now() + 1000)
    assert applied.due_at == clock.now()


def test_a_change_of_a_child_wakes_its_owner(store, clock):
    parent = make(store, "parent")
    parent = store.apply(JOB, parent, Step("Running"), None)
    child = store.create(JOB, **PLACE, name="child", arn="arn:child", spec={}, owner=parent.uid)
    assert store.by_uid(parent.uid).due_at == clock.now()
    assert [r.uid for r in store.children(parent.uid)] == [child.uid]


def test_state_patches_merge_and_none_removes(store):
    job = store.apply(JOB, make(store), Step("Running", {"a": 1, "b": {"c": 2}}), None)
    job = store.apply(JOB, job, Step("Running", {"a": None, "d": 4}), None)
    assert job.state == {"b": {"c": 2}, "d": 4}


def test_lists_filter_sort_and_page(store, clock):
    for name in ("beta", "alpha_1", "alphaX1", "gamma"):
        make(store, name)
        clock.advance(10)
    assert [r.name for r in store.list("job", order_by="name")] == ["alphaX1", "alpha_1", "beta", "gamma"]
    assert [r.name for r in store.list("job", contains="A_1")] == ["alpha_1"]
    newest = store.list("job", descending=True, limit=2)
    assert [r.name for r in newest] == ["gamma", "alphaX1"]
    rest = store.list("job", descending=True, after=(newest[-1].created_at, newest[-1].name))
    assert [r.name for r in rest] == ["alpha_1", "beta"]
    start = clock.now() - 40
    assert [r.name for r in store.list("job", created_after=start, created_before=start + 25)] == ["alpha_1", "alphaX1"]


def test_the_outbox_cursor_is_remembered(store):
    make(store)
    store.set_cursor("bus", store.last_seq())
    assert store.cursor("bus") == store.last_seq() > store.cursor("nobody") == 0


def test_tags_are_set_changed_and_removed(store):
    store.set_tags("arn:x", {"a": "1", "b": "2"})
    store.set_tags("arn:x", {"a": "3"})
    store.remove_tags("arn:x", ["b", "absent"])
    assert store.tags("arn:x") == {"a": "3"}


def test_a_route_table_never_goes_back_to_an_older_version(store):
    store.publish_routes("e", 2, {"v": 2})
    seq = store.routes_since(0)[-1][0]
    store.publish_routes("e", 1, {"v": 1})
    assert store.routes_since(seq) == [] and store.routes_version("e") == 2
    store.publish_routes("e", 3, None)
    assert [(key, body) for _, key, body in store.routes_since(seq)] == [("e", None)]


def test_group_commit_answers_each_its_own_result_or_error(store):
    def work(n):
        def inner(tx):
            tx.execute("INSERT INTO tags VALUES (?,?,?)", ("arn:g", str(n), "v"))
            if n % 5 == 0:
                raise ValueError(n)
            return n

        return inner

    results: dict[int, object] = {}

    def one(n):
        try:
            results[n] = store.db.grouped(work(n))
        except ValueError as problem:
            results[n] = problem

    threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(results[n], ValueError) if n % 5 == 0 else results[n] == n for n in range(40))
    assert len(store.tags("arn:g")) == 32


def test_many_writers_leave_one_event_per_revision(store):
    job = make(store)

    def wish(n):
        while True:
            try:
                store.request(store.by_uid(job.uid), {str(n): True})
                return
            except Moved:
                continue

    threads = [threading.Thread(target=wish, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = store.by_uid(job.uid)
    assert all(final.spec[str(n)] for n in range(8))
    assert [e.revision for e in store.events_of(job.uid)] == list(range(1, 10))


def test_a_newer_format_is_refused(database, clock):
    Store(database, clock)
    with database.write() as tx:
        tx.execute("UPDATE migrations SET version = 99 WHERE component = 'kernel'")
    with pytest.raises(RuntimeError, match="newer release"):
        Store(database, clock)


def test_a_record_takes_another_name_with_its_tags(store):
    job, _ = make(store, tags={"k": "v"}), make(store, "taken")
    with pytest.raises(Taken):
        store.rename(job, "taken", "arn:x", {})
    new = store.rename(job, "new", "arn:new", {"b": 2})
    assert (new.uid, new.name, new.arn, new.spec, new.revision) == (job.uid, "new", "arn:new", {"n": 1, "b": 2}, 2)
    assert store.get("job", *PLACE.values(), "a") is None and store.tags("arn:new") == {"k": "v"} and store.tags(job.arn) == {}
    assert store.events_of(job.uid)[-1].detail == {"renamed_from": "a"}
    with pytest.raises(Moved):
        store.rename(job, "again", "arn:again", {})
