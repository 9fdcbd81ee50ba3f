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


LONG = "\u9867\u5ba2\u306e\u4f4f\u6240" * 17


@pytest.mark.parametrize("name", ["a", "city/../town", "x" * 255, LONG, "/" * 300, ".."])
def test_a_column_s_name_fits_a_file_s(tmp_path, name: str) -> None:
    (tmp_path / f"vocabulary_1000_{names.in_file_name(name)}").write_text("")
    assert len(list(tmp_path.iterdir())) == 1


def test_long_names_stay_apart_in_names_of_files() -> None:
    assert names.in_file_name(LONG + "a") != names.in_file_name(LONG + "b")
