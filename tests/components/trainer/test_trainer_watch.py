"""Early stopping where AUC-PR cannot decide, and scoring in blocks."""

import keras
import numpy as np
import pytest

from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, watch
from tfx_imbalance.components.trainer.learners.watch import Watch, raw_scores
from tfx_imbalance.components.trainer.params import TrainerParams


def network() -> keras.Model:
    """Scores are the number's negative and the number, each times a variable of 1 at first."""
    numbers, categories = keras.Input((1,)), keras.Input((0,), dtype="int32")
    head = keras.layers.Dense(
        2, use_bias=False, kernel_initializer=lambda shape, dtype: np.array([[-1.0, 1.0]])
    )
    both = keras.layers.Concatenate()([numbers, keras.ops.cast(categories, "float32")])
    return keras.Model((numbers, categories), head(both))


def rows(numbers: list[float], labels: list[int]) -> Rows:
    n = len(labels)
    return Rows(
        np.array(numbers, np.float32)[:, None],
        np.zeros((n, 0), np.int32),
        np.array(labels, np.int32),
        np.ones(n, np.float32),
    )


def watching(val: Rows, log_dir, patience: int = 2) -> Watch:
    params = TrainerParams(label="y")
    task = Task(
        (Feature("x", 1),), ["no", "yes"], np.ones(2), params, visible_devices(), str(log_dir)
    )
    callback = Watch(val, task, epochs=10, patience=patience)
    callback.set_model(network())
    callback.model.stop_training = False
    return callback


def run(callback: Watch, scales: list[float]) -> int:
    """Epochs run until `callback` stops, with the kernel scaled so in each."""
    for epoch, scale in enumerate(scales):
        callback.model.set_weights([np.array([[-scale, scale]])])
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 1.0})
        if callback.model.stop_training:
            break
    return len(callback.history)


def test_the_weights_of_the_epoch_with_the_best_auc_pr_are_kept(tmp_path):
    callback = watching(rows([-1, 0, 1, 2], [0, 0, 0, 1]), tmp_path)
    assert run(callback, [-1.0, 1.0, -2.0, -3.0, -4.0]) == 4  # two epochs without a better one
    assert callback.best_epoch == 2
    np.testing.assert_array_equal(callback.best_weights[0], [[-1.0, 1.0]])
    assert [e.val_auc_pr for e in callback.history] == pytest.approx([0.25, 1, 0.25, 0.25])


def test_of_equally_good_epochs_the_first_is_kept(tmp_path):
    callback = watching(rows([-1, 1], [0, 1]), tmp_path)
    run(callback, [1.0, 2.0])
    assert callback.best_epoch == 1


def test_the_loss_decides_where_val_has_no_positive_row(tmp_path):
    callback = watching(rows([-1, -2], [0, 0]), tmp_path, patience=3)
    run(callback, [0.5, 2.0, 1.0])
    assert callback.best_epoch == 2
    assert all(np.isnan(e.val_auc_pr) for e in callback.history)
    # softplus(-2 s |x|) of both rows
    expected = np.log1p(np.exp(-2 * 2.0 * np.array([1, 2]))).mean()
    assert callback.history[1].val_loss == pytest.approx(expected, rel=1e-4)


def test_recall_is_of_the_larger_score(tmp_path):
    callback = watching(rows([-1, 1, -1, 2], [0, 0, 1, 1]), tmp_path)
    run(callback, [1.0])
    assert callback.history[0].val_recall == {"no": 0.5, "yes": 0.5}


def test_scoring_in_blocks_scores_each_row_once(monkeypatch):
    monkeypatch.setattr(watch, "SCORE_ROWS", 7)
    x = np.arange(30, dtype=np.float32)
    scores = raw_scores(network(), rows(x.tolist(), [0] * 30))
    np.testing.assert_array_equal(scores, np.stack([-x, x], axis=1))
