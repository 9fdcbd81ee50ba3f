"""`init` writes a config that runs on the file it has looked at."""

from pathlib import Path

import pytest

from tests.e2e.workbench import rows, write_csv
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import load_config
from tfx_imbalance.pipeline.init import write_config


def test_the_config_is_valid_and_names_what_was_seen(tmp_path: Path) -> None:
    write_csv(tmp_path / "My Data.csv", rows(300))
    path = write_config(str(tmp_path / "My Data.csv"), "y", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.name == "my-data"
    assert Path(config.data.path) == tmp_path / "My Data.csv"
    assert (config.data.label, config.data.positive) == ("y", "yes")
    assert config.evaluate.slices == ("job", "region")
    assert "# " in path.read_text()


def test_identifiers_and_constants_are_excluded(tmp_path: Path) -> None:
    lines = ["id,constant,x,y"]
    lines += [f"u{i},1,{i % 7}.5,{'a' if i % 5 else 'b'}" for i in range(100)]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    path = write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    assert load_config(path).data.exclude == ("id", "constant")


def test_a_semicolon_is_found(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x;y\n" + "".join(f"{i};{i % 3}\n" for i in range(60)))
    path = write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.data.delimiter == ";"
    assert config.data.positive is None


def test_hostile_names_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(
        '"a: b # c","yes","label"\n'
        + "".join(f'k{i % 3},{i},"no"\n' for i in range(40))
        + "".join(f'k{i % 3},{i},"t\'{{}}"\n' for i in range(60, 70))
    )
    path = write_config(str(tmp_path / "d.csv"), "label", tmp_path / "c.yaml", force=False)
    config = load_config(path)
    assert config.data.positive == "t'{}"
    assert config.evaluate.slices == ("a: b # c",)


def test_an_existing_config_is_kept(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", rows(60))
    (tmp_path / "c.yaml").write_text("mine")
    with pytest.raises(UserError, match="--force"):
        write_config(str(tmp_path / "d.csv"), "y", tmp_path / "c.yaml", force=False)
    assert (tmp_path / "c.yaml").read_text() == "mine"


def test_a_wrong_label_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv", rows(60))
    with pytest.raises(UserError, match="'y'"):
        write_config(str(tmp_path / "d.csv"), "Y", tmp_path / "c.yaml", force=False)
    assert not (tmp_path / "c.yaml").exists()
