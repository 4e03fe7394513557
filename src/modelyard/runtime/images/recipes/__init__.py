"""Recipes as data: which image URI means which environment and entry points.

repository = ["sagemaker-xgboost"]      matched whole, without registry, account and region; a string or a list
train = ["python", "-m", …]             argv of a training job without its own entry point
serve = ["python", "-m", …]             argv of a model server; [] when the image serves nothing
process = ["python", "-m", …]           argv of a processing job without its own entry point; [] when it must name one
batches = true                          its server may answer several waiting requests in one go
variables = { … }                       environment variables of every run of the image
commands = { name = ["python", …] }     programs of AWS's image that a job's entry point may name, and what runs in their place
needs = { java = "Debian: apt …" }      programs that this machine must have, and how to get them
large = true                            its environment takes a GiB or more: built when first used, or by its name
[[tag]]                                 tried from top to bottom
pattern = '1\\.0-1(-cpu-py3)?'          regular expression that the whole tag must match
shown = "1.0-1"                         the pattern for people, where it is hard to read
env = "xgboost-1.7"                     environment: `<env>.in` (for people) and `<env>.py311.lock` (with hashes); what
                                        `<env>.apart` lists is installed on top, without its dependencies (PyTorch), a line
                                        that begins with `?` only where it fits
variables = { … }                       added to the recipe's
note = "…"                              said in the first lines of the job's log: what differs from AWS's image;
                                        `{name}` is the group of that name in the pattern, as in the tag's variables
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Image:
    """One managed image, as an image URI names it."""

    uri: str
    recipe: str
    env: str
    train: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()
    batches: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    note: str | None = None
    process: tuple[str, ...] = ()
    commands: dict[str, list[str]] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    name: str
    repositories: tuple[str, ...]
    train: tuple[str, ...]
    serve: tuple[str, ...]
    batches: bool
    large: bool
    variables: dict[str, str]
    tags: tuple[dict, ...]
    process: tuple[str, ...] = ()
    commands: dict[str, list[str]] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)


def parse_uri(uri: str) -> tuple[str, str]:
    """`683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1` → ("sagemaker-xgboost", "1.0-1")."""
    name = uri.split("@", 1)[0]
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        name = rest
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon else (name, "latest")


def find(uri: str) -> Image | None:
    """The image that `uri` names; None when no recipe knows it."""
    repository, tag = parse_uri(uri)
    for recipe in load():
        if repository in recipe.repositories:
            for row in recipe.tags:
                if found := re.fullmatch(row["pattern"], tag):
                    return _image(recipe, row, uri, found.groupdict())
    return None


def environments() -> list[str]:
    """Every environment that some recipe uses."""
    return sorted({row["env"] for recipe in load() for row in recipe.tags})


def of_environment(env: str) -> Image | None:
    """An image that stands for an environment by its own name (`images build xgboost-1.7`, the demo's client)."""
    for recipe in load():
        for row in recipe.tags:
            if row["env"] == env:
                return _image(recipe, row, env)
    return None


def _image(recipe: Recipe, row: dict, uri: str, groups: dict[str, str] | None = None) -> Image:
    own, note = row.get("variables", {}), row.get("note")
    if groups:
        own = {name: value.format_map(groups) for name, value in own.items()}
        note = note and note.format_map(groups)
    variables = recipe.variables | own
    return Image(
        uri, recipe.name, row["env"], recipe.train, recipe.serve, recipe.batches, variables, note,
        recipe.process, recipe.commands, recipe.needs,
    )  # fmt: skip


@functools.cache
def load(folder: Path = FOLDER) -> tuple[Recipe, ...]:
    """All recipes. Raises ValueError with the file's name for a recipe that cannot be right."""
    return tuple(_read(path) for path in sorted(folder.glob("*.toml")))


def _read(path: Path) -> Recipe:
    data = tomllib.loads(path.read_text())
    known = {"repository", "train", "serve", "process", "batches", "large", "variables", "commands", "needs", "tag"}
    if unknown := set(data) - known:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}")
    names = data["repository"]
    for row in data["tag"]:
        if unknown := set(row) - {"pattern", "shown", "env", "variables", "note"}:
            raise ValueError(f"{path.name}: unknown keys {sorted(unknown)} in a tag")
        re.compile(row["pattern"])
        if not (path.parent / f"{row['env']}.in").is_file():
            raise ValueError(f"{path.name}: there is no {row['env']}.in")
    return Recipe(
        path.stem,
        (names,) if isinstance(names, str) else tuple(names),
        tuple(data.get("train", ())),
        tuple(data.get("serve", ())),
        bool(data.get("batches", False)),
        bool(data.get("large", False)),
        {key: str(value) for key, value in data.get("variables", {}).items()},
        tuple(data["tag"]),
        tuple(data.get("process", ())),
        data.get("commands", {}),
        data.get("needs", {}),
    )
