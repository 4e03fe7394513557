"""Batch transform's data plane, piece by piece: records, JSONPath, joins, gzip, and the memory of a walk."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
import random
import struct

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.serving.transform import table
from modelyard.serving.transform.errors import Refused
from modelyard.serving.transform.gzip import PIECE_BYTES, unpacked
from modelyard.serving.transform.jsonpath import BadPath, JsonPath, NoSuchPart
from modelyard.serving.transform.processing import Processing, kind_of
from modelyard.serving.transform.records import Payload, parts, payloads
from modelyard.serving.transform.walk import How, Lanes, walk


def pieces(data: bytes, seed: int = 1):
    """The bytes in pieces of any size."""
    at, chance = 0, random.Random(seed)
    while at < len(data):
        size = chance.randint(1, 9)
        yield data[at : at + size]
        at += size


# --- records ---------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")), max_size=30),
    most=st.integers(12, 60),
    seed=st.integers(0, 9),
)
def test_lines_are_packed_without_a_loss(lines, most, seed):
    data = b"\n".join(lines)
    packed = list(payloads(pieces(data, seed), "Line", False, most))
    assert all(len(p.body.rstrip(b"\n")) <= most for p in packed)
    assert [line for p in packed for line in p.body.split(b"\n") if line] == [line for line in lines if line]
    for p in packed:
        assert data[p.offset : p.offset + len(p.body)] == p.body and p.first == data.count(b"\n", 0, p.offset) + 1
    one_by_one = list(payloads(pieces(data, seed), "Line", True, most))
    assert [p.body for p in one_by_one] == [line for line in lines if line]
    assert [lines[p.first - 1] for p in one_by_one] == [p.body for p in one_by_one]


@settings(max_examples=100, deadline=None)
@given(records=st.lists(st.binary(min_size=1, max_size=20), max_size=12), seed=st.integers(0, 9))
def test_frames_are_packed_without_a_loss(records, seed):
    for split, frame in (("RecordIO", recordio), ("TFRecord", tfrecord)):
        data = b"".join(map(frame, records))
        many = list(payloads(pieces(data, seed), split, False, 64))
        assert b"".join(p.body for p in many) == data and sum(p.count for p in many) == len(records)
        assert [p.body for p in payloads(pieces(data, seed), split, True, 64)] == records
        for p in many:
            halves = parts(p, split)
            assert not halves or (b"".join(h.body for h in halves) == p.body and sum(h.count for h in halves) == p.count)


def recordio(data: bytes) -> bytes:
    return struct.pack("<II", 0xCED7230A, len(data)) + data + b"\0" * (-len(data) % 4)


def tfrecord(data: bytes) -> bytes:
    return struct.pack("<QI", len(data), 0) + data + b"\0\0\0\0"


def test_a_record_in_several_parts():
    magic = struct.pack("<I", 0xCED7230A)
    data = b"".join(struct.pack("<II", 0xCED7230A, flag << 29 | 4) + text for flag, text in ((1, b"aaaa"), (2, b"bbbb"), (3, b"cccc")))
    assert [p.body for p in payloads([data], "RecordIO", True, 100)] == [b"aaaa" + magic + b"bbbb" + magic + b"cccc"]


@pytest.mark.parametrize(
    ("split", "data"), [("RecordIO", b"no record io at all"), ("TFRecord", b"\xff" * 30), ("RecordIO", recordio(b"x") + b"abc")]
)
def test_what_is_no_record(split, data):
    with pytest.raises(Refused, match=f"as {split}"):
        list(payloads([data], split, False, 1 << 20))


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("split", ["Line", "RecordIO", "TFRecord", "None"])
def test_a_record_over_the_limit_is_refused_before_it_is_held(split, single):
    frame = {"RecordIO": recordio, "TFRecord": tfrecord}.get(split, lambda data: data + b"\n")
    data, read = frame(b"ok") + frame(b"x" * 4000), 0

    def source():
        nonlocal read
        for at in range(0, len(data), 64):
            read = at
            yield data[at : at + 64]

    with pytest.raises(Refused, match="Too much data for max payload size"):
        list(payloads(source(), split, single, 200))
    assert read < 1000


def test_halves_lead_to_the_bad_line():
    payload = Payload(b"".join(b"%d\n" % n for n in range(1000)), 5, 1000, 0)
    while halves := parts(payload, "Line"):
        payload = next(h for h in halves if b"\n777\n" in b"\n" + h.body)
    assert (payload.body, payload.place) == (b"777\n", "line 782 (from byte 2998)")


# --- gzip -------------------------------------------------------------------------------------------


def test_gzip_in_pieces_and_members():
    data = os.urandom(70_000) + b"\0" * (3 << 20)
    packed = gzip.compress(data) + gzip.compress(b"more") + b"\0" * 20
    assert b"".join(unpacked(packed[at : at + 1000] for at in range(0, len(packed), 1000))) == data + b"more"


def test_a_gzip_bomb_comes_in_small_pieces():
    packed = gzip.compress(b"\0" * (64 << 20))
    sizes = [len(piece) for piece in unpacked([packed])]
    assert sum(sizes) == 64 << 20 and max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize("data", [b"plain", gzip.compress(b"x" * 1000)[:-5]], ids=["plain", "cut"])
def test_broken_gzip(data):
    with pytest.raises(Refused, match="gzip"):
        list(unpacked([data]))


# --- JSONPath ----------------------------------------------------------------------------------------

VALUE = {"id": 7, "features": [1, 2, 3, 4], "deep": {"x": {"y": "z"}, "w": 1}, "rows": [{"a": 1}, {"a": 2}], "a b": 0}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", VALUE), ("$.id", 7), ("$['id']", 7), ('$["id"]', 7), ("$.['id','a b']", {"id": 7, "a b": 0}), ("$.features[0]", 1),
        ("$.features[-1]", 4), ("$.features[1:3]", [2, 3]), ("$.features[:2]", [1, 2]), ("$.features[2:]", [3, 4]),
        ("$.features[0,2:]", [1, 3, 4]), ("$.features[ 0 , -1 ]", [1, 4]), ("$.features[*]", [1, 2, 3, 4]), ("$.deep.*", [{"y": "z"}, 1]),
        ("$.deep.x.y", "z"), ("$.deep['x']['y']", "z"), ("$.rows[*].a", [1, 2]), ("$.rows[0:1].a", [1]), ("$.features[1:3][0]", None),
    ],
)  # fmt: skip
def test_json_paths(path, found):
    if found is None:
        with pytest.raises(NoSuchPart):
            JsonPath(path).of(VALUE)
    else:
        assert JsonPath(path).of(VALUE) == found


@pytest.mark.parametrize(
    "path", ["", "id", "$.", "$..id", "$[", "$[]", "$[a]", "$[?(@.a)]", "$[1:2:3]", "$.a b", "$['a'", "@.id", "$x", "$[1,]"]
)
def test_what_is_no_json_path(path):
    with pytest.raises(BadPath):
        JsonPath(path)


@pytest.mark.parametrize(
    ("path", "row"),
    [("$", "abcd"), ("$[1:]", "bcd"), ("$[0,-1]", "ad"), ("$[0]", "a"), ("$[0,2:]", "acd"), ("$[*]", "abcd"), ("$[9:]", "")],
)
def test_columns_of_a_row(path, row):
    assert JsonPath(path).of_row(list("abcd")) == list(row)


def test_columns_that_are_not_there():
    assert not JsonPath("$.a").fits_rows
    for path in ("$[4]", "$[-5]", "$[0,7]"):
        with pytest.raises(NoSuchPart):
            JsonPath(path).of_row(list("abcd"))


# --- processing --------------------------------------------------------------------------------------


def through(config, data, answer, content="text/csv", accept=None, lines=True):
    processing = Processing(config, content, accept, None, lines)
    body, records = processing.request(Payload(data, 1, data.count(b"\n"), 0, whole=not lines))
    return body, processing.answer(answer, records)


def test_bytes_pass_as_they_are_where_nothing_is_asked():
    odd = b'\xff\xfe"odd,\r\n'
    assert through({}, odd, odd) == (odd, odd)
    assert through({"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}, odd, odd) == (odd, odd)


def test_csv_keeps_texts_quotes_and_bytes():
    data = b'001,"a ""b"", c",\xff\n1e5, x,\n'
    body, out = through({"JoinSource": "Input"}, data, b"0.5\n1\n")
    assert body == data and out == b'001,"a ""b"", c",\xff,0.5\n1e5, x,,1\n'


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(st.text("ab1 .;'", max_size=3), min_size=3, max_size=3).filter(lambda row: any(row)), min_size=1, max_size=6),
    before=st.sampled_from(["$", "$[1:]", "$[0:2]", "$[-1]", "$[:]"]),
    after=st.sampled_from(["$", "$[0,-1]", "$[1:]", "$[2,0]"]),
    end=st.sampled_from(["\n", "\r\n", ""]),
)
def test_rows_without_quotes_come_out_as_those_with(rows, before, after, end):
    """The quick way says what the CSV reader says."""
    config = {"InputFilter": before, "JoinSource": "Input", "OutputFilter": after}
    text = ("\n".join(",".join(row) for row in rows) + end).encode()
    answers = "".join(f"{number}.5\n" for number in range(len(rows))).encode()
    quick = through(config, text, answers)
    real, table.read = table.read, table._fields
    try:
        careful = through(config, text, answers)
    finally:
        table.read = real

    def same(body):
        return [row if any(row) else [] for row in csv.reader(body.decode().splitlines())]

    assert [same(body) for body in quick] == [same(body) for body in careful]


@pytest.mark.parametrize("answer", [b'{"predictions": [[1.5, 2]]}\n', b'1,"a"b\n', b'a"b\n', b' "a"\n', b'"open\n'])
def test_what_is_no_csv(answer):
    with pytest.raises(Refused, match='Failed to parse output from the algorithm as CSV: bare " in non quoted field found near: '):
        through({"JoinSource": "Input"}, b"1,2\n", answer)


@pytest.mark.parametrize("answer", [b'"a"\n', b'"a"', b'""\n', b'"a ""b"", c",,"d\ne"\n', b'x,"y"\r\n', b'"a",\n'])
def test_what_is_csv(answer):
    assert through({"JoinSource": "Input"}, b"1,2\n", answer)[1].startswith(b"1,2,")


def test_a_large_table_with_quotes_is_read_in_time():
    body = b'"a ""b"", c",1.5,2.5,3.5\n' * 200_000
    assert len(table.read(body)) == 200_000


def test_a_quote_on_one_side_only():
    config = {"JoinSource": "Input", "OutputFilter": "$[-1,0]"}
    assert through(config, b"a,1\nb,2\n", b'"x,y"\n0.5\n')[1] == b'"x,y",a\n0.5,b\n'
    assert through(config, b'"a,b",1\nb,2\n', b"x\ny\n")[1] == b'x,"a,b"\ny,b\n'


def test_numbers_of_json_stay():
    data = b'{"id":12345678901234567,"v":[0.1,1.0,1e-7]}\n'
    body, out = through({"InputFilter": "$.v", "JoinSource": "Input"}, data, b"[1.0]\n", "application/jsonlines")
    assert body == b"[0.1,1.0,1e-7]" and orjson.loads(out) == {"id": 12345678901234567, "v": [0.1, 1.0, 1e-7], "SageMakerOutput": [1.0]}


def test_an_answer_over_several_lines():
    pretty = b'{\n  "predictions": [1]\n}'
    assert orjson.loads(through({"JoinSource": "Input"}, b"[1]\n", pretty, "application/json")[1])["SageMakerOutput"] == {
        "predictions": [1]
    }
    out = through({"JoinSource": "Input"}, b"[1]\n[2]\n", pretty + pretty, "application/json")[1]
    assert out.count(b"SageMakerOutput") == 2


def test_content_types():
    assert [kind_of(t) for t in ("text/csv; charset=utf-8", "application/JSON", "application/jsonlines", "image/png", None)] == [
        "CSV", "JSON", "JSON", None, None,
    ]  # fmt: skip


# --- the walk -----------------------------------------------------------------------------------------


class Model:
    """A caller without a server: answers after a while, and knows how much of everything it was given at once."""

    def __init__(self):
        self.now = self.most = 0

    async def ask(self, body, once=False):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(random.Random(body).random() / 500)
        self.now -= 1
        return type("Reply", (), {"body": body})


class Sink:
    def __init__(self):
        self.data, self.held = b"", 0

    async def write(self, data):
        self.data += data


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_a_walk_holds_no_more_than_its_lanes_and_keeps_the_order(at_once):
    model, sink, made = Model(), Sink(), 0
    data = [b"%d\n" % n for n in range(300)]

    def source():
        nonlocal made
        for payload in payloads(data, "Line", True, 100):
            made += 1
            assert made - sink.data.count(b"\n") <= 2 * at_once + 1, "payloads held"
            yield payload

    async def run():
        return await walk(source(), How("Line", True), Lanes(at_once), model, Processing({}, None, None), sink)

    assert asyncio.run(run()) == 300
    assert sink.data == b"".join(data) and model.most == at_once


def test_two_walks_share_lanes():
    model, sinks = Model(), [Sink(), Sink()]

    async def run():
        lanes = Lanes(2)
        walks = (
            walk(
                payloads([b"%d\n" % n for n in range(100)], "Line", True, 9),
                How("Line", True),
                lanes,
                model,
                Processing({}, None, None),
                sink,
            )
            for sink in sinks
        )
        await asyncio.wait_for(asyncio.gather(*walks), 20)

    asyncio.run(run())
    assert sinks[0].data == sinks[1].data == b"".join(b"%d\n" % n for n in range(100)) and model.most == 2


def test_a_refusal_ends_the_walk_and_frees_its_lanes():
    class Refusing(Model):
        async def ask(self, body, once=False):
            if body == b"50":
                raise Refused("ClientError", "ClientError: 400", b"no")
            return await super().ask(body)

    async def run():
        lanes = Lanes(4)
        with pytest.raises(Refused) as found:
            await walk(
                payloads([b"%d\n" % n for n in range(100)], "Line", True, 9),
                How("Line", True),
                lanes,
                Refusing(),
                Processing({}, None, None),
                Sink(),
            )
        assert found.value.place.startswith("line 51 ")
        assert lanes.requests._value == 4 and lanes.held._value == 8

    asyncio.run(run())
