import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from tfx_imbalance.components.class_weights import ClassWeightParams, class_weights
from tfx_imbalance.components.errors import UserError

COUNTS = {"no": 900, "maybe": 90, "yes": 10}
COSTS = {"no": {"yes": 1.0, "maybe": 1.0}, "maybe": {"no": 3.0}, "yes": {"no": 20.0}}


def weights(counts=COUNTS, **params):
    return class_weights(counts, ClassWeightParams(**params))


def test_balanced_is_scikit_learns():
    rows = np.repeat(list(COUNTS), list(COUNTS.values()))
    expected = compute_class_weight("balanced", classes=np.array(list(COUNTS)), y=rows)
    np.testing.assert_allclose(list(weights(scheme="balanced").values()), expected)


def test_inverse_sqrt_by_its_formula():
    found = weights(scheme="inverse_sqrt")
    assert found["yes"] / found["no"] == pytest.approx(math.sqrt(900 / 10))
    assert found["maybe"] / found["no"] == pytest.approx(math.sqrt(900 / 90))


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_effective_number_by_equation_2_of_cui(beta):
    effective = {c: sum(beta**i for i in range(n)) for c, n in COUNTS.items()}
    found = weights(scheme="effective_number", beta=beta)
    for c in COUNTS:
        assert found[c] / found["no"] == pytest.approx(effective["no"] / effective[c])


def test_cost_matrix_by_equation_1_of_ting():
    cost = {"no": 2.0, "maybe": 3.0, "yes": 20.0}
    normaliser = sum(COUNTS.values()) / sum(cost[c] * COUNTS[c] for c in COUNTS)
    found = weights(scheme="cost_matrix", cost_matrix=COSTS)
    assert found == pytest.approx({c: cost[c] * normaliser for c in COUNTS})


def test_none_leaves_every_row_at_1():
    assert weights() == {"no": 1.0, "maybe": 1.0, "yes": 1.0}


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text(max_size=5), st.integers(1, 10**7), min_size=1, max_size=6),
    st.sampled_from(["none", "balanced", "inverse_sqrt", "effective_number", "explicit"]),
    st.floats(0, 0.9999),
)
def test_mean_weight_over_rows_is_1_and_order_is_kept(counts, scheme, beta):
    explicit = {c: 1.0 + i for i, c in enumerate(counts)}
    found = weights(counts, scheme=scheme, beta=beta, explicit=explicit)
    assert list(found) == list(counts)
    total = sum(counts.values())
    assert sum(found[c] * n for c, n in counts.items()) == pytest.approx(total)
    if scheme in ("balanced", "inverse_sqrt", "effective_number"):
        by_size = sorted(counts, key=counts.__getitem__)
        assert all(found[a] >= found[b] - 1e-9 for a, b in pairwise(by_size))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scheme": "explicit", "explicit": {"no": 1, "yes": 2}}, "no entry for class maybe"),
        (
            {"scheme": "explicit", "explicit": {"no": 1, "yes": 2, "maybe": 1, "never": 1}},
            "class_weights.explicit: unknown class never",
        ),
        ({"scheme": "cost_matrix", "cost_matrix": {"no": {"yes": 1}}}, "no entry for class"),
        (
            {"scheme": "cost_matrix", "cost_matrix": {**COSTS, "yes": {"nope": 1}}},
            "cost_matrix.yes: unknown class nope",
        ),
        (
            {"scheme": "cost_matrix", "cost_matrix": {**COSTS, "yes": {"no": 0}}},
            "each true class needs a cost above 0",
        ),
    ],
)
def test_classes_that_do_not_fit_are_named(params, message):
    with pytest.raises(UserError, match=message):
        weights(**params)


def test_a_class_without_rows_is_refused():
    with pytest.raises(UserError, match="at least one row of each class"):
        weights({"no": 3, "yes": 0}, scheme="balanced")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scheme": "explicit"}, "needs `explicit`"),
        ({"scheme": "cost_matrix"}, "needs `cost_matrix`"),
        ({"scheme": "explicit", "explicit": {"no": 0.0}}, "greater than 0"),
        ({"scheme": "explicit", "explicit": {"no": math.inf}}, "finite"),
        ({"scheme": "cost_matrix", "cost_matrix": {"no": {"yes": -1}}}, "not negative"),
        ({"scheme": "cost_matrix", "cost_matrix": {"no": {"yes": math.nan}}}, "not negative"),
        ({"scheme": "cost_matrix", "cost_matrix": {"no": {"no": 1}}}, "correct decision"),
    ],
)
def test_params_that_make_no_sense_are_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        ClassWeightParams(**params)
