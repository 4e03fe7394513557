"""smspark-submit: its command line, the EMR-style configuration, and what it says without Java."""

from __future__ import annotations

import json

import pytest

from modelyard.algorithms.spark import options, submit


def test_the_command_line_reaches_spark_submit(tmp_path):
    (tmp_path / "py/deep").mkdir(parents=True)
    for name in ("py/a.py", "py/deep/b.py"):
        (tmp_path / name).touch()
    given = ["--py-files", f"{tmp_path}/py", "--jars", "s.jar,t.jar", "--class", "org.Main", "-v", "app.py", "--jars", "mine", "-v"]
    asked = options.parse(given)
    assert (asked.app, asked.app_arguments) == ("app.py", ["--jars", "mine", "-v"]), "the application's own words are its own"
    made = options.spark_options(asked)
    files = f"{tmp_path}/py/a.py,{tmp_path}/py/deep/b.py"
    assert made == ["--class", "org.Main", "--jars", "s.jar,t.jar", "--py-files", files, "--verbose"]


def test_event_logs_go_to_their_folder(tmp_path):
    made = options.spark_options(options.parse(["--local-spark-event-logs-dir", f"{tmp_path}/events/", "app.py"]))
    assert made == ["--conf", "spark.eventLog.enabled=true", "--conf", f"spark.eventLog.dir=file://{tmp_path}/events/"]
    assert (tmp_path / "events").is_dir()


@pytest.mark.parametrize("given", [[], ["--unknown", "x", "app.py"], ["--jars"]])
def test_what_it_does_not_know_it_refuses(given, capsys):
    with pytest.raises(SystemExit) as found:
        options.parse(given)
    assert found.value.code == 2 and "smspark-submit" in capsys.readouterr().err


def test_an_empty_folder_of_files_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="there are no files"):
        options.files_of(str(tmp_path))


def test_classifications(tmp_path):
    path = tmp_path / "configuration.json"
    export = {"Classification": "export", "Properties": {"HOME_OF": "x"}}
    given = [
        {"Classification": "spark-defaults", "Properties": {"spark.executor.memory": "2g"}},
        {"Classification": "core-site", "Properties": {"fs.x": "1"}},
        {"Classification": "spark-env", "Properties": {}, "Configurations": [export]},
        {"Classification": "yarn-env", "Properties": {}},
    ]
    path.write_text(json.dumps(given))
    properties = {"spark.executor.memory": "2g", "spark.hadoop.fs.x": "1"}
    assert options.configured(str(path)) == (properties, {"HOME_OF": "x"}, ["yarn-env"])
    path.write_text(json.dumps(given[0]))
    assert options.configured(str(path))[0] == {"spark.executor.memory": "2g"}, "one may come without a list"
    path.write_text(json.dumps([{"Classification": "nonsense"}]))
    with pytest.raises(ValueError, match="unknown classification nonsense"):
        options.configured(str(path))
    assert options.configured(str(tmp_path / "none")) == ({}, {}, [])


def test_without_java_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(submit, "MESSAGE", str(tmp_path / "message"))
    monkeypatch.setattr(submit.shutil, "which", lambda name: None)
    assert submit.main(["app.py"]) == 255
    assert "apt install openjdk" in capsys.readouterr().err and "apt install openjdk" in (tmp_path / "message").read_text()
