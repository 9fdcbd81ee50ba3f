"""TFX's Evaluator on hand-made models, against scikit-learn on the same scores; then Gate."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics as sk
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import executor as evaluator
from tfx.components.util import model_utils
from tfx.types import standard_artifacts
from tfx.utils import path_utils, proto_utils

from tests.components.gate import handmade
from tfx_imbalance import artifacts
from tfx_imbalance.components import artifact_io
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.errors import DataCheckError
from tfx_imbalance.components.gate.evaluation_reader import read_evaluation
from tfx_imbalance.components.gate.executor import Executor
from tfx_imbalance.components.gate.params import AbsoluteGate, ChampionGate, GateParams
from tfx_imbalance.components.gate.report import Gating
from tfx_imbalance.pipeline.evaluation import eval_config

SLICES = ("town", "size", ("town", "size"))


def evaluate(folder, records, models, n_classes, weight=None, slices=SLICES):
    """Runs TFX's Evaluator as the pipeline does; models: the candidate and perhaps a baseline."""
    handmade.write_split(folder / "examples", records)
    made = {
        "evaluation": [
            handmade.artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
        ],
        "blessing": [handmade.artifact(standard_artifacts.ModelBlessing, folder / "unused")],
    }
    context = evaluator.Executor.Context(
        beam_pipeline_args=list(IN_PROCESS_BEAM), tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    evaluator.Executor(context).Do(
        {
            "examples": [handmade.examples_artifact(folder / "examples")],
            "model": models[:1],
            "baseline_model": models[1:],
        },
        made,
        {
            "eval_config": proto_utils.proto_to_json(eval_config(weight, slices)),
            "example_splits": '["test"]',
            "module_path": None,
            "fairness_indicator_thresholds": "null",
        },
    )
    return made["evaluation"][0]


@pytest.fixture(
    scope="module",
    params=[(2, None, False), (2, "w", True), (3, None, True)],
    ids=["binary", "binary-weighted-baseline", "multiclass-baseline"],
)
def ran(request, tmp_path_factory):
    n_classes, weight, with_baseline = request.param
    folder = tmp_path_factory.mktemp("evaluator")
    classes = handmade.CLASSES[n_classes]
    rows = handmade.make_rows(n_classes)
    records = handmade.encode(rows, classes)
    models = [
        handmade.model_artifact(folder / f"model-{scale}", classes, scale)
        for scale in ((1.5, -0.5) if with_baseline else (1.5,))
    ]
    unknown = handmade.encode(handmade.make_rows(n_classes, n=5), ["?"] * n_classes)
    evaluation = evaluate(folder, [*records, *unknown], models, n_classes, weight)
    return SimpleNamespace(
        rows=rows,
        weights=rows[weight] if weight else np.ones(len(records)),
        n_classes=n_classes,
        outputs=[handmade.serve(path_utils.serving_model_dir(m.uri), records) for m in models],
        models=models,
        evaluation=evaluation,
        measured={m.name: m for m in read_evaluation(evaluation.uri)},
    )


def by_sklearn(y, output, w, n_classes):
    """The figures, one class against the rest and averaged over the classes that have rows."""
    found = []
    present = [k for k in range(n_classes) if (y == k).any()]
    for k in [1] if n_classes == 2 else present:
        p, chosen = output["probabilities"][:, k], output["decision"] == k
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            y == k, chosen, average="binary", sample_weight=w, zero_division=0
        )
        found.append(
            {
                "auc": sk.roc_auc_score(y == k, p, sample_weight=w),
                "auc_pr": sk.average_precision_score(y == k, p, sample_weight=w),
                "precision": precision,
                "recall": recall,
                "f1": f1,
            }
        )
    figures = {name: np.mean([f[name] for f in found]) for name in found[0]}
    squares = (output["probabilities"] - np.eye(n_classes)[y]) ** 2
    squares = squares[:, 1] if n_classes == 2 else squares.sum(axis=1)
    return figures | {
        "balanced_accuracy": sk.balanced_accuracy_score(y, output["decision"], sample_weight=w),
        "brier": np.average(squares, weights=w),
    }


def selected(rows, values):
    mask = np.ones(len(rows["y"]), bool)
    for column, value in values:
        mask &= rows[column].astype(str) == value
    return mask


def test_every_figure_equals_scikit_learn_overall_and_on_every_slice(ran):
    compared = 0
    for measured in ran.measured.values():
        mask = selected(ran.rows, measured.values)
        y, w = ran.rows["y"][mask], ran.weights[mask]
        if any(w[y == k].sum() == 0 for k in range(ran.n_classes)):
            continue
        figures = [measured.metrics, measured.champion_metrics][: len(ran.models)]
        for output, figure in zip(ran.outputs, figures, strict=True):
            cut = {name: value[mask] for name, value in output.items()}
            expected = by_sklearn(y, cut, w, ran.n_classes)
            assert {name: figure[name] for name in expected} == pytest.approx(expected, abs=1e-6)
            assert 0 <= figure["ece"] <= 1
            compared += 1
    assert compared >= 9 * len(ran.models)


def test_slices_are_all_there_and_count_the_labelled_rows_without_weights(ran):
    towns, sizes = ("Bath", "Ely", "Nowhere", "York"), ("1", "2")
    assert set(ran.measured) == {
        "overall",
        *(f"town={t}" for t in towns),
        *(f"size={s}" for s in sizes),
        *(f"size={s}, town={t}" for t in towns for s in sizes),
    }
    assert next(iter(ran.measured)) == "overall"
    for measured in ran.measured.values():
        y = ran.rows["y"][selected(ran.rows, measured.values)]
        assert measured.support == tuple(np.bincount(y, minlength=ran.n_classes))


def test_a_slice_that_lacks_a_class_has_undefined_figures(ran):
    nowhere = ran.measured["town=Nowhere"]
    assert nowhere.support[-1] == 0
    assert np.isnan(nowhere.metrics["auc"]) == (ran.n_classes == 2)
    assert np.isfinite(nowhere.metrics["brier"])


def test_confusion_matrix_is_over_the_decisions(ran):
    overall = next(
        found
        for found in tfma.load_metrics(ran.evaluation.uri)
        if not found.slice_key.single_slice_keys
    )
    (entries,) = (
        entry.value.multi_class_confusion_matrix_at_thresholds.matrices[0].entries
        for entry in overall.metric_keys_and_values
        if entry.key.name == "confusion_matrix"
        and entry.key.model_name in ("", "candidate")
        and not entry.key.is_diff
    )
    matrix = np.zeros((ran.n_classes, ran.n_classes))
    for entry in entries:
        matrix[entry.actual_class_id, entry.predicted_class_id] = entry.num_weighted_examples
    decisions = ran.outputs[0]["decision"]
    expected = sk.confusion_matrix(ran.rows["y"], decisions, sample_weight=ran.weights)
    np.testing.assert_allclose(matrix, expected)
    assert (decisions != ran.outputs[0]["probabilities"].argmax(axis=1)).any()


def test_each_class_has_its_figures_where_there_are_more_than_two(ran):
    result = tfma.load_eval_result(
        ran.evaluation.uri, model_name="candidate" if len(ran.models) == 2 else None
    )
    found = dict(result.slicing_metrics)[()][""]
    if ran.n_classes == 2:
        assert "recall" not in found["classId:1"]
        return
    recalls = sk.recall_score(ran.rows["y"], ran.outputs[0]["decision"], average=None)
    precisions = sk.precision_score(ran.rows["y"], ran.outputs[0]["decision"], average=None)
    for k in range(ran.n_classes):
        assert found[f"classId:{k}"]["recall"]["doubleValue"] == pytest.approx(recalls[k])
        assert found[f"classId:{k}"]["precision"]["doubleValue"] == pytest.approx(precisions[k])


def run_gate(ran, folder: Path, params, champion, fingerprint="candidate"):
    classes = handmade.CLASSES[ran.n_classes]
    reports = {
        "calibration_report": handmade.calibration(classes, fingerprint),
        "imbalance_report": handmade.imbalance(classes),
        "champion": champion,
    }
    outputs = {
        "blessing": [handmade.artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
        "report": [handmade.artifact(artifacts.GateReport, folder / "report")],
    }
    Executor().Do(
        {
            "evaluation": [ran.evaluation],
            "model": ran.models[:1],
            **{
                key: [handmade.report_artifact(handmade.REPORTS[key], folder / key, report)]
                for key, report in reports.items()
            },
        },
        outputs,
        {"params": params.to_property(), "code_fingerprint": ""},
    )
    return outputs["blessing"][0], artifact_io.read_report(outputs, "report", Gating)


@pytest.mark.parametrize(("bound", "blessed"), [(0.1, True), (0.999, False)])
def test_gate_writes_a_blessing_that_tfx_takes(ran, tmp_path, bound, blessed):
    champion = handmade.champion_info(**({} if len(ran.models) == 2 else {"version": None}))
    params = GateParams(absolute=(AbsoluteGate(metric="auc", min=bound),))
    blessing, gating = run_gate(ran, tmp_path, params, champion)
    assert model_utils.is_model_blessed(blessing) == blessed
    assert [p.name for p in (tmp_path / "blessing").iterdir()] == [
        "BLESSED" if blessed else "NOT_BLESSED"
    ]
    assert blessing.get_string_custom_property("current_model") == ran.models[0].uri
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert gating.verdict == ("blessed" if blessed else "blocked")
    assert gating.slices[0].positives == (ran.rows["y"] == ran.n_classes - 1).sum()
    assert gating.results[0].value == ran.measured["overall"].metrics["auc"]


def test_gate_compares_with_the_champion_where_one_was_evaluated(ran, tmp_path):
    cold = len(ran.models) == 1
    champion = handmade.champion_info(**({"version": None} if cold else {}))
    params = GateParams(champion=(ChampionGate(metric="auc_pr", max_loss=-0.05),))
    _, gating = run_gate(ran, tmp_path, params, champion)
    (result,) = gating.results
    assert (gating.verdict, result.verdict) == ("blessed", "skipped" if cold else "pass")


def test_an_unchanged_candidate_is_not_blessed(ran, tmp_path):
    champion = handmade.champion_info(comparable=len(ran.models) == 2)
    blessing, gating = run_gate(ran, tmp_path, GateParams(), champion, fingerprint="champion")
    assert gating.verdict == "unchanged"
    assert not model_utils.is_model_blessed(blessing)


def test_a_test_split_without_a_known_label_is_said(tmp_path):
    records = handmade.encode(handmade.make_rows(2, n=5), ("?", "?"))
    models = [handmade.model_artifact(tmp_path / "model", handmade.CLASSES[2])]
    evaluation = evaluate(tmp_path, records, models, 2, slices=())
    with pytest.raises(DataCheckError, match="no labelled row"):
        read_evaluation(evaluation.uri)
