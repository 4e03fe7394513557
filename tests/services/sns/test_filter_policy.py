"""Filter policies: every operator by example, and properties that hold for any message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import ApiError
from modelyard.services.sns.filter_check import checked_policy
from modelyard.services.sns.filter_policy import matches


def body(policy, message):
    checked_policy(json.dumps(policy), "MessageBody")
    return matches(policy, "MessageBody", {}, json.dumps(message))


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ("a", ["a", ["b", "a"]], ["A", 1, None, ["b"], {"a": 1}]),
        (300, [300, 300.0, [1, 300]], ["300", 301, True]),
        (True, [True], [False, 1, "true"]),
        (None, [None], ["null", 0, False]),
        ({"prefix": "ab"}, ["ab", "abc"], ["a", "Ab", 1]),
        ({"suffix": ".png"}, ["x.png"], ["x.PNG", "png"]),
        ({"equals-ignore-case": "Tennis"}, ["tennis", "TENNIS"], ["tenni"]),
        ({"anything-but": ["a", 1]}, ["b", 2, ["a", "b"]], ["a", 1, ["a", 1]]),
        ({"anything-but": "a"}, ["b"], ["a"]),
        ({"anything-but": {"prefix": "ab"}}, ["ba"], ["abc"]),
        ({"anything-but": {"suffix": "ab"}}, ["ba"], ["cab"]),
        ({"numeric": ["=", 3.0]}, [3, 3.0], [3.1, "3", True]),
        ({"numeric": [">", 0, "<=", 5]}, [1, 5], [0, 6]),
        ({"numeric": ["<", 0]}, [-1], [0]),
        ({"exists": True}, ["a", 0, False, ["", "a"], [{"b": 1}, 2]], ["", None, [], [""], {"b": 1}, [{"b": 1}]]),
        ({"exists": False}, [{"b": 1}, [{"b": 1}]], ["", 0, None, []]),
        ({"cidr": "10.0.0.0/24"}, ["10.0.0.255"], ["10.0.1.0", "nonsense", "::1"]),
        ({"cidr": "2001:db8::/32"}, ["2001:db8::1"], ["2001:db9::1"]),
    ],
)  # fmt: skip
def test_operators(condition, yes, no):
    for value in yes:
        assert body({"k": [condition]}, {"k": value}), value
    for value in no:
        assert not body({"k": [condition]}, {"k": value}), value


def test_what_is_missing():
    assert not body({"k": [{"anything-but": ["a"]}]}, {})
    assert body({"k": [{"exists": False}]}, {}) and not body({"k": [{"exists": True}]}, {})
    assert body({"a": {"b": [{"exists": False}]}}, {}) and not body({"a": {"b": [{"exists": False}]}}, {"a": {"b": None}})
    assert not matches({"k": ["a"]}, "MessageBody", {}, "no json") and not matches({"k": ["a"]}, "MessageBody", {}, '["k"]')


def test_a_message_without_attributes_passes_no_filter_of_attributes():
    absent = {"k": [{"exists": False}]}
    assert not matches(absent, "MessageAttributes", {}, "")
    assert matches(absent, "MessageAttributes", {"other": {"DataType": "String", "StringValue": "x"}}, "")
    assert matches({}, "MessageAttributes", {}, "")


def test_keys_are_joined_by_and_conditions_by_or():
    policy = {"a": ["x", {"prefix": "y"}], "b": [1]}
    assert body(policy, {"a": "yy", "b": 1}) and not body(policy, {"a": "yy", "b": 2}) and not body(policy, {"b": 1})


def test_or():
    policy = {"source": ["s"], "$or": [{"name": ["cpu"]}, {"space": [{"prefix": "aws/"}], "region": ["r"]}]}
    assert body(policy, {"source": "s", "name": "cpu"}) and body(policy, {"source": "s", "space": "aws/x", "region": "r"})
    assert not body(policy, {"source": "s", "space": "aws/x"}) and not body(policy, {"source": "t", "name": "cpu"})
    assert body({"$or": ["plain key"]}, {"$or": "plain key"})


def test_nested_trees_and_lists_of_objects():
    policy = {"records": {"s3": {"bucket": {"name": [{"prefix": "my-"}]}}}}
    assert body(policy, {"records": [{"s3": {}}, {"s3": {"bucket": {"name": "my-x"}}}]})
    assert not body(policy, {"records": [{"s3": {"bucket": {"name": "your-x"}}}]})


def test_message_attributes_by_type():
    def of(kind, value):
        return {"k": {"DataType": kind, "StringValue": value}}

    assert matches({"k": [1]}, "MessageAttributes", of("Number", "1.0"), "") and not matches(
        {"k": [1]}, "MessageAttributes", of("String", "1"), ""
    )
    assert matches({"k": ["a"]}, "MessageAttributes", of("String.Array", '["b","a"]'), "")
    assert matches({"k": [{"numeric": [">", 1]}]}, "MessageAttributes", of("String.Array", "[0, 2]"), "")
    assert not matches({"k": [{"exists": True}]}, "MessageAttributes", {"k": {"DataType": "Binary", "BinaryValue": "AA=="}}, "")


@pytest.mark.parametrize(
    "policy",
    [
        [],
        {"k": "a"},
        {"k": []},
        {"k": [[1]]},
        {"k": [{"wild": "a"}]},
        {"k": [{"prefix": 1}]},
        {"k": [{"prefix": "a", "suffix": "b"}]},
        {"k": [{"numeric": [">", "1"]}]},
        {"k": [{"numeric": ["<", 1, ">", 0]}]},
        {"k": [{"numeric": [">", 5, "<", 1]}]},
        {"k": [{"exists": "yes"}]},
        {"k": [{"cidr": "10.0.0"}]},
        {"k": [{"anything-but": [["a"]]}]},
        {"k": {}},
        {str(i): ["a"] for i in range(6)},
        {"k": {"nested": ["fine in bodies only"]}},
        {"a": list(range(20)), "b": list(range(20))},
    ],
)
def test_policies_that_are_none(policy):
    with pytest.raises(ApiError) as refused:
        checked_policy(json.dumps(policy), "MessageAttributes")
    assert refused.value.code in ("InvalidParameter", "FilterPolicyLimitExceeded")


scalars = st.none() | st.booleans() | st.integers(-50, 50) | st.floats(-50, 50) | st.text("ab.", max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("kl"), inner, max_size=2), max_leaves=6
)
conditions = (
    scalars
    | st.builds(lambda o, t: {o: t}, st.sampled_from(["prefix", "suffix", "equals-ignore-case"]), st.text("ab", max_size=2))
    | st.builds(lambda n: {"numeric": [">=", n, "<", n + 1]}, st.integers(-5, 5))
    | st.builds(lambda b: {"exists": b}, st.booleans())
    | st.builds(lambda one: {"anything-but": one}, st.text("ab", max_size=2) | st.integers(-5, 5))
)
messages = st.dictionaries(st.sampled_from("klm"), values, max_size=3)


def leaves(value):
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


@settings(max_examples=300, deadline=None)
@given(messages, st.lists(conditions, min_size=1, max_size=3), st.lists(conditions, min_size=1, max_size=3))
def test_the_laws_of_and_and_or(message, some, more):
    """A list of conditions is their OR, keys are an AND, $or is an OR; and no message makes it raise."""

    def passes(policy):
        return matches(policy, "MessageBody", {}, json.dumps(message))

    assert passes({"k": some + more}) == (passes({"k": some}) or passes({"k": more}))
    assert passes({"k": some, "l": more}) == (passes({"k": some}) and passes({"l": more}))
    assert passes({"$or": [{"k": some}, {"l": more}]}) == (passes({"k": some}) or passes({"l": more}))
    assert not (passes({"k": [{"exists": True}]}) and passes({"k": [{"exists": False}]}))


@settings(max_examples=300, deadline=None)
@given(messages, scalars)
def test_a_plain_value_means_that_one_of_the_leaves_is_it(message, wanted):
    found = [leaf for leaf in leaves(message["k"]) if not isinstance(leaf, dict)] if "k" in message else []
    same = [leaf for leaf in found if leaf == wanted and isinstance(leaf, bool) == isinstance(wanted, bool)]
    assert matches({"k": [wanted]}, "MessageBody", {}, json.dumps(message)) == bool(same)


@settings(max_examples=300, deadline=None)
@given(values)
def test_whatever_is_accepted_can_be_evaluated(policy):
    text = json.dumps({"k": policy})
    try:
        checked_policy(text, "MessageBody")
    except ApiError:
        return
    matches(json.loads(text), "MessageBody", {}, '{"k": {"k": [1, "a", null]}}')
