import pytest

from tfx_imbalance.components.champion.registry import describe, latest_version


@pytest.fixture
def push(tmp_path):
    def pushed(*names, complete=True):
        for name in names:
            (tmp_path / name).mkdir(parents=True)
            if complete:
                (tmp_path / name / "saved_model.pb").write_bytes(b"")

    return pushed


def test_nothing_was_pushed_where_the_folder_is_missing_or_empty(tmp_path):
    assert latest_version(str(tmp_path)) is None
    assert latest_version(str(tmp_path / "missing")) is None


def test_latest_is_the_highest_number_not_the_last_name(tmp_path, push):
    push("9", "10", "1764028800", "8")
    assert latest_version(str(tmp_path)) == "1764028800"


def test_foreign_and_unfinished_folders_are_ignored(tmp_path, push):
    push("5", "tmp", "99.tmp", "-7", "²", "v12")
    push("12", complete=False)
    (tmp_path / "13").write_text("a file")
    assert latest_version(str(tmp_path)) == "5"


def test_only_unfinished_folders_are_none(tmp_path, push):
    push("12", complete=False)
    assert latest_version(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1764028800", "serving/1764028800, pushed 2025-11-25 00:00 UTC"),
        ("3", "serving/3"),
        ("9" * 30, f"serving/{'9' * 30}"),
    ],
)
def test_version_in_words(version, words):
    assert describe("/runs/bank/serving/", version) == words
