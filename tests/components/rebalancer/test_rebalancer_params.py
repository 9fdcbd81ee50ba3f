"""What a user may say, and how it is refused."""

import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.params import METHODS_OF, Method, RebalanceParams

OTHER = {
    "under_sampling_strategy": "all",
    "k_neighbors": 3,
    "m_neighbors": 4,
    "shrinkage": 0.5,
    "n_clusters": 3,
    "cluster_balance_threshold": 0.2,
    "density_exponent": 2.0,
    "n_neighbors": 7,
    "kind_sel": "mode",
    "sampler": "imblearn.over_sampling.SMOTE",
    "sampler_params": {"k_neighbors": 3},
}
SAMPLER = {"sampler": "imblearn.over_sampling.SMOTE"}


def given(method):
    return {"method": method, **(SAMPLER if method == "imblearn" else {})}


def test_every_option_of_some_methods_is_tried_here():
    assert set(OTHER) == set(METHODS_OF)
    assert {method for methods in METHODS_OF.values() for method in methods} <= set(Method.__args__)
    assert set(METHODS_OF) <= set(RebalanceParams.model_fields)


@pytest.mark.parametrize("method", Method.__args__)
@pytest.mark.parametrize("option", METHODS_OF)
def test_an_option_is_taken_by_the_methods_that_read_it_and_refused_by_name(option, method):
    said = {**given(method), option: OTHER[option]}
    if method in METHODS_OF[option]:
        assert getattr(RebalanceParams(**said), option) == OTHER[option]
        return
    with pytest.raises(UserError) as error:
        RebalanceParams(**said)
    message = str(error.value)
    for text in (f"{option}: method {method} does not read it", *METHODS_OF[option]):
        assert text in message


@pytest.mark.parametrize("method", ["over", "imblearn"])
def test_a_default_said_aloud_is_no_mistake(method):
    defaults = {
        name: field.default
        for name, field in RebalanceParams.model_fields.items()
        if name not in ("method", "sampler")
    }
    assert RebalanceParams(**given(method), **defaults) == RebalanceParams(**given(method))


def test_a_sampler_alone_means_method_imblearn():
    assert RebalanceParams(**SAMPLER).method == "imblearn"
    assert RebalanceParams(**SAMPLER, sampler_params={"k_neighbors": 2}).method == "imblearn"
    assert RebalanceParams(sampler=None).method == "none"
    with pytest.raises(UserError, match="sampler: method none does not read it"):
        RebalanceParams(method="none", **SAMPLER)


def test_imblearn_without_a_sampler_is_refused():
    with pytest.raises(UserError, match="sampler: missing"):
        RebalanceParams(method="imblearn")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"method": "both", "sampling_strategy": 0.5, "under_sampling_strategy": "all"},
        {"method": "over", "sampling_strategy": {"yes": 50}, "seed": 2**40},
        {"method": "tomek_links", "sampling_strategy": ["no", "yes"]},
        {"method": "kmeans_smote", "n_clusters": 3, "cluster_balance_threshold": 0},
        {**SAMPLER, "sampler_params": {"k_neighbors": 2, "kind": [1, None, "x"]}},
    ],
)
def test_they_come_back_from_their_property(said):
    params = RebalanceParams(**said)
    assert RebalanceParams.from_property(params.to_property()) == params


def test_a_list_of_classes_becomes_a_tuple():
    params = RebalanceParams(method="tomek_links", sampling_strategy=["no", "yes"])
    assert params.sampling_strategy == ("no", "yes")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"method": "smoted"}, "method"),
        ({"k_neighbours": 3}, "k_neighbours"),
        ({"method": "smote", "k_neighbors": 0}, "k_neighbors"),
        ({"sampling_strategy": "most"}, "sampling_strategy"),
        ({"sampling_strategy": None}, "sampling_strategy"),
        ({"max_growth": 1}, "max_growth"),
        ({"memory_limit_mb": 0}, "memory_limit_mb"),
        ({"method": "rose", "shrinkage": -0.1}, "shrinkage"),
        ({"seed": -1}, "seed"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(said, name):
    with pytest.raises(UserError, match=name):
        RebalanceParams(**said)


@pytest.mark.parametrize("wrong", ["majorty", [1.5], {"yes": 1.5}, None])
def test_a_wrong_strategy_is_told_in_one_line_of_ours(wrong):
    with pytest.raises(UserError) as error:
        RebalanceParams(method="over", sampling_strategy=wrong)
    message = str(error.value)
    assert message.startswith("sampling_strategy: found ")
    assert "expected auto, minority, majority, not majority" in message
    assert "\n" not in message
    assert "pydantic" not in message
    assert message.count("expected") == 1


def test_classes_of_a_strategy_are_named_as_in_the_pipeline():
    params = RebalanceParams(method="over", sampling_strategy={1: 5, "a": 7})
    assert params.sampling_strategy == {"1": 5, "a": 7}
    params = RebalanceParams(method="over", sampling_strategy={2.0: 5, False: 6})
    assert params.sampling_strategy == {"2": 5, "false": 6}
