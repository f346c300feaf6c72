"""`python -m scripts.images`: builds the images, and prints where their archives are."""

from __future__ import annotations

import argparse
import os
import sys

from scripts.images.build import DEFAULT_TAG, build_images
from scripts.images.cache import Cache
from scripts.images.failure import ImagesError


def main() -> None:
    """Builds what changed; exit code 2 with a sentence where that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m scripts.images", description=__doc__)
    parser.add_argument("--tag", default=DEFAULT_TAG, help="the images' tag (default: %(default)s)")
    options = parser.parse_args()
    try:
        images = build_images(
            Cache.from_environment(os.environ),
            environment=os.environ,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            tag=options.tag,
        )
    except ImagesError as error:
        print(f"images: {error}", file=sys.stderr)
        sys.exit(2)
    for image in images:
        print(image.archive)


if __name__ == "__main__":
    main()
