"""Builds the project's images on a machine without a container registry, for the cluster tests."""

from scripts.images.build import Image, Images, build_images
from scripts.images.failure import ImagesError

__all__ = ["Image", "Images", "ImagesError", "build_images"]
