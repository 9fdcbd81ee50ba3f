"""A config's mistakes are told with path, value and what is allowed, all at once."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import Config, load_config, parse_config

ROOT = Path(__file__).parents[2]
GOOD = {"name": "demo", "data": {"path": "data.csv", "label": "y"}}


def _with(path: str, value: object) -> dict:
    raw = copy.deepcopy(GOOD)
    node = raw
    *sections, key = path.split(".")
    for section in sections:
        node = node.setdefault(section, {})
    node[key] = value
    return raw


def _message(raw: dict) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(raw, "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_demo_configs_are_valid(path: Path) -> None:
    config = load_config(path)
    assert Path(config.data.path).is_absolute()


def test_a_minimal_config_needs_only_name_path_and_label() -> None:
    config = parse_config(GOOD, "c.yaml")
    assert config.ingest.label == config.trainer.label == config.calibrator.label == "y"
    assert config.rebalance.method == "none"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed", -1, ["c.yaml: seed: found -1", "greater than or equal to 0"]),
        ("seed", "one", ["seed: found 'one'", "integer"]),
        ("name", "My Model", ["name: found 'My Model'", "pattern"]),
        ("data.lable", "y", ["data.lable: unknown key", "did you mean 'label'?"]),
        ("datas", {}, ["datas: unknown key", "did you mean 'data'?"]),
        ("data.positive", True, ["data.positive: found True", "quote it"]),
        ("data.format", "xls", ["data.format: found 'xls'", "'csv', 'parquet' or 'tfrecord'"]),
        ("split.train", 0.9, ["split: train + val + test must be 1, found 1.2"]),
        ("split.train", 1.5, ["split.train: found 1.5", "less than 1"]),
        ("rebalance.method", "smot", ["rebalance.method: found 'smot'", "'smote'"]),
        ("rebalance.k_neighbors", 0, ["rebalance.k_neighbors: found 0", "greater than"]),
        ("rebalance.sampling_strategy", "most", ["rebalance.sampling_strategy: found 'most'"]),
        ("class_weights.scheme", "explicit", ["class_weights: scheme explicit needs"]),
        ("class_weights.beta", 1, ["class_weights.beta: found 1", "less than 1"]),
        ("train.mlp.epochs", 0, ["train.mlp.epochs: found 0"]),
        ("train.mlp.depth", 3, ["train.mlp.depth: unknown key", "known keys", "hidden"]),
        (
            "calibrate.threshold.objective",
            "recall_at_precision",
            ["calibrate.threshold: objective recall_at_precision needs `precision`"],
        ),
        ("gates.absolute", [{"metric": "auc"}], ["gates.absolute.0: needs `min` or `max`"]),
        ("gates.absolute", [{"metric": "acc", "min": 1}], ["gates.absolute.0.metric: found 'acc'"]),
        ("data.exclude", ["y"], ["data.exclude: 'y' is data.label"]),
        ("data.path", "day-{SPAN}.csv", ["split.mode: found 'exact'", "'stable'"]),
        ("metadata.kind", "mysql", ["metadata: kind mysql needs host, database, user"]),
        ("beam.nodes", {"Tuner": []}, ["beam.nodes.Tuner"]),
    ],
)
def test_a_mistake_is_named(path: str, value: object, said: list[str]) -> None:
    message = _message(_with(path, value))
    assert "\n" not in message, message
    for words in said:
        assert words in message


def test_several_mistakes_are_told_at_once() -> None:
    raw = _with("seed", -1)
    raw["rebalance"] = {"method": "smot"}
    raw["data"]["lable"] = "y"
    assert len(_message(raw).splitlines()) == 3


def test_a_missing_section_is_named() -> None:
    assert _message({"name": "demo"}) == "c.yaml: data: missing; it must be given"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "key 'name' stands twice"),
        ("- a\n- b\n", "expected sections"),
        ("name: [a\n", "not valid YAML"),
        ("", "expected sections"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such config file"):
        load_config(tmp_path / "none.yaml")


def test_data_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    assert load_config(path).data.path == str(tmp_path / "data.csv")


def test_unknown_columns_are_told_with_the_nearest_ones() -> None:
    config = parse_config(_with("evaluate.slices", ["jobs", "kontakt"]), "c.yaml")
    with pytest.raises(UserError) as caught:
        config.check_columns(["job", "contact", "y"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "did you mean 'job'?" in lines[0]


def test_a_round_trip_through_yaml_keeps_the_config() -> None:
    config = parse_config(_with("class_weights.scheme", "balanced"), "c.yaml")
    assert (
        Config.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
        == config
    )


def test_the_command_line_s_help_imports_no_tensorflow() -> None:
    code = (
        "import sys\n"
        "from tfx_imbalance.pipeline.cli import main\n"
        "sys.argv = ['tfx-imbalance', '--help']\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'keras', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout and "doctor" in done.stdout
