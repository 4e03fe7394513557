"""Recipes, and building environments: offline, from a folder with one wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.runtime import index_config
from modelyard.runtime.images import BuildFailed, ImageStore, build, recipes
from tests.runtime.conftest import until


@pytest.mark.parametrize("uri", [
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3",
    "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.0-1",
    "451049120500.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:1.0-1@sha256:abc",
    "localhost:5000/sagemaker-xgboost:1.0-1",
])  # fmt: skip
def test_images_are_found_by_repository_and_tag_in_every_region(uri):
    image = recipes.find(uri)
    assert (image.recipe, image.env, image.variables["MODELYARD_IMAGE_VERSION"]) == ("xgboost", "xgboost-1.7", "1.0-1")
    assert image.train and image.serve and "instead of" in image.note


@pytest.mark.parametrize("uri", [
    "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:9.9-9", "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboosted:1.0-1",
    "1.dkr.ecr.us-east-1.amazonaws.com/my/sagemaker-xgboost:1.0-1", "1.dkr.ecr.us-east-1.amazonaws.com/client-sdk2", "", "x" * 500, ":::",
])  # fmt: skip
def test_unknown_images_are_none(uri):
    assert recipes.find(uri) is None


@pytest.mark.parametrize("tag, env, says, variables", [
    ("pytorch-training:2.8.0-gpu-py312-cu129-ubuntu22.04-sagemaker", "pytorch-2.13", "stands for 2.8.0", {}),
    ("pytorch-training:1.11.0-cpu-py38", "pytorch-2.13", "stands for 1.11.0;", {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}),
    ("pytorch-inference:2.0.1-cpu-py310", "pytorch-2.13", "stands for 2.0.1;", {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}),
    ("pytorch-inference:2.6-cpu", "pytorch-2.13", "stands for 2.6.", {"MODELYARD_IMAGE_VERSION": "2.6"}),
    ("huggingface-pytorch-training:2.1.0-transformers4.36.0-gpu-py310-cu121-ubuntu20.04", "huggingface-4.57", "for 4.36.0 with PyTorch 2.1.0", {}),
    ("huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04", "huggingface-4.57", "for 4.49.0", {}),
    ("tensorflow-training:2.3.1-cpu-py37", "tensorflow-2.15", "stands for 2.3.1", {"MODELYARD_IMAGE_VERSION": "2.3.1"}),
    ("tensorflow-training:2.12-cpu-py310", "tensorflow-2.15", "stands for 2.12", {}),
    ("tensorflow-training:2.19.0-cpu-py312-ubuntu22.04", "tensorflow-2.19", "stands for 2.19.0", {}),
    ("tensorflow-inference:2.16.1-cpu", "tensorflow-2.19", "TensorFlow Serving 2.16.1", {}),
    ("tensorflow-inference:1.15.5-cpu", "tensorflow-2.15", "TensorFlow Serving 1.15.5", {}),
])  # fmt: skip
def test_framework_tags_map_to_the_nearest_and_say_so(tag, env, says, variables):
    image = recipes.find(f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{tag}")
    assert image.env == env and says in image.note and variables.items() <= image.variables.items()
    assert bool(image.train) is ("-training:" in tag) and bool(image.serve) is ("-inference:" in tag)


@pytest.mark.parametrize("tag", [
    "pytorch-training:3.0.0-cpu-py312", "pytorch-training:0.4.0-cpu-py3", "tensorflow-training:1.15.2-cpu-py3", "tensorflow-training:2.40",
    "huggingface-pytorch-training:2.8.0-transformers5.0.0-gpu-py312", "huggingface-tensorflow-training:2.6.3-transformers4.17.0-gpu-py38",
])  # fmt: skip
def test_what_would_behave_otherwise_is_unknown(tag):
    assert recipes.find(f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{tag}") is None


@pytest.mark.parametrize("uri, expected", [
    ("a.b/repo:tag", ("repo", "tag")), ("a.b/team/repo", ("team/repo", "latest")), ("repo:1", ("repo", "1")), ("localhost:5/r@sha256:1", ("r", "latest")),
])  # fmt: skip
def test_parts_of_a_uri(uri, expected):
    assert recipes.parse_uri(uri) == expected


@pytest.mark.parametrize("python", ["py311", "py312", "py313"])
def test_every_recipe_has_its_files_and_a_lock_with_hashes_and_without_hosts(python):
    for env in recipes.environments():
        lock = recipes.FOLDER / f"{env}.{python}.lock"
        text = lock.read_text()
        assert "--hash=sha256:" in text and "://" not in text, lock.name


@pytest.mark.parametrize("text, problem", [
    ('repository = "r"\nextra = 1\ntag = []', "unknown keys"),
    ('repository = "r"\n[[tag]]\npattern = "x"\nenv = "no-such-env"', "there is no no-such-env.in"),
    ('repository = "r"\n[[tag]]\npattern = "x"\nenv = "e"\nnotes = "x"', "in a tag"),
])  # fmt: skip
def test_a_recipe_that_cannot_be_right_names_its_file(tmp_path, text, problem):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"bad.toml: .*{problem}"):
        recipes.load(tmp_path)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """An image store whose only recipe needs one wheel out of a folder."""
    wheel = tmp_path / "links" / "extra-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("extra.py", "WHO = 'extra'\ndef main(): print(WHO)\n")
        archive.writestr("extra-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        archive.writestr("extra-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("extra-1.0.dist-info/entry_points.txt", "[console_scripts]\nextratool = extra:main\n")
        archive.writestr("extra-1.0.dist-info/RECORD", "")
    monkeypatch.setattr(index_config, "settings", lambda: {"find-links": str(wheel.parent), "no-index": "1"})
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "tiny.toml").write_text('repository = "tiny"\n[[tag]]\npattern = ".*"\nenv = "tiny"')
    (folder / "tiny.in").write_text("extra==1.0\n")
    loaded = recipes._read(folder / "tiny.toml")
    monkeypatch.setattr(recipes, "FOLDER", folder)
    monkeypatch.setattr(recipes, "load", lambda: (loaded,))
    return ImageStore(Settings(data=tmp_path / "data", cache=tmp_path / "cache"))


def test_an_image_is_built_once_and_read_only(shop):
    image, said = shop.find("x.y/tiny:1"), []
    assert shop.look(image).state == "absent"
    path = shop.ensure(image, said.append)
    assert shop.look(image).state == "ready" and path == shop.path(image)
    assert (
        said[0].startswith("Building image tiny") and said[-1].startswith("Built image tiny") and any("extra==1.0" in line for line in said)
    )
    assert shop.ensure(image, said.append) == path
    assert not path.stat().st_mode & 0o222 and not (path / "bin").stat().st_mode & 0o222
    assert next(path.glob("lib/python3*/site-packages/__pycache__/extra*.pyc"), None), "compiled ahead"
    assert (path / "bin/extratool").read_text().startswith("#!/usr/bin/env python3\n")
    assert [row["state"] for row in shop.list()] == ["ready"] and shop.list()[0]["bytes"] > 0
    assert shop.remove("tiny") == 1 and shop.look(image).state == "absent"


@pytest.fixture
def torch_shop(shop, tmp_path):
    """`torch_shop(torch="1.0+cpu", …)`: the shop, whose image has these apart; each wants a package that is not there."""

    def make(**versions):
        for name, version in versions.items():
            with zipfile.ZipFile(tmp_path / "links" / f"{name}-{version}-py3-none-any.whl", "w") as archive:
                archive.writestr(f"{name}.py", f"__version__ = {version!r}\n")
                head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: nvidia-huge\n"
                archive.writestr(f"{name}-{version}.dist-info/METADATA", head)
                archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
                archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
        (recipes.FOLDER / "tiny.apart").write_text("torch==1.0\n?torchvision==1.0\n")
        return shop

    return make


@pytest.mark.parametrize("vision, there", [("1.0+cpu", True), ("1.0", False)])
def test_a_cpu_build_of_torch_is_installed_without_what_it_drags_in(torch_shop, monkeypatch, vision, there):
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    shop, said = torch_shop(torch="1.0+cpu", torchvision=vision), []
    path = shop.ensure(shop.find("x.y/tiny:1"), said.append)
    packages = next(path.glob("lib/python3*/site-packages"))
    assert (packages / "torch.py").exists() and (packages / "torchvision.py").exists() is there
    assert any("Left out" in line for line in said) is not there and not any("CUDA" in line for line in said)
    (recipes.FOLDER / "tiny.apart").write_text("torch\n")
    assert shop.path(shop.find("x.y/tiny:1")) != path, "another build for another list"


def test_where_only_the_cuda_build_is_to_be_had_it_comes_with_all_it_needs(torch_shop, monkeypatch):
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    shop, said = torch_shop(torch="1.0", torchvision="1.0"), []
    with pytest.raises(BuildFailed, match="nvidia-huge"):
        shop.ensure(shop.find("x.y/tiny:1"), said.append)
    assert any("only the CUDA build" in line for line in said) and any("3 GB or more" in line for line in said)


def test_a_built_image_runs(best, shop):
    image = shop.find("x.y/tiny:1")
    run, output = best.run("a", ["extratool"], env_path=str(shop.ensure(image)))
    assert (run.exit_code, output) == (0, "extra\n")


def test_a_build_that_fails_says_why_and_is_tried_again(shop):
    image = shop.find("x.y/tiny:1")
    source = recipes.FOLDER / "tiny.in"
    source.write_text("no-such-package==9\n")
    with pytest.raises(BuildFailed, match="no-such-package"):
        shop.ensure(image)
    assert shop.look(image).state == "failed" and "no-such-package" in shop.look(image).reason
    source.write_text("extra\n")
    shop.ensure(image)
    assert shop.look(image).state == "ready"


def test_a_lock_without_the_right_hash_is_refused(shop):
    minor = f"py{sys.version_info[0]}{sys.version_info[1]}"
    (recipes.FOLDER / f"tiny.{minor}.lock").write_text("extra==1.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(BuildFailed, match=r"(?i)hash"):
        shop.ensure(shop.find("x.y/tiny:1"))


def test_two_builders_build_once(shop):
    image, said, done = shop.find("x.y/tiny:1"), [], []
    threads = [threading.Thread(target=lambda: done.append(shop.ensure(image, said.append))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3 and len([line for line in said if line.startswith("Building")]) == 1


def test_a_killed_build_leaves_nothing_in_the_way(shop, tmp_path):
    """The builder dies by SIGKILL when uv is done and the rename is not."""
    image = shop.find("x.y/tiny:1")
    target = shop.path(image)
    code = textwrap.dedent(f"""
        import fcntl, os, pathlib, signal
        target = pathlib.Path({str(target)!r})
        target.parent.mkdir(parents=True)
        lock = open(str(target) + ".lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX)
        half = pathlib.Path(str(target) + ".building-1-1"); half.mkdir(); (half / "x").write_text("half")
        print("up", flush=True); signal.pause()
    """)
    builder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    builder.stdout.readline()
    assert shop.look(image).state == "building"
    builder.kill()
    builder.wait()
    until(lambda: shop.look(image).state, lambda state: state == "absent")
    path = shop.ensure(image)
    assert path == target and not list(target.parent.glob("*.building-*"))


@pytest.mark.slow
def test_the_real_scikit_learn_image_builds_and_imports(best):
    cache = os.environ.get("MODELYARD_TEST_CACHE")
    store = ImageStore(Settings(data=best.settings.data, **({"cache": Path(cache)} if cache else {})))
    path = store.ensure(store.find("1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"))
    run, output = best.run(
        "a", ["python", "-c", "import sklearn, pandas; print(sklearn.__version__, pandas.__version__)"], env_path=str(path)
    )
    assert (run.exit_code, output) == (0, "1.2.1 1.5.3\n"), output


def test_an_image_that_needs_a_program_of_the_machine_says_how_to_get_it(tmp_path, monkeypatch):
    from modelyard.runtime.images import store as image_store

    images = ImageStore(Settings(data=tmp_path, cache=tmp_path / "cache"))
    spark = images.find("173754725891.dkr.ecr.us-east-1.amazonaws.com/sagemaker-spark-processing:3.3-cpu-py39-v1.0")
    assert spark.commands["smspark-submit"][-1] == "spark-submit"
    monkeypatch.setattr(image_store, "SYSTEM", str(tmp_path))
    with pytest.raises(BuildFailed, match=r"needs on this machine: `java` \(Debian: apt install"):
        images.ensure(spark)
