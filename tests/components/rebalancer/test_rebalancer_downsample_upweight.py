"""Fewer rows that count for more."""

from collections import Counter

import numpy as np
import pytest

from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams

NAME = "_sampling_weight"
PARAMS = RebalanceParams(method="downsample_upweight", seed=3)


def weights_of(result):
    """(class, weight, 1 where the row has none) -> rows."""
    rows = map(dict, result.rows.elements())
    return Counter((row["y"].decode(), row.get(NAME, 1.0)) for row in rows)


def test_rows_are_those_of_undersampling_and_weigh_what_was_dropped(run, data):
    result = run(data, PARAMS, shards=3)
    under = run(data, RebalanceParams(method="under", seed=3))
    plain = Counter(
        tuple(pair for pair in row if pair[0] != NAME) for row in result.rows.elements()
    )
    assert plain == under.rows
    assert weights_of(result) == {
        ("no", np.float32(60 / 14)): 14,
        ("perhaps", np.float32(25 / 14)): 14,
        ("yes", 1.0): 14,
    }


def test_rows_of_a_class_that_keeps_all_are_untouched_bytes(run, data, kit):
    result = run(data, PARAMS)
    yes = [r for r in result.source if dict(kit.parsed(r))["y"] == b"yes"]
    assert not Counter(yes) - Counter(kit.read(result.files))


@pytest.mark.parametrize("strategy", ["auto", "not minority", "all", {"no": 7}, {"perhaps": 1}])
def test_weighted_counts_are_those_before(strategy, run, data):
    params = PARAMS.model_copy(update={"sampling_strategy": strategy})
    result = run(data, params, shards=2)
    total = Counter()
    for (name, weight), rows in weights_of(result).items():
        total[name] += weight * rows
    assert total == pytest.approx(data.counts, rel=1e-6)
    report = result.report
    assert report.kind == "none"
    assert report.factors == pytest.approx(dict.fromkeys(data.counts, 1.0))
    for name, rows in report.before.items():
        assert report.weights[name] == pytest.approx(rows / report.after[name])
    assert not any(report.duplicated.values()) and not any(report.synthetic.values())


def test_equal_rows_at_the_cut_are_weighted_too(run, kit):
    rows = [{"a": 1.0, "y": "no", "_row_id": 5}] * 40 + [{"a": 2.0, "y": "yes", "_row_id": 6}] * 7
    result = run([kit.example(row) for row in rows], PARAMS, shards=3)
    assert weights_of(result) == {("no", np.float32(40 / 7)): 7, ("yes", 1.0): 7}


def test_balanced_rows_get_no_weight(run, data):
    balanced = data.take(np.r_[0:14, 60:74, 85:99])
    result = run(balanced, PARAMS)
    assert result.rows == result.read
    assert set(result.report.weights.values()) == {1.0}


def test_weighted_sums_are_unbiased_over_seeds(kit):
    data = kit.make_data()
    x = np.column_stack([data.columns["a"], np.arange(len(data))])
    y = data.columns["y"]
    sums = [
        (done.x[:, 0] * done.weights).sum()
        for done in (resample(x, y, PARAMS.model_copy(update={"seed": s})) for s in range(300))
    ]
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - x[:, 0].sum()) < 4 * error
