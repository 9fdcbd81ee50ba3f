"""Rows of each epoch: counts, evenness, repeatability."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.input import Rows
from tfx_imbalance.components.trainer.params import (
    EnsembleParams,
    MlpParams,
    SamplingParams,
    TrainOptions,
)
from tfx_imbalance.components.trainer.sampling import Sampling, plan

EVEN_MODES = ("per_class", "balanced_batches")
MODES = (*EVEN_MODES, "rejection")


def rows_of(counts: list[int], weights: np.ndarray | None = None) -> Rows:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(labels)
    return Rows(
        np.zeros((n, 1), np.float32),
        np.zeros((n, 0), np.int32),
        labels.astype(np.int32),
        np.ones(n, np.float32) if weights is None else weights.astype(np.float32),
    )


def names(n: int) -> list[str]:
    return [f"c{k}" for k in range(n)]


def planned(
    mode: str,
    rows: Rows,
    target: list[float] | None = None,
    *,
    size: int = 10,
    epochs: int = 50,
    seed: int = 3,
) -> Sampling:
    n = int(rows.labels.max()) + 1 if target is None else len(target)
    shares = "balanced" if target is None else dict(zip(names(n), target, strict=True))
    params = SamplingParams(mode=mode, target=shares)
    return plan(params, rows, names(n), size=size, epochs=epochs, seed=seed)


def epochs_of(way: Sampling, n: int) -> np.ndarray:
    """int32 [n, steps, size]."""
    found = tf.data.Dataset.range(n).map(way.epoch)
    return np.stack(list(found.as_numpy_iterator()))


def counted(index: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(index.ravel(), minlength=n)


shares = st.lists(st.integers(1, 60), min_size=2, max_size=4).map(
    lambda parts: [p / sum(parts) for p in parts]
)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(EVEN_MODES),
    shares,
    st.lists(st.integers(1, 40), min_size=4, max_size=4),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_counts_are_exact_up_to_rounding_and_rows_are_used_evenly(mode, target, counts, size, seed):
    rows = rows_of(counts[: len(target)])
    size = min(size, len(rows))
    way = planned(mode, rows, target, size=size, epochs=4, seed=seed)
    index = epochs_of(way, 4)
    drawn = index[0].size
    assert index.shape == (4, len(rows) // size, size)
    classes = range(len(target))
    labels = rows.labels[index]
    for epoch in labels:
        for k in classes:
            assert abs((epoch == k).sum() - drawn * target[k]) < 1 + 1e-6
    if mode == "balanced_batches":
        for k in classes:
            assert (np.abs((labels == k).sum(axis=2) - size * target[k]) < 1 + 1e-6).all()
    for used in (
        *(counted(e, len(rows)) for e in index),
        *(counted(index[:e], len(rows)) for e in range(1, 5)),
    ):
        for k in classes:
            assert np.ptp(used[rows.labels == k]) <= 1


@pytest.mark.parametrize("mode", MODES)
def test_the_mean_count_is_the_target(mode):
    target, rows = [0.617, 0.27, 0.113], rows_of([20, 5, 2])
    labels = rows.labels[epochs_of(planned(mode, rows, target, epochs=3000, size=9), 3000)]
    for k, share in enumerate(target):
        got = (labels == k).sum(axis=(1, 2))
        error = got.std() / np.sqrt(3000)
        assert got.mean() == pytest.approx(27 * share, abs=4 * error)
        assert error < (0.06 if mode == "rejection" else 0.012)
    by_batch = (labels == 2).sum(axis=2)
    np.testing.assert_allclose(
        by_batch.mean(axis=0), 9 * 0.113, atol=0.08 if mode != "per_class" else 1
    )


@pytest.mark.parametrize("mode", MODES)
def test_draws_are_target_by_share(mode):
    way = planned(mode, rows_of([80, 15, 5]), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(way.draws, [0.5 / 0.8, 0.25 / 0.15, 0.25 / 0.05], rtol=1e-6)
    np.testing.assert_array_equal(planned("none", rows_of([80, 15, 5])).draws, [1, 1, 1])


@pytest.mark.parametrize("mode", ("none", *MODES))
def test_an_epoch_is_a_function_of_seed_and_number(mode):
    rows = rows_of([70, 30])
    one, same, other = (planned(mode, rows, seed=s) for s in (5, 5, 6))
    longer = planned(mode, rows, seed=5, epochs=80)
    number = tf.constant(4, tf.int64)
    np.testing.assert_array_equal(one.epoch(number), epochs_of(same, 5)[4])
    np.testing.assert_array_equal(one.epoch(number), longer.epoch(number))
    assert not np.array_equal(one.epoch(number), other.epoch(number))
    assert not np.array_equal(one.epoch(number), one.epoch(number + 1))


def test_without_sampling_an_epoch_has_each_row_once():
    index = epochs_of(planned("none", rows_of([70, 30])), 1)
    assert sorted(index.ravel().tolist()) == list(range(100))


def test_a_rare_class_comes_round_in_a_new_order_without_repeats():
    rows = rows_of([93, 7])
    index = epochs_of(planned("per_class", rows), 1).ravel()
    rare = index[rows.labels[index] == 1]
    assert len(rare) == 50
    rounds = rare[:49].reshape(7, 7)
    assert all(len(set(r)) == 7 for r in rounds.tolist())
    assert len({tuple(r) for r in rounds.tolist()}) > 4


def test_streams_are_mixed_evenly():
    rows = rows_of([900, 90, 10])
    target = np.array([0.6, 0.3, 0.1])
    labels = rows.labels[epochs_of(planned("per_class", rows, target.tolist()), 1).ravel()]
    so_far = np.cumsum(labels[:, None] == np.arange(3), axis=0)
    assert np.abs(so_far - np.arange(1, 1001)[:, None] * target).max() <= 3


def test_rejection_draws_have_the_law_of_rows_that_were_thrown_away_or_kept():
    rows, target = rows_of([30, 8, 2]), np.array([0.2, 0.3, 0.5])
    rng = np.random.default_rng(1)
    share = np.bincount(rows.labels) / len(rows)
    keep = target / share / (target / share).max()
    candidates = rng.integers(0, len(rows), 200_000)
    kept = candidates[rng.random(200_000) < keep[rows.labels[candidates]]]
    mine = epochs_of(planned("rejection", rows, target.tolist(), size=40, epochs=300), 300).ravel()
    expected = (target / np.bincount(rows.labels))[rows.labels]
    for drawn in (kept, mine):
        assert chisquare(counted(drawn, 40), len(drawn) * expected).pvalue > 1e-3
    # Independent: a row follows itself as often as chance has it.
    repeats = (mine[1:] == mine[:-1]).mean()
    assert repeats == pytest.approx((expected**2).sum(), abs=0.015)


@pytest.mark.parametrize("mode", MODES)
def test_rows_without_weight_are_never_drawn_and_count_in_no_share(mode):
    weights = np.ones(100)
    weights[::2] = 0
    rows = rows_of([80, 20], weights)
    way = planned(mode, rows)
    assert (rows.weights[epochs_of(way, 5)] > 0).all()
    left = np.bincount(rows.labels[1::2]) / 50
    np.testing.assert_allclose(way.draws, 0.5 / left)


@pytest.mark.parametrize("mode", MODES)
def test_other_weights_do_not_change_the_draws(mode):
    heavy = rows_of([80, 20], np.random.default_rng(0).exponential(size=100) + 0.1)
    plain, other = planned(mode, rows_of([80, 20])), planned(mode, heavy)
    np.testing.assert_array_equal(epochs_of(plain, 2), epochs_of(other, 2))


def test_a_class_without_rows_cannot_be_drawn():
    params = SamplingParams(mode="per_class")
    with pytest.raises(UserError, match="class 'c2' has no row in train to draw"):
        plan(params, rows_of([5, 5]), names(3), size=2, epochs=1, seed=0)


@pytest.mark.parametrize("target", [{"c0": 0.5, "x": 0.5}, {"c0": 1.0}])
def test_a_target_must_name_the_classes(target):
    params = SamplingParams(mode="per_class", target=target)
    with pytest.raises(UserError, match=r"mlp.sampling.target: found .*; expected a share for"):
        plan(params, rows_of([5, 5]), names(2), size=2, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": {"a": 0.5, "b": 0.5}}, "target: mode none does not read it"),
        ({"mode": "rejection", "target": {"a": 0.5, "b": 0.4}}, "expected shares whose sum is 1"),
        ({"mode": "rejection", "target": {"a": 1.0, "b": 0.0}}, "expected shares above 0"),
    ],
)
def test_targets_that_are_no_distribution_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        SamplingParams(**options)


def test_sampling_says_that_it_balances():
    mlp = MlpParams(sampling=SamplingParams(mode="per_class"))
    assert TrainOptions(mlp=mlp).balances == (
        "train.mlp.sampling.mode per_class balances the classes itself"
    )
    assert TrainOptions().balances is None
    assert TrainOptions(learner="boosted_trees", mlp=mlp).balances is None
    with pytest.raises(ValidationError, match=r"mlp\.sampling\.mode: found 'per_class'"):
        TrainOptions(learner="balanced_bagging", mlp=mlp, ensemble=EnsembleParams(member="mlp"))
