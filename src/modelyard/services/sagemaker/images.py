"""Managed images as jobs and replicas need them: known or not, there or being built, and built when first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SDK_OF_CLIENT = "--client_sagemaker_pysdk_version"
OTHER = {"train": ("training", "inference"), "serve": ("inference", "training")}


def look_at_image(world: Any, uri: str, verb: str = "") -> tuple[str, str]:
    """(unknown | absent | building | ready | failed, reason); a failure is told once, the next look tries again. `verb` is what the
    image is to do by itself, train or serve: one that cannot is as good as unknown."""
    image = world.images.find(uri)
    if image is None:
        return "unknown", f"{uri} is no image of this platform; `modelyard images` lists what there is."
    if verb and not getattr(image, verb):
        wanted, has = OTHER[verb]
        return "unknown", f"{uri} is an image for {has} and has no `{verb}`; use the image of the same framework for {wanted}."
    return _look(world, image)


def edition_for(images: Any, uri: str, arguments: list[str]) -> str:
    """The image for a job with these arguments: one that runs a function which the SageMaker SDK v3 sent (@remote, @step) needs the
    edition of the base image that has that SDK, as the function is unpacked by its modules."""
    version = arguments[arguments.index(SDK_OF_CLIENT) + 1 :][:1] if SDK_OF_CLIENT in arguments else []
    return images.edition(uri, "sdk3") if version and version[0].startswith("3.") else uri


def look_at_environment(world: Any, name: str) -> tuple[str, str]:
    """The same for an environment by its own name (MLflow's)."""
    return _look(world, world.images.of_environment(name))


def _look(world: Any, image: Any) -> tuple[str, str]:
    task = world.tasks.look(_task(image))
    if task.state == "failed":
        world.tasks.forget(_task(image))
        return "failed", str(task.error)
    state = world.images.look(image).state
    if state == "ready":
        world.tasks.forget(_task(image))
    return ("absent" if state == "failed" else state), ""


def build_image(world: Any, uri: str, say: Callable[[str], None], uid: str) -> None:
    """Builds the image's environment beside the loop; `say` gets the progress line by line, `uid` is woken at the end."""
    _build(world, world.images.find(uri), say, uid)


def build_environment(world: Any, name: str, say: Callable[[str], None], uid: str) -> None:
    _build(world, world.images.of_environment(name), say, uid)


def _build(world: Any, image: Any, say: Callable[[str], None], uid: str) -> None:
    world.tasks.ensure(_task(image), lambda: world.images.ensure(image, log=say), on_end=lambda: world.wake(uid))


def _task(image: Any) -> str:
    return f"image-{image.env}"
