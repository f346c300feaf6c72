"""`tied.py PARENT COMMAND…` becomes COMMAND, which the kernel kills when process PARENT dies.

The binding survives exec; in the parent it is to the thread that started us, so start from one that
lasts. Alone in a file so that it starts without site-packages, in a few milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
# A parent that died before the call above sends nothing any more.
if os.getppid() != int(sys.argv[1]):
    sys.exit("The parent is gone.")
os.execvp(sys.argv[2], sys.argv[2:])
