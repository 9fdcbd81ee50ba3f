"""Hostile names and values go through to a pushed model, and a secret is kept nowhere."""

import csv
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.e2e.workbench import Workbench
from tfx_imbalance.pipeline.config import load_config
from tfx_imbalance.pipeline.runners import local

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SECRET = "hunter2-and-more"
CLASSES = ("\x1b[31m[red]no \u202e", "yes / \"'<script>alert(1)</script>$x^2$ 年")
COLUMNS = (
    "<b>[link=x]\x1b]0;t\x07", "probability", "label", "decision", "probabilities", "logits",
    "label_index", "age", "age_missing", "a/b c.%'\"", "..", " ", "A", "a", "1digit", "年齢",
    "x" * 300, "features", "predictions", "new\nline",
)  # fmt: skip
LABEL = "the label \x85"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, len(COLUMNS)))
    classes = np.where(x[:, 1] + rng.normal(size=900) > 1.3, CLASSES[1], CLASSES[0])
    texts = np.array(["\x1b[32mgreen", "[/]</td>\u2028", "b=c"])[rng.integers(0, 3, 900)]
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, LABEL])
        for i, (row, text, name) in enumerate(zip(np.round(x, 3), texts, classes, strict=True)):
            cells = [text, *row[1:], name]
            if i % 20 == 0:  # so that preprocessing has an indicator to name, beside age_missing
                cells[COLUMNS.index("age")] = ""
            writer.writerow(cells)
    return Workbench(
        folder,
        {
            "name": "hostile",
            "data": {"path": "data.csv", "label": LABEL, "positive": CLASSES[1]},
            "rebalance": {"method": "smote_nc"},
            "train": {"mlp": {"epochs": 1, "hidden": [8]}},
            "evaluate": {"slices": [COLUMNS[0]]},
            "beam": {"default": [f"--s3_secret_access_key={SECRET}"]},
            "output": {"runs_dir": str(folder / "runs")},
        },
    )


def test_hostile_data_reach_a_pushed_model(
    bench: Workbench, capfd: pytest.CaptureFixture[str]
) -> None:
    assert local.run(load_config(bench.config_path)) == 0
    out, err = capfd.readouterr()
    bad = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [c for c in out + err if c != "\n" and unicodedata.category(c) in bad]
    assert set(bench.summary["class_counts"]["train"]) == set(CLASSES)
    page = (bench.workspace / "latest" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<b>|<td></td></td>", page)
    assert "--s3_secret_access_key=***" in page
    assert "\\x1b[31m[red]no \\u202e" in page


def test_the_pushed_model_names_the_class(bench: Workbench) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(bench.summary["pushed_path"])
    example = tf.train.Example()
    example.features.feature[COLUMNS[0]].bytes_list.value.append(b"b=c")
    for name in COLUMNS[1:]:
        example.features.feature[name].float_list.value.append(3.0)
    scored = model.signatures["serving_default"](tf.constant([example.SerializeToString()]))
    assert scored["label"].numpy()[0].decode() in CLASSES


def test_the_secret_is_kept_nowhere(bench: Workbench) -> None:
    kept = [
        path
        for path in Path(bench.workspace).rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert kept == []
    assert SECRET in yaml.safe_load(bench.config_path.read_text())["beam"]["default"][0]
