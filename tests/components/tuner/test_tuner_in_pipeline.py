"""Tuner as a config has it: mistakes, the node, and a group column from ingest on."""

from pathlib import Path

import pytest

from tests.components.example_gen.conftest import run_ingest, write_table
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.pipeline.config import parse_config

GOOD = {"name": "demo", "data": {"path": "data.csv", "label": "y"}}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"tune": {"enabled": True, "space": {"mlp.droput": [0.1]}}},
            "c.yaml: tune.space: found 'mlp.droput'; did you mean 'mlp.dropout'",
        ),
        (
            {"tune": {"enabled": True, "space": {"mlp.dropout": [2.0]}}},
            "c.yaml: tune.space.mlp.dropout: ",
        ),
        (
            {"tune": {"enabled": True}, "train": {"run_fn": "my.run_fn"}},
            "c.yaml: tune.enabled: found true, expected false where train.run_fn is 'my.run_fn'",
        ),
        ({"tune": {"folds": 1}}, "c.yaml: tune.folds: found 1"),
        ({"tune": {"metric": "acc"}}, "c.yaml: tune.metric: found 'acc'"),
        ({"tune": {"space": {"mlp.dropout": 3}}}, "c.yaml: tune.space.mlp.dropout: found 3"),
        ({"tune": {"trial": 3}}, "c.yaml: tune.trial: unknown key; did you mean 'trials'?"),
    ],
)
def test_a_mistake_is_named(sections: dict, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(GOOD | sections, "c.yaml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_what_the_config_says_reaches_tuner() -> None:
    space = {"mlp.hidden": [[64], [32, 16]], "mlp.dropout": {"min": 0, "max": 0.5}}
    sections = {
        "seed": 7,
        "tune": {"enabled": True, "space": space, "seconds": 60},
        "rebalance": {"method": "under"},
        "class_weights": {"scheme": "balanced"},
    }
    params = parse_config(GOOD | sections, "c.yaml").tuner
    assert params.trainer.seed == params.rebalance.seed == 7
    assert params.rebalance.method == "under"
    assert params.trainer.class_weights.scheme == "balanced"
    assert params.seconds == 60
    assert type(params).from_property(params.to_property()) == params


@pytest.mark.parametrize("group", [None, "who"])
def test_the_node_reads_transform_s_own_train_and_feeds_trainer(group: str | None) -> None:
    from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline

    config = parse_config(
        {
            "name": "demo",
            "data": {"path": "data.csv", "label": "y", "group_by": group},
            "rebalance": {"method": "under"},
            "tune": {"enabled": True},
        },
        "c.yaml",
    )
    facts = Facts(columns=("a", "y"), context=RunContext(name="demo", run_id="1"))
    made = create_pipeline(config, facts, pipeline_root="/nowhere", serving_dir="/nowhere/s")
    nodes = {node.id: node for node in made.components}
    tuner = nodes["Tuner"]
    assert tuner.inputs["examples"].producer_component_id == "Transform"
    assert nodes["Trainer"].inputs["hyperparameters"].producer_component_id == "Tuner"
    assert nodes["Reporter"].inputs["tuning_report"].producer_component_id == "Tuner"
    assert ("raw_examples" in tuner.inputs) == (group is not None)
    off = config.model_copy(update={"tune": config.tune.model_copy(update={"enabled": False})})
    made = create_pipeline(off, facts, pipeline_root="/nowhere", serving_dir="/nowhere/s")
    assert "Tuner" not in {node.id for node in made.components}
    assert "hyperparameters" not in {n.id: n for n in made.components}["Trainer"].inputs


@pytest.mark.parametrize("excluded", [True, False])
def test_ingest_writes_each_row_s_group(tmp_path: Path, excluded: bool) -> None:
    who = ["ann", "bob", "ann", "", "eve", "bob", ""] * 20
    table = {"who": who, "x": list(range(140)), "y": ["no", "no", "yes", "yes"] * 35}
    path = write_table(tmp_path / "a.csv", table)
    exclude = ("who",) if excluded else ()
    rows = run_ingest(path, group_by="who", exclude=exclude).rows
    groups: dict[str, set[int]] = {}
    for name, row in zip(who, rows, strict=True):
        groups.setdefault(name, set()).add(row["_group_id"])
    assert all(len(groups[name]) == 1 for name in ("ann", "bob", "eve"))
    assert len(groups[""]) == 40, "a row without a group is one by itself"
    assert "_group_id" not in run_ingest(path).rows[0]
