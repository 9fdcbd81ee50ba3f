"""Every name that we write into examples is kept from the data's columns."""

import pytest

from tfx_imbalance.components import names


@pytest.mark.parametrize(
    "name", [v for k, v in vars(names).items() if k.isupper() and str(v).startswith("_")]
)
def test_each_feature_of_ours_is_reserved(name: str) -> None:
    assert names.reserved_for(name)


@pytest.mark.parametrize(
    "name", ["label", "probability", "decision", "_row", "_Row_id", "a_missing", "synthetic_a", ""]
)
def test_other_names_are_the_data_s(name: str) -> None:
    assert names.reserved_for(name) is None
