"""Goes on with smaller batches where the device's memory does not hold large ones."""

import gc
from collections.abc import Callable
from typing import TypeVar

import keras
import tensorflow as tf

from ... import progress
from ...errors import UserError
from ..devices import Devices

T = TypeVar("T")


def in_smaller_batches(
    attempt: Callable[[int], T], rows: int, floor: int, devices: Devices
) -> tuple[T, int]:
    """`attempt(rows)`, with half as many rows each time that it runs out of memory.

    Args:
      attempt: trains from the start with so many rows a step.
      rows: a step, at first.
      floor: fewest rows a step.
      devices: of several workers none may go on alone, so that there is one attempt.

    Returns:
      What the attempt that ended gave, and its rows a step.

    Raises:
      UserError: no number of rows down to the floor fits.
    """
    fewest = min(rows, floor) if devices.cluster.workers == 1 else rows
    while True:
        try:
            return attempt(rows), rows
        except tf.errors.ResourceExhaustedError:
            pass
        # Out here, where the failed attempt's tensors are held by no traceback.
        fewer = devices.shared(rows // 2)
        if fewer < fewest or fewer == rows:
            break
        keras.utils.clear_session(free_memory=False)
        gc.collect()
        progress.say(
            f"out of memory with {rows} rows a step on {devices.description}: "
            f"again from the start with {fewer}"
        )
        rows = fewer
    raise UserError(
        f"train.mlp.batch_size: {devices.description} is out of memory with {rows} rows a step; "
        "expected a smaller batch_size, or smaller train.mlp.hidden, embedding_units or bins; "
        "or use a device with more memory"
    )
