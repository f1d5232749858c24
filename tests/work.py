"""Work for several processes, here because each of them imports the module: this one is quick to import."""

from __future__ import annotations

import os
import time

from facerec.core import FacerecError


def slow_square(value: int) -> int:
    time.sleep(0.02 * (value % 3 == 0))
    return value * value


def fail_at_three(value: int) -> int:
    if value == 3:
        raise FacerecError("three")
    return value


def die(value: int) -> int:
    os._exit(9)
