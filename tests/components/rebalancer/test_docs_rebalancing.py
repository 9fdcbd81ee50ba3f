"""docs/rebalancing.md: its code runs, its configs are valid, its tables say what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.params import Method
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS
from tfx_imbalance.components.rebalancer.strategy import over_targets, under_targets
from tfx_imbalance.pipeline.config import parse_config

PAGE = (Path(__file__).parents[3] / "docs" / "rebalancing.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(head):
    """Cells of the rows of the table whose first header cell is `head`."""
    lines = PAGE.split(f"| {head} |", 1)[1].splitlines()[2:]
    rows = [line for line in lines[: lines.index("")] if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_examples_run_one_after_the_other_and_print_what_they_say(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks("python"):
        exec(compile(code, "docs/rebalancing.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "{'no': 900, 'yes': 450}"
    assert printed[-2:] == ["1800", "1000"]
    assert printed[-3] == "['sampler__k_neighbors', 'sampler__sampling_strategy']"
    assert set(names["done"].origin["method"]) == {"smote_nc"}
    assert 0 < (names["cleaned"].index >= 0).sum() < 1000


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_configs_are_valid(text):
    config = {"name": "docs", "data": {"path": "a.csv", "label": "y"}, **yaml.safe_load(text)}
    parsed = parse_config(config, "docs/rebalancing.md")
    parsed.check_outside()
    assert parsed.rebalance.acts


def test_every_method_stands_in_the_table_with_what_it_sees_and_its_kind():
    told = {name.strip("`"): (sees, kind) for name, _, _, sees, kind, _ in table("`method`")}
    assert list(told) == list(get_args(Method))
    for name, said in told.items():
        assert said == (SAMPLERS[name].reads, SAMPLERS[name].kind), name


@pytest.mark.parametrize("row", table("`sampling_strategy`"), ids=lambda row: row[0])
def test_the_strategies_give_the_rows_that_the_table_says(row):
    strategy = yaml.safe_load(row[0].strip("`"))
    for said, targets in zip(row[1:], (over_targets, under_targets), strict=True):
        if said == "refused":
            with pytest.raises(UserError):
                targets(strategy, {"no": 900, "yes": 100})
        else:
            after = targets(strategy, {"no": 900, "yes": 100})
            assert said == ", ".join(f"{name} {rows}" for name, rows in after.items())


def test_links_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    root = Path(__file__).parents[3] / "docs"
    for target in re.findall(r"\]\(([^)]*)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (root / target.partition("#")[0]).exists(), target
