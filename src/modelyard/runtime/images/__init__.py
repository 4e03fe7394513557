"""Managed images: what AWS publishes as containers, here pinned Python environments and entry points.

A recipe (`recipes/<name>.toml`) maps repository and tag to an environment; an environment is a lock file built once
with uv into the cache folder, read-only, shared by all runs and data folders.
"""

from modelyard.runtime.images.recipes import Image
from modelyard.runtime.images.store import BuildFailed, ImageState, ImageStore

__all__ = ["BuildFailed", "Image", "ImageState", "ImageStore"]
