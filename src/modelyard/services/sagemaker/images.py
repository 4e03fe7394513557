"""Managed images as jobs and replicas need them: known or not, there or being built, and built when first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
    image = world.images.find(uri)
    world.tasks.ensure(_task(image), lambda: world.images.ensure(image, log=say), on_end=lambda: world.wake(uid))


def _task(image: Any) -> str:
    return f"image-{image.env}"
