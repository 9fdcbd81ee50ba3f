"""A config's mistakes are told with path, value and what is allowed, all at once."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.config import NODES, Config, load_config, parse_config

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
        ("name", "My Model", ["name: found 'My Model'", "expected the form ^[a-z0-9]"]),
        ("data.lable", "y", ["data.lable: unknown key", "did you mean 'label'?"]),
        ("datas", {}, ["datas: unknown key", "did you mean 'data'?"]),
        ("data.positive", True, ["data.positive: found True", "quote it"]),
        ("data.format", "xls", ["data.format: found 'xls'", "'csv', 'parquet' or 'tfrecord'"]),
        ("split.train", 0.9, ["split: train + val + test must be 1, found 1.2"]),
        ("split.train", 1.5, ["split.train: found 1.5", "less than 1"]),
        ("rebalance.method", "smot", ["rebalance.method: found 'smot'", "'smote'"]),
        ("rebalance.k_neighbors", 0, ["rebalance.k_neighbors: found 0", "greater than"]),
        (
            "rebalance.sampling_strategy",
            "most",
            ["rebalance.sampling_strategy: found 'most'", "'all' or a number or a map or a list"],
        ),
        (
            "rebalance.sampling_strategy",
            {True: 100},
            ["rebalance.sampling_strategy.1: found True", "quote it"],
        ),
        (
            "rebalance.sampling_strategy",
            {"yes": 1.5},
            ["rebalance.sampling_strategy.yes: found 1.5; expected an integer"],
        ),
        ("rebalance.sampling_strategy", ["no", 1], ["rebalance.sampling_strategy.1: found 1"]),
        ("rebalance.k_neighbours", 3, ["rebalance.k_neighbours: unknown", "'k_neighbors'?"]),
        (
            "rebalance",
            {"method": "smote", "shrinkage": 0.5},
            ["c.yaml: rebalance.shrinkage: method smote does not read it; rose do"],
        ),
        (
            "rebalance",
            {"method": "over", "n_neighbors": 5},
            ["rebalance.n_neighbors: method over does not", "edited_nearest_neighbours"],
        ),
        ("rebalance.method", "imblearn", ["c.yaml: rebalance.sampler: missing; method imblearn"]),
        (
            "rebalance",
            {"method": "under", "sampler": "imblearn.over_sampling.SMOTE"},
            ["rebalance.sampler: method under does not read it; imblearn do"],
        ),
        ("rebalance.sampler", 7, ["rebalance.sampler: found 7; expected a string"]),
        ("rebalance.sampler_params", 5, ["rebalance.sampler_params: found 5; expected a map"]),
        ("rebalance.unsupported", "drop", ["rebalance.unsupported: found 'drop'", "'copy'"]),
        ("rebalance.recall", 1, ["rebalance.recall: found 1; expected less than 1"]),
        ("rebalance.exact_rows", 0, ["rebalance.exact_rows: found 0"]),
        ("rebalance.outliers.method", "iqr", ["rebalance.outliers.method: found 'iqr'"]),
        (
            "rebalance.outliers.action",
            "drop",
            ["c.yaml: rebalance.outliers.action: 'drop': method none finds no outliers"],
        ),
        (
            "rebalance.outliers",
            {"method": "robust", "contamination": 0.1},
            ["rebalance.outliers.contamination: method robust does not read it"],
        ),
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


ONE_SIDED = "imblearn.under_sampling.OneSidedSelection"


def test_a_sampler_of_imbalanced_learn_is_a_method() -> None:
    raw = _with("rebalance", {"sampler": ONE_SIDED, "sampler_params": {"n_seeds_S": 5}})
    config = parse_config(raw, "c.yaml")
    config.check_outside()
    assert config.rebalancer.method == "imblearn"
    assert config.rebalancer.sampler == ONE_SIDED
    assert config.rebalancer.sampler_params == {"n_seeds_S": 5}


def test_categorical_features_of_a_sampler_are_judged_once_there_are_features() -> None:
    arguments = {"categorical_features": ["job"], "k_neighbors": 3}
    sampler = {"sampler": "imblearn.over_sampling.SMOTENC", "sampler_params": arguments}
    parse_config(_with("rebalance", sampler), "c.yaml").check_outside()


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ({"sampler": f"{ONE_SIDED}s"}, f"rebalance.sampler: .* did you mean {ONE_SIDED}"),
        (
            {"sampler": ONE_SIDED, "sampler_params": {"seeds": 5}},
            "rebalance.sampler_params.seeds: not an argument of OneSidedSelection",
        ),
    ],
)
def test_a_sampler_that_is_not_there_is_told_before_anything_runs(sampler: dict, said: str) -> None:
    config = parse_config(_with("rebalance", sampler), "c.yaml")
    with pytest.raises(UserError, match=said):
        config.check_outside()


def test_a_value_of_the_wrong_form_is_told_what_the_key_is_for() -> None:
    section = {"image": "i:1", "pipeline_root": "s3://b", "resources": {"nodes": {}}}
    section["resources"]["nodes"]["Trainer"] = {"cpu": "lots", "mem": 4}
    with pytest.raises(UserError) as caught:
        parse_config(_with("kubeflow", section), "c.yaml")
    form, unknown = str(caught.value).splitlines()
    assert form.startswith("c.yaml: kubeflow.resources.nodes.Trainer.cpu: found 'lots'; expected")
    assert form.endswith("(limit in cores, such as 4 or 500m)")
    assert unknown.endswith("nodes.Trainer.mem: unknown key; did you mean 'memory'?")


ON_DATAFLOW = ("--runner=DataflowRunner", "--temp_location=gs://b/t", "--sdk_container_image=i:1")


@pytest.mark.parametrize(
    ("options", "place", "said"),
    [
        (
            ON_DATAFLOW[:2],
            "gs://b/data",
            "Rebalancer runs on Dataflow without --sdk_container_image",
        ),
        (ON_DATAFLOW[::2], "gs://b/data", "Rebalancer runs on Dataflow without --temp_location"),
        (ON_DATAFLOW, "/data", "Rebalancer runs on Dataflow, whose workers do not see /data; "),
        (("--runner", "DataflowRunner"), "gs://b/data", "without --temp_location; expected gs://"),
    ],
)
def test_what_dataflow_s_workers_would_not_find_is_told_before_anything_runs(
    options: tuple[str, ...], place: str, said: str
) -> None:
    config = parse_config(_with("beam", {"nodes": {"Rebalancer": options}}), "c.yaml")
    with pytest.raises(UserError, match=said):
        config.check_dataflow(place)


@pytest.mark.parametrize("options", [ON_DATAFLOW, ("--runner=FnApiRunner",), ()])
def test_options_that_are_whole_or_not_for_dataflow_pass(options: tuple[str, ...]) -> None:
    beam = {"default": ON_DATAFLOW, "nodes": dict.fromkeys(NODES, options)}
    parse_config(_with("beam", beam), "c.yaml").check_dataflow("gs://b/data")


@pytest.mark.parametrize(
    "rebalance",
    [
        {"method": "tomek_links", "sampling_strategy": ["no", "yes"]},
        {"method": "over", "sampling_strategy": {"yes": 100}},
        {"method": "smote", "k_neighbors": 3, "provenance": True, "unsupported": "copy"},
        {"outliers": {"method": "isolation_forest", "action": "drop", "contamination": 0.01}},
        {"sampler": ONE_SIDED, "sampler_params": {"n_neighbors": 3}},
    ],
)
def test_what_is_said_of_rebalancing_reaches_rebalancer(rebalance: dict) -> None:
    config = parse_config({**_with("rebalance", rebalance), "seed": 7}, "c.yaml")
    params = config.rebalancer
    assert params.seed == 7
    assert params.model_dump(exclude={"seed"}) == config.rebalance.model_dump()
    assert config.rebalance.acts


def test_the_detector_asks_for_the_neighbours_that_rebalancer_needs() -> None:
    raw = _with("rebalance", {"method": "smote", "k_neighbors": 9})
    assert parse_config(raw, "c.yaml").detector.k_neighbors == 9


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


def test_a_config_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "c.yaml").write_text(yaml.safe_dump(GOOD | {"seed": 3}))
    path = tmp_path / "c.yaml"
    path.write_text("extends: base/c.yaml\nname: other\nrebalance: {method: over}\n")
    config = load_config(path)
    assert config.data.path == str(tmp_path / "base" / "data.csv")
    assert (config.name, config.seed, config.rebalance.method) == ("other", 3, "over")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: c.yaml\nname: a\n", r"c\.yaml: extends: c\.yaml extends this file itself"),
        ("extends: 3\nname: a\n", r"c\.yaml: extends: found 3; expected the path of a config"),
        ("extends: none.yaml\nname: a\n", "none.yaml: no such config file"),
        ("extends: good.yaml\n", "name: missing"),
    ],
)
def test_what_cannot_be_extended_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(GOOD))
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        load_config(path)


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


SCHEMAS = {
    "empty": (b"", "names no feature"),
    "cut": (b'feature { name: "a"', "line 1: not a schema"),
    "no field": (b'\n\nfeature { nam: "a" }', "line 3: not a schema"),
    "binary": (b"\xff\x00\x12", "it is no text"),
    "deep": (b"feature { struct_domain { " * 5000, "not a schema"),
    "wrong type": (b'feature { name: "a" type: 99999999999999999999999 }', "not a schema"),
    "twice": (b'feature { name: "a" name: "b" }', "not a schema"),
    "JSON": (b'{"feature": [{"name": "a"}]}', "not a schema"),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_schema_that_cannot_be_read_is_refused(tmp_path: Path, case: str) -> None:
    content, said = SCHEMAS[case]
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(content)
    config = parse_config(_with("data.schema_file", str(path)), "c.yaml")
    with pytest.raises(UserError) as caught:
        config.check_outside()
    assert str(caught.value).startswith(f"data.schema_file: {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schema_that_can_be_read_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text('feature { name: "a" type: INT }')
    parse_config(_with("data.schema_file", str(path)), "c.yaml").check_outside()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("data.path", "s3://key:hunter2hunter2@bucket/x.csv", "data.path"),
        ("output.serving_dir", "s3://key:hunter2hunter2@bucket", "output.serving_dir"),
        ("metadata.host", "mysql://root:hunter2hunter2@host", "metadata.host"),
        ("kubeflow.env", {"AWS_SECRET_ACCESS_KEY": "hunter2hunter2"}, "kubeflow"),
        ("kubeflow.env", {"api_key": "hunter2hunter2"}, "kubeflow"),
        (
            "rebalance",
            {
                "method": "imblearn",
                "sampler": "imblearn.over_sampling.SMOTE",
                "sampler_params": {"password": "hunter2hunter2"},
            },
            "sampler_params.password",
        ),
        ("metadata.password", "hunter2hunter2", "metadata.password: unknown key"),
        ("metadata.port", "mysql://root:hunter2hunter2@host", "metadata.port"),
    ],
)
def test_a_secret_in_a_config_is_refused_and_not_repeated(
    path: str, value: object, said: str
) -> None:
    message = _message(_with(path, value))
    assert said in message
    assert "hunter2" not in message


def test_a_config_is_told_without_its_secrets() -> None:
    options = ["--s3_secret_access_key=hunter2", "--password", "hunter2", "--runner=DirectRunner"]
    raw = _with("beam.default", options)
    raw["beam"]["nodes"] = {"Transform": ["--azure_connection_string=AccountKey=hunter2"]}
    raw["class_weights"] = {"scheme": "explicit", "explicit": {"Private": 2.0}}
    config = parse_config(raw, "c.yaml")
    assert config.beam.default == tuple(options)
    told = yaml.safe_load(config.told())
    assert "hunter2" not in config.told()
    assert told["beam"]["default"][3] == "--runner=DirectRunner"
    assert told["class_weights"]["explicit"] == {"Private": 2.0}


def test_an_option_of_beam_without_its_value_is_told() -> None:
    config = parse_config(_with("beam.default", ["--streaming", "--runner"]), "c.yaml")
    with pytest.raises(UserError, match=r"beam: Transform: .*--runner.*expected one argument"):
        config.check_dataflow()
