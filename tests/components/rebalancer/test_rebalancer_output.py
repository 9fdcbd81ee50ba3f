"""Examples that are written otherwise than they were read, against TensorFlow's own messages."""

import numpy as np
import pytest

from tfx_imbalance.components.examples_io import framed
from tfx_imbalance.components.rebalancer.output import synthetic_frames, weighted_frames
from tfx_imbalance.components.rebalancer.reading import Layout
from tfx_imbalance.components.rebalancer.rows import Origin, Rows

PROVENANCE = ("_synthetic_base", "_synthetic_gap", "_synthetic_method", "_synthetic_neighbor")


def make_rows(n=5):
    rng = np.random.default_rng(0)
    columns = {
        "a": rng.normal(size=n).astype(np.float32),
        "c": rng.integers(-3, 3, n),
        "v": rng.normal(size=(n, 3)).astype(np.float32),
        "w": rng.uniform(size=n).astype(np.float32),
    }
    origin = Origin(
        rng.integers(-(2**62), 2**62, n),
        rng.integers(-(2**62), 2**62, n),
        rng.uniform(size=n).astype(np.float32),
        "smote",
    )
    return Rows(rng.integers(-(2**62), 2**62, n), np.arange(n) % 2, columns), origin


def layout(has_row_id=True):
    return Layout("y", ("non", "où"), has_row_id)


def written(kit, *given):
    return [
        dict(kit.parsed(record))
        for frames in synthetic_frames(*given)
        for record in frames.payloads()
    ]


@pytest.mark.parametrize("has_row_id", [True, False])
@pytest.mark.parametrize("provenance", [True, False])
def test_synthetic_rows_are_examples_like_the_others(has_row_id, provenance, kit):
    rows, origin = make_rows()
    found = written(kit, rows, origin, layout(has_row_id), provenance)
    for i, row in enumerate(found):
        expected = {
            "a": rows.columns["a"][i],
            "c": rows.columns["c"][i],
            "v": tuple(rows.columns["v"][i].tolist()),
            "w": rows.columns["w"][i],
            "y": ["non", "où"][rows.codes[i]].encode(),
        }
        if has_row_id:
            expected["_row_id"] = rows.ids[i]
        if provenance:
            values = (origin.base[i], origin.gap[i], b"smote", origin.neighbor[i])
            expected |= dict(zip(PROVENANCE, values, strict=True))
        assert row == expected


def test_synthetic_rows_have_the_constant_features(kit):
    rows, origin = make_rows()
    plain = written(kit, rows, origin, layout(), False)
    constants = Layout("y", ("non", "où"), True, constants=(("a_missing", 0),))
    found = written(kit, rows, origin, constants, False)
    assert found == [{**row, "a_missing": 0} for row in plain]


def test_rows_of_unknown_origin_say_nothing_of_it(kit):
    rows, _ = make_rows()
    assert not set(PROVENANCE) & set(written(kit, rows, None, layout(), True)[0])


def test_no_rows_give_no_examples(kit):
    rows, origin = make_rows(0)
    assert written(kit, rows, origin, layout(), True) == []


def test_weighted_rows_differ_in_their_weight_alone(kit):
    records = [kit.example({"a": 1.5, "y": "yes", "v": (1.0, 2.0), "_row_id": i}) for i in range(3)]
    weights = np.array([2.5, 1 / 3, 1e6])
    frames = weighted_frames(framed(records), weights)
    assert len(frames) == 3
    for before, after, weight in zip(records, frames.payloads(), weights, strict=True):
        expected = {**dict(kit.parsed(before)), "_sampling_weight": np.float32(weight)}
        assert dict(kit.parsed(after)) == expected


def test_a_weight_that_rows_already_have_is_multiplied(kit):
    record = kit.example({"a": 1.5, "y": "yes", "_sampling_weight": 3.0})
    (after,) = weighted_frames(framed([record]), np.array([2.0])).payloads()
    assert dict(kit.parsed(after))["_sampling_weight"] == 6.0
