"""One gateway waits until the others serve by the same route tables."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from modelyard.serving import abreast
from modelyard.serving.abreast import Abreast


@pytest.fixture
def pair(tmp_path):
    made = Abreast(tmp_path / "g"), Abreast(tmp_path / "g")
    yield made
    for each in made:
        each.close()


def test_it_waits_until_the_other_has_read_its_tables(pair, monkeypatch):
    monkeypatch.setattr(abreast, "LONGEST_SECONDS", 60.0)
    one, other = pair
    one.at(7)
    late = threading.Timer(0.1, other.at, [7])
    began = monotonic()
    late.start()
    one.wait(7)
    assert 0.1 <= monotonic() - began < abreast.LONGEST_SECONDS
    late.join()
    other.at(5)  # an older batch
    began = monotonic()
    one.wait(6)
    other.wait(7)
    assert monotonic() - began < abreast.LONGEST_SECONDS


def test_a_gateway_that_does_not_read_is_not_waited_for_twice(pair, monkeypatch):
    monkeypatch.setattr(abreast, "LONGEST_SECONDS", 0.05)
    one, _ = pair
    began = monotonic()
    one.wait(3)
    assert monotonic() - began >= 0.05
    monkeypatch.setattr(abreast, "LONGEST_SECONDS", 3600.0)
    one.wait(3)


def test_who_is_gone_is_not_waited_for(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(abreast, "LONGEST_SECONDS", 3600.0)
    one, other = pair
    (tmp_path / "g" / "killed.seq").write_bytes(bytes(8))  # nobody holds its lock
    other.at(2)
    one.wait(2)
    assert not (tmp_path / "g" / "killed.seq").exists()


def test_a_gateway_without_a_folder_is_alone():
    alone = Abreast(None)
    alone.at(1)
    alone.wait(2)
    alone.close()
