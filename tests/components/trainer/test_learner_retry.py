"""Out of memory: smaller batches, down to a floor."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.components.trainer.test_learner_resume import TRAIN, VAL, fit, scores, task
from tfx_imbalance.components import progress
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.devices import Cluster, Devices, visible_devices
from tfx_imbalance.components.trainer.learners import learner, mlp
from tfx_imbalance.components.trainer.learners.retry import in_smaller_batches

MANY = dataclasses.replace(
    TRAIN,
    **{  # 32 steps of 128 rows
        name: np.concatenate([getattr(TRAIN, name)] * 7)[: 32 * 128]
        for name in ("numbers", "categories", "labels", "weights")
    },
)


def memory_for(rows: int):
    """An attempt that fails as TensorFlow does where a batch has more rows."""
    tried: list[int] = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > rows:
            raise tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory")
        return "done"

    return attempt, tried


class Shared:
    """A strategy of some replicas."""

    def __init__(self, replicas: int) -> None:
        self.num_replicas_in_sync = replicas


def devices(replicas: int = 1, workers: int = 1) -> Devices:
    return Devices(Shared(replicas), "float32", "2 x Card", cluster=Cluster(workers))


def test_batches_are_halved_until_they_fit_and_that_is_said():
    attempt, tried = memory_for(100)
    said: list[str] = []
    with progress.shown_by(said.append):
        assert in_smaller_batches(attempt, 256, 16, devices()) == ("done", 64)
    assert tried == [256, 128, 64]
    assert said == [
        "out of memory with 256 rows a step on 2 x Card: again from the start with 128",
        "out of memory with 128 rows a step on 2 x Card: again from the start with 64",
    ]


def test_what_fits_is_tried_once():
    attempt, tried = memory_for(256)
    assert in_smaller_batches(attempt, 256, 16, devices()) == ("done", 256)
    assert tried == [256]


@pytest.mark.parametrize(
    ("rows", "floor", "replicas", "expected"),
    [
        (256, 16, 1, [256, 128, 64, 32, 16]),
        (100, 16, 1, [100, 50, 25]),
        (10, 16, 1, [10]),
        (48, 16, 3, [48, 24]),
        (8, 2, 8, [8]),
    ],
)
def test_at_the_floor_the_user_is_told_what_to_change(rows, floor, replicas, expected):
    attempt, tried = memory_for(0)
    with pytest.raises(UserError, match=r"train\.mlp\.batch_size: 2 x Card is out of memory"):
        in_smaller_batches(attempt, rows, floor, devices(replicas))
    assert tried == expected


def test_one_of_several_workers_does_not_go_on_alone():
    attempt, tried = memory_for(64)
    with pytest.raises(UserError, match="out of memory with 256 rows"):
        in_smaller_batches(attempt, 256, 16, devices(2, workers=2))
    assert tried == [256]


def test_other_errors_pass():
    def attempt(size: int) -> None:
        raise tf.errors.InternalError(None, None, "no fault of the batch")

    with pytest.raises(tf.errors.InternalError):
        in_smaller_batches(attempt, 256, 16, devices())


def test_the_mlp_trains_as_if_the_smaller_batch_had_been_asked_for(tmp_path, monkeypatch):
    asked = learner("mlp")(MANY, VAL, task(tmp_path / "asked", None, batch_size=64, epochs=1))
    watched = mlp.batches

    def crowded(rows, weights, epoch, *more):
        if epoch(tf.constant(0, tf.int64)).shape[1] > 64:
            raise tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory")
        return watched(rows, weights, epoch, *more)

    monkeypatch.setattr(mlp, "batches", crowded)
    found = learner("mlp")(MANY, VAL, task(tmp_path / "found", None, batch_size=128, epochs=1))
    assert (asked.batch_size, found.batch_size) == (64, 64)
    np.testing.assert_array_equal(scores(found), scores(asked))


def test_the_batch_size_is_reported_where_memory_was_enough(tmp_path):
    assert fit(task(tmp_path, None, epochs=1)).batch_size == 640 // 32


def test_all_replicas_have_equally_many_rows():
    assert [devices(3).shared(rows) for rows in (256, 50, 3, 2)] == [255, 48, 3, 3]
    assert visible_devices().shared(50) == 50
