"""The search on the page and in the summary."""

import dataclasses

from tests.components.reporter.conftest import make_run, make_training
from tests.components.reporter.test_reporter_page import Page
from tfx_imbalance.components.metrics import BINARY_METRICS
from tfx_imbalance.components.reporter.summary import RunInputs
from tfx_imbalance.components.reporter.write import report_files
from tfx_imbalance.components.tuner.report import FoldScore, Nested, OuterFold, Trial, Tuning


def score(value: float) -> FoldScore:
    return FoldScore(
        metrics=dict.fromkeys(BINARY_METRICS, value), rows=80, best_epoch=2, seconds=1.0
    )


def trial(number: int, values: list[float], status: str = "completed", message: str = "") -> Trial:
    return Trial(
        number=number,
        status=status,
        hyperparameters={"mlp.hidden": [64, number], "mlp.dropout": number / 7},
        folds=[score(v) for v in values],
        mean=sum(values) / len(values) if values else None,
        std=0.05 if len(values) > 1 else None,
        message=message,
    )


def tuning(nested: bool, lower: bool = False) -> Tuning:
    trials = [
        trial(1, [0.41, 0.45, 0.43]),
        trial(2, [0.51, 0.55, 0.53]),
        trial(3, [0.31, 0.3], "pruned", "stopped after 2 folds: the median is 0.43 there"),
        trial(4, [], "failed", "fold 1: some scores are not finite <b>"),
    ]
    outer = OuterFold(hyperparameters={}, inner_mean=0.5, score=score(0.47))
    figures = dict.fromkeys(BINARY_METRICS, 0.47)
    return Tuning(
        learner="mlp",
        metric="log_loss" if lower else "auc_pr",
        lower_is_better=lower,
        oracle="bayesian",
        seed=7,
        space={"mlp.hidden": ["[64]"], "mlp.dropout": {"min": 0, "max": 0.6}},
        fold_counts=[{"no": 80, "yes": 9}] * 3,
        grouped=True,
        trials=trials,
        best=1 if lower else 2,
        hyperparameters=trials[0 if lower else 1].hyperparameters,
        mean=dict.fromkeys(BINARY_METRICS, 0.53),
        std=dict.fromkeys(BINARY_METRICS, 0.02),
        nested=Nested(mean=figures, std=figures, folds=[outer] * 3) if nested else None,
        stopped="seconds",
        resumed_folds=2,
        seconds=11.0,
    )


def run(**changes: object) -> RunInputs:
    return dataclasses.replace(make_run(("no", "yes"), (900, 100)), **changes)


def test_the_page_shows_trials_spread_and_the_nested_estimate() -> None:
    for lower in (False, True):
        for nested in (False, True):
            found = tuning(nested, lower)
            _, files = report_files(run(tuning=found))
            page = Page(files["report.html"])
            assert "Search of hyperparameters" in page.text
            assert "4 trials of mlp (bayesian, seed 7)" in page.text
            assert "0.530 ± 0.020" in page.text
            assert ("0.470 ± 0.470" in page.text) == nested
            assert "1 stopped early" in page.text and "1 failed" in page.text
            assert "some scores are not finite <b>" in page.text
            rows = page.text[page.text.index("Trials, the best first") :]
            best, second = ("0.430", "0.530") if lower else ("0.530", "0.430")
            assert rows.index(best) < rows.index(second)


def test_the_summary_has_the_figures_and_what_trainer_took() -> None:
    training = make_training(("no", "yes")).model_copy(
        update={"hyperparameters": {"mlp.dropout": 0.2857142}}
    )
    summary, files = report_files(run(tuning=tuning(True), training=training))
    assert summary.tuning is not None
    assert summary.tuning.hyperparameters == {"mlp.hidden": [64, 2], "mlp.dropout": 2 / 7}
    assert summary.tuning.mean["auc_pr"] == 0.53
    assert summary.tuning.nested_mean == dict.fromkeys(BINARY_METRICS, 0.47)
    assert "Hyperparameters of the search: mlp.dropout 0.2857" in Page(files["report.html"]).text


def test_without_a_search_nothing_is_said() -> None:
    summary, files = report_files(run())
    assert summary.tuning is None
    assert "Search of hyperparameters" not in files["report.html"]
