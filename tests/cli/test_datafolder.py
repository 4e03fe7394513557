"""The data folder: private, versioned, upgraded, refused when newer."""

import stat

import pytest

from modelyard import datafolder
from modelyard.config import DATA_FORMAT, Settings


def test_it_is_private_and_carries_its_format(tmp_path):
    folder = tmp_path / "data"
    datafolder.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    assert (folder / "VERSION").read_text() == f"{DATA_FORMAT}\n"


def test_a_newer_format_is_refused_and_not_touched(tmp_path):
    (tmp_path / "VERSION").write_text("99\n")
    with pytest.raises(datafolder.NewerFormat, match="format 99"):
        datafolder.prepare(tmp_path)
    assert (tmp_path / "VERSION").read_text() == "99\n"


def test_an_older_format_is_upgraded_step_by_step(tmp_path, monkeypatch):
    steps = []
    (tmp_path / "VERSION").write_text("1\n")
    monkeypatch.setattr(datafolder, "DATA_FORMAT", 3)
    monkeypatch.setattr(datafolder, "UPGRADES", {1: lambda f: steps.append(1), 2: lambda f: steps.append(2)})
    datafolder.prepare(tmp_path)
    assert steps == [1, 2]
    assert (tmp_path / "VERSION").read_text() == "3\n"


def test_settings_survive_the_way_to_the_children(tmp_path):
    datafolder.prepare(tmp_path)
    settings = Settings(data=tmp_path, port=1234, clock_speed=60.0, auth="open")
    datafolder.save_settings(settings)
    assert datafolder.load_settings(tmp_path) == settings


def test_nobody_holds_a_folder_that_was_freed(tmp_path):
    lock = datafolder.Lock(tmp_path)
    assert datafolder.holder(tmp_path)["pid"]
    lock.free()
    assert datafolder.holder(tmp_path) is None
