"""The sections of the page, each of what one or two rooms reported; None where they did not."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .. import metrics
from ..calibrator.report import Calibration
from ..gate.report import GateResult, Gating, SliceMetrics
from ..imbalance_detector.report import Imbalance
from ..metrics import BINARY_METRICS, LOWER_IS_BETTER, Scores
from ..names import TEST, TRAIN, VAL
from ..rebalancer.report import OutlierFindings, Rebalancing
from ..trainer.report import Training
from ..tuner.report import Trial, Tuning
from . import figures
from .blocks import (
    MISSING,
    Beside,
    Block,
    Cell,
    Folded,
    Points,
    Row,
    Section,
    Source,
    Table,
    Text,
    count,
    number,
    share,
)
from .figures import Picture
from .report import SplitMetrics, Summary
from .summary import RunInputs, class_counts

METRIC_NAMES = {
    "auc": "AUC",
    "auc_pr": "AUC-PR",
    "recall": "Recall",
    "precision": "Precision",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "g_mean": "G-mean",
    "mcc": "MCC",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "ECE",
    "support": "Rows",
}
_GATES = {
    "absolute": "absolute",
    "champion": "against champion",
    "slice": "slice, absolute",
    "slice_champion": "slice, against champion",
}
_MEASURES = {"jensen_shannon_divergence": "Jensen-Shannon divergence", "l_infinity": "L-infinity"}
_CALIBRATED = ("auc", "auc_pr", "brier", "log_loss", "ece")
_MOST_ROWS = 200
_FEW = 8


def gates(inputs: RunInputs, summary: Summary) -> Section | None:
    """Every gate with its verdict."""
    gating = inputs.gating
    if gating is None:
        return None
    blocks: list[Block] = []
    if inputs.champion is not None:
        blocks.append(Text(f"Champion: {inputs.champion.message.rstrip('.')}."))
    if gating.results:
        order = ("fail", "pass", "skipped")
        ordered = sorted(gating.results, key=lambda result: order.index(result.verdict))
        blocks.append(
            Table(
                "Every gate, on test",
                ("Verdict", "Gate", "Slice", "Metric", "Value", "Bound", "Champion", "Rows",
                 _positives(inputs)),
                [_gate_row(result) for result in ordered],
            )
        )  # fmt: skip
    return Section("gates", "Gates", blocks) if blocks else None


def _positives(inputs: RunInputs) -> str:
    """Heading of the counts of the positive class, which is the smallest one of several."""
    found = inputs.imbalance
    return "Positives" if found is None or found.is_binary else "Smallest class"


def _gate_row(result: GateResult) -> Row:
    return Row(
        [
            Cell(result.verdict, tone=result.verdict),
            Cell(_GATES[result.gate]),
            Cell(result.slice),
            Cell(METRIC_NAMES.get(result.metric, result.metric)),
            number(result.value),
            Cell(f"{'≥' if result.direction == 'min' else '≤'} {number(result.bound).text}", True),
            number(result.champion_value),
            count(result.examples),
            count(result.positives),
        ],
        tone=result.verdict,
        note="" if result.verdict == "pass" else result.message,
    )


def results(inputs: RunInputs, summary: Summary) -> Section | None:
    """Curves, confusion matrix and metrics."""
    if not summary.metrics:
        return None
    table = _metrics_table(inputs, summary)
    scores = inputs.test_scores
    if scores is None or TEST not in summary.metrics:
        return Section("results", "Results", [table])
    found = summary.metrics[TEST]
    blocks: list[Block] = []
    if pictures := _curve_pictures(scores, found):
        blocks.append(Beside([[picture] for picture in pictures]))
    confusion, per_class = _confusion(scores), _per_class(scores, found)
    if len(scores.classes) == 2:
        blocks += [Beside([[confusion], [table]]), per_class]
    else:
        blocks += [confusion, per_class, table]
    return Section("results", "Results on test", blocks)


def _curve_pictures(scores: Scores, found: SplitMetrics) -> list[Picture]:
    matrix = np.array(metrics.confusion(scores))
    binary = len(scores.classes) == 2
    pr, roc = {}, {}
    for k in [1] if binary else range(len(scores.classes)):
        precision_recall, rates = metrics.pr_curve(scores, k), metrics.roc_curve(scores, k)
        if precision_recall is None or rates is None:
            continue
        one = found.per_class[scores.classes[k]]
        name = figures.label_text(scores.classes[k])
        recall, others = one["recall"] or 0.0, np.delete(matrix, k, axis=0)
        chosen = matrix[:, k].sum() > 0  # Precision is undefined where nothing was decided for k.
        pr[k] = figures.Curve(
            f"{number(one['auc_pr']).text}  {name}",
            precision_recall.x,
            precision_recall.y,
            (recall, one["precision"] or 0.0) if chosen else None,
        )
        roc[k] = figures.Curve(
            f"{number(one['auc']).text}  {name}",
            rates.x,
            rates.y,
            (float(others[:, k].sum() / others.sum()), recall),
        )
    if not pr:
        return []
    if binary:
        return [
            figures.pr_figure(list(pr.values()), None, prevalence(scores, 1)),
            figures.roc_figure(list(roc.values()), None),
        ]
    grid = np.linspace(0, 1, 201)
    # Average precision is the area under steps: between two recalls the later one's precision.
    precisions = [c.y[np.searchsorted(c.x, grid).clip(max=len(c.x) - 1)] for c in pr.values()]
    recalls = [np.interp(grid, c.x, c.y) for c in roc.values()]
    macro_pr = figures.Curve(f"{number(found.auc_pr).text}  macro", grid, np.mean(precisions, 0))
    macro_roc = figures.Curve(f"{number(found.auc).text}  macro", grid, np.mean(recalls, 0))
    # The rarest classes are those that the reader came for.
    rows = np.bincount(scores.labels, minlength=len(scores.classes))
    shown = sorted(sorted(pr, key=lambda k: rows[k])[: figures.MAX_CURVES])
    return [
        figures.pr_figure([pr[k] for k in shown], macro_pr, None),
        figures.roc_figure([roc[k] for k in shown], macro_roc),
    ]


def _confusion(scores: Scores) -> Table:
    matrix = np.array(metrics.confusion(scores))
    totals = matrix.sum(axis=1)
    where = "note" if len(scores.classes) == 2 else "below"
    rows = []
    for name, line, total in zip(scores.classes, matrix, totals, strict=True):
        cells = [Cell(name)]
        for value in line:
            part = value / total if total > 0 else float("nan")
            cells.append(
                Cell(
                    count(value).text,
                    number=True,
                    shade=None if math.isnan(part) else round(float(part), 3),
                    **{where: share(part)},
                )
            )
        rows.append(Row([*cells, count(total)]))
    weighted = not np.all(scores.weights == 1)
    return Table(
        "Confusion matrix on test at the operating point, "
        + ("sums of sample weights" if weighted else "rows")
        + " and their share of the true class",
        ("True class ↓ decision →", *(figures.label_text(c, 40) for c in scores.classes), "All"),
        rows,
    )


def _metrics_table(inputs: RunInputs, summary: Summary) -> Table:
    splits = [split for split in (TEST, VAL) if split in summary.metrics]
    champion = _champion_metrics(inputs.gating)
    many = inputs.calibration is not None and len(inputs.calibration.classes) > 2
    rows = []
    for name in BINARY_METRICS:
        better = "lower is better" if name in LOWER_IS_BETTER else ""
        cells = [Cell(METRIC_NAMES[name], note=better)]
        cells += [number(getattr(summary.metrics[split], name)) for split in splits]
        if champion:
            cells.append(number(champion.get(name)))
        rows.append(Row(cells))
    return Table(
        "Metrics, macro averages over the classes" if many else "Metrics",
        ("Metric", *(s.capitalize() for s in splits), *(["Champion on test"] if champion else [])),
        rows,
    )


def _champion_metrics(gating: Gating | None) -> Mapping[str, float]:
    if gating is None or not gating.slices:
        return {}
    return gating.slices[0].champion_metrics or {}


def _per_class(scores: Scores, found: SplitMetrics) -> Table:
    names = ("recall", "precision", "f1", "auc_pr", "auc")
    rows = []
    for k, name in enumerate(scores.classes):
        one, chances = found.per_class[name], scores.probabilities[:, k]
        curve = metrics.reliability(chances, scores.labels == k, scores.weights)
        mean = float(np.average(chances, weights=scores.weights))
        rows.append(
            Row(
                [
                    Cell(name),
                    count(one["support"]),
                    *(number(one[metric]) for metric in names),
                    number(curve.ece),
                    Cell(share(mean, 2), number=True),
                    Cell(share(prevalence(scores, k), 2), number=True),
                ]
            )
        )
    return Table(
        "Each class against the rest, on test",
        ("Class", "Rows", *(METRIC_NAMES[n] for n in names), "ECE", "Mean score", "Prevalence"),
        rows,
    )


def slices(inputs: RunInputs, summary: Summary) -> Section | None:
    """Metrics of each slice, and what the gates said of it."""
    gating = inputs.gating
    if gating is None or len(gating.slices) < 2:
        return None
    present = {name for s in gating.slices for name in s.metrics}
    names = [name for name in BINARY_METRICS if name in present]
    verdicts: dict[str, list[GateResult]] = {}
    for result in gating.results:
        verdicts.setdefault(result.slice, []).append(result)
    rows = [_slice_row(s, names, verdicts.get(s.slice, [])) for s in gating.slices]
    compared = any(s.champion_metrics for s in gating.slices)
    blocks: list[Block] = [
        Table(
            "Metrics of each slice of test"
            + (", with the difference to the champion below" if compared else ""),
            (
                "Slice",
                "Gates",
                "Rows",
                _positives(inputs),
                "Share",
                *(METRIC_NAMES[n] for n in names),
            ),
            rows[:_MOST_ROWS],
        )
    ]
    if len(rows) > _MOST_ROWS:
        blocks.append(Text(f"The first {_MOST_ROWS} of {len(rows)}; summary.json has all."))
    return Section("slices", "Slices", blocks)


def _slice_row(found: SliceMetrics, names: Iterable[str], gates: Sequence[GateResult]) -> Row:
    verdicts = {gate.verdict for gate in gates}
    verdict = next((v for v in ("fail", "pass", "skipped") if v in verdicts), "")
    # The gates over all of test are explained in their own table.
    told = [g.message for g in gates if g.verdict != "pass" and g.slice != "overall"]
    cells = [
        Cell(found.slice),
        Cell(verdict or MISSING, tone=verdict),
        count(found.examples),
        count(found.positives),
        Cell(share(found.positives / found.examples) if found.examples else MISSING, number=True),
    ]
    for name in names:
        cell = number(found.metrics.get(name))
        then = (found.champion_metrics or {}).get(name)
        if then is not None and cell.text != MISSING and math.isfinite(then):
            cell = Cell(cell.text, number=True, below=f"{found.metrics[name] - then:+.3f}")
        cells.append(cell)
    return Row(cells, tone=verdict, note=" ".join(told))


def calibration(inputs: RunInputs, summary: Summary) -> Section | None:
    """What the steps from training to pushing did to the probabilities."""
    found = inputs.calibration
    if found is None:
        return None
    stages = (found.val_metrics_raw, found.val_metrics_corrected, found.val_metrics)
    tables: list[Block] = [
        Table(
            "What each step did to the scores, on val",
            ("Metric", "As trained", "Prior corrected", "As pushed"),
            [
                Row([Cell(METRIC_NAMES[name]), *(number(stage.get(name)) for stage in stages)])
                for name in _CALIBRATED
                if any(name in stage for stage in stages)
            ],
        ),
        Table(
            "Mean score and prevalence, on val",
            ("Class", "Mean score", "Prevalence", "Factor undone"),
            [
                Row(
                    [
                        Cell(name),
                        Cell(share(found.mean_score.get(name), 2), number=True),
                        Cell(share(found.prevalence.get(name), 2), number=True),
                        number(found.factors.get(name)),
                    ]
                )
                for name in found.classes
            ],
        ),
    ]
    picture = _reliability_picture(inputs)
    blocks: list[Block] = [Text(_calibration_words(found))]
    if found.warnings:
        blocks.append(Points([Cell(warning, tone="warn") for warning in found.warnings]))
    blocks += [Beside([[picture], tables])] if picture else tables
    return Section("calibration", "Calibration and threshold", blocks)


def _calibration_words(found: Calibration) -> str:
    prior = {
        "none": "Nothing moved the class prior in training: there was nothing to undo.",
        "prior_only": "Resampling or weights moved the class prior by known factors",
        "approximate": "Resampling moved more than the class prior",
    }[found.kind]
    if found.kind != "none":
        exact = "exactly" if found.kind == "prior_only" else "as far as the factors tell"
        undone = f"that was undone {exact}" if found.prior_corrected else "it was not undone"
        prior += f"; {undone}."
    method = {
        "none": "No calibrator was fitted",
        "platt": "Platt scaling was fitted on val",
        "spline": "A rising spline of the log odds was fitted on val",
        "isotonic": "Isotonic regression was fitted on val",
        "temperature": "Temperature scaling was fitted on val",
        "vector": "Vector scaling was fitted on val",
        "dirichlet": "Dirichlet calibration was fitted on val",
    }[found.method]
    chosen = f"The operating point was chosen on val for {found.objective}"
    if found.threshold is not None:
        chosen += (
            f": the decision is {found.positive} where its probability is at least "
            f"{found.threshold:.4g}"
        )
    if found.objective_value is not None and math.isfinite(found.objective_value):
        chosen += f"; there the objective is {found.objective_value:.3f} on val"
    return f"{prior} {method}: {found.method_reason.rstrip('.')}. {chosen}."


def _reliability_picture(inputs: RunInputs) -> Picture | None:
    stages = [
        ("val, as trained", inputs.val("raw")),
        ("val, as pushed", inputs.val()),
        ("test, as pushed", inputs.test_scores),
    ]
    curves, behind, score = [], [], ""
    for name, scores in stages:
        if scores is None or not scores.weights.sum() > 0:
            continue
        if len(scores.classes) == 2:
            chance, came = scores.probabilities[:, 1], scores.labels == 1
            score = figures.label_text(scores.classes[1])
        else:
            chance = scores.probabilities.max(axis=1)
            came = scores.labels == scores.probabilities.argmax(axis=1)
            score = "the most probable class"
        curve = metrics.reliability(chance, came, scores.weights)
        curves.append(
            figures.Curve(f"{name}, ECE {curve.ece:.3f}", curve.predicted, curve.observed)
        )
        behind.append((chance, scores.weights))
    return figures.reliability_figure(curves, behind, score) if curves else None


def data(inputs: RunInputs, summary: Summary) -> Section | None:
    """Class counts, checks and the recommendation."""
    found = inputs.imbalance
    if found is None:
        return None
    counts = class_counts(inputs)
    flagged = sorted(
        (check for check in found.checks if check.level != "ok"), key=lambda c: c.level != "fail"
    )
    advice: list[Block] = []
    if flagged:
        advice.append(Points([Cell(check.message, tone=check.level) for check in flagged]))
    advice.append(Text(f"Recommendation: {found.recommendation.technique.rstrip('.')}."))
    advice.append(Points([Cell(reason) for reason in found.recommendation.reasons]))
    series = {"train as it came": counts[TRAIN]} if any(counts.get(TRAIN, {}).values()) else {}
    if series and "rebalanced" in counts:
        series["train as rebalanced"] = counts["rebalanced"]
    blocks: list[Block] = [Text(_imbalance_words(found))]
    blocks += [Beside([[figures.class_bars(series)], advice])] if series else advice
    blocks.append(_counts_table(found, counts))
    if passed := [check for check in found.checks if check.level == "ok"]:
        points = Points([Cell(check.message, tone="pass") for check in passed])
        blocks.append(Folded(f"Checks passed ({len(passed)})", [points]))
    for split, anomalies in found.anomalies.items():
        if anomalies:
            points = Points([Cell(anomaly, tone="warn") for anomaly in anomalies])
            blocks.append(Folded(f"Anomalies in {split} ({len(anomalies)})", [points]))
    if found.slices:
        blocks.append(_slice_counts(found))
    return Section("data", "Data", blocks)


def _imbalance_words(found: Imbalance) -> str:
    return (
        f"Label {found.label}, {len(found.classes)} classes. In train the smallest class, "
        f"{found.minority}, has {share(found.minority_share)} of the rows: {ratio(found)} rows of "
        f"{found.majority} for one of {found.minority}. Severity: {found.severity}; normalised "
        f"entropy {found.normalized_entropy:.3f}, where 1 is balanced."
    )


def ratio(found: Imbalance) -> str:
    """The imbalance ratio, short."""
    value = found.imbalance_ratio
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _counts_table(found: Imbalance, counts: Mapping[str, Mapping[str, int]]) -> Table:
    totals = {split: sum(by_class.values()) for split, by_class in counts.items()}
    rows = []
    for name in found.classes:
        cells = [Cell(name)]
        for split, by_class in counts.items():
            value = by_class.get(name, 0)
            part = share(value / totals[split]) if totals[split] else ""
            cells.append(Cell(f"{value:,}", number=True, note=part))
        rows.append(Row(cells))
    rows.append(Row([Cell("All"), *(count(total) for total in totals.values())], tone="total"))
    if any(found.unlabelled.values()):
        cells = [Cell("Without a label")]
        cells += [
            count(found.unlabelled[split]) if split in found.unlabelled else Cell("")
            for split in counts
        ]
        rows.append(Row(cells))
    if found.prior_shift:
        shifts = [
            number(found.prior_shift[split], 4) if split in found.prior_shift else Cell("")
            for split in counts
        ]
        rows.append(Row([Cell("Distance to train", note="total variation"), *shifts]))
    head = [
        "Train, rebalanced" if split == "rebalanced" else split.capitalize() for split in counts
    ]
    return Table("Rows of each class and their share of the split", ("Class", *head), rows)


def _slice_counts(found: Imbalance) -> Folded:
    rows = [
        Row(
            [
                Cell(f"{s.column}={s.value}"),
                Cell(s.split),
                *(count(s.counts.get(name, 0)) for name in found.classes),
            ]
        )
        for s in found.slices
    ]
    table = Table(
        "Rows of each class by slice",
        ("Slice", "Split", *(figures.label_text(c, 40) for c in found.classes)),
        rows[:_MOST_ROWS],
    )
    return Folded(f"Class counts by slice ({len(rows)})", [table])


def tuning(inputs: RunInputs, summary: Summary) -> Section | None:
    """What Tuner tried, and what it found."""
    found = inputs.tuning
    if found is None:
        return None
    metric = METRIC_NAMES[found.metric]
    shown = [
        (trial.number, [fold.metrics[found.metric] for fold in trial.folds], trial)
        for trial in found.trials
        if trial.status != "failed"
    ]
    nested = found.nested
    picture = figures.trials_figure(
        [(number, values, trial.status == "completed") for number, values, trial in shown],
        found.best,
        metric,
        (nested.mean[found.metric], nested.std[found.metric]) if nested else None,
    )
    figures_of = [
        Row(
            [
                Cell(METRIC_NAMES[name]),
                Cell(_with_spread(found.mean[name], found.std[name]), number=True),
                *(
                    [Cell(_with_spread(nested.mean[name], nested.std[name]), number=True)]
                    if nested
                    else []
                ),
            ]
        )
        for name in found.mean
    ]
    metrics_table = Table(
        "Mean and standard deviation over folds, of raw scores",
        ("Metric", "Best trial", *(["Nested"] if nested else [])),
        figures_of,
    )
    ordered = sorted(
        found.trials,
        key=lambda t: (
            t.status != "completed",
            (t.mean or 0) * (-1) ** (not found.lower_is_better),
        ),
    )
    table = Table(
        "Trials, the best first",
        ("Trial", metric, "Folds", *found.space),
        [_trial_row(trial, found) for trial in ordered[:_MOST_ROWS]],
    )
    blocks: list[Block] = [
        Text(_tuning_words(found)),
        Beside([[picture], [metrics_table]]),
        Folded(f"Trials ({len(found.trials)})", [table]),
    ]
    return Section("tuning", "Search of hyperparameters", blocks)


def _trial_row(trial: Trial, found: Tuning) -> Row:
    cells = [
        Cell(str(trial.number), number=True),
        Cell(_with_spread(trial.mean, trial.std), number=True),
        Cell(str(len(trial.folds)), number=True),
    ]
    for path in found.space:
        value = trial.hyperparameters[path]
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        cells.append(Cell(text, number=isinstance(value, int | float)))
    tone = {"completed": "", "pruned": "skipped", "failed": "fail"}[trial.status]
    return Row(cells, tone="pass" if trial.number == found.best else tone, note=trial.message)


def _with_spread(mean: float | None, std: float | None) -> str:
    if mean is None or not math.isfinite(mean):
        return MISSING
    return number(mean).text + (f" ± {number(std).text}" if std is not None else "")


def _tuning_words(found: Tuning) -> str:
    pruned = sum(trial.status == "pruned" for trial in found.trials)
    failed = sum(trial.status == "failed" for trial in found.trials)
    units = "rows of one group" if found.grouped else "equal rows"
    said = (
        f"{len(found.trials)} trials of {found.learner} ({found.oracle}, seed {found.seed}), each "
        f"judged on {len(found.fold_counts)} stratified folds of train as it came; {units} share a "
        "fold, and what rebalancing and class weights do was done within each fold's training part."
    )
    if pruned:
        said += f" {pruned} stopped early, below the median of the finished ones."
    if failed:
        said += f" {failed} failed."
    if found.stopped != "trials":
        why = "time was up" if found.stopped == "seconds" else "no values were left to try"
        said += f" The search ended as {why}."
    said += (
        " The best trial's figures are optimistic, as it is the best of several"
        + ("; the nested estimate is not." if found.nested else ".")
        if len(found.trials) > 1
        else ""
    )
    return said


def learning(inputs: RunInputs, summary: Summary) -> Section | None:
    """What Rebalancer and Trainer did."""
    blocks: list[Block] = []
    if inputs.rebalancing is not None:
        blocks += _rebalancing(inputs.rebalancing)
    if inputs.training is not None:
        blocks += _training(inputs.training)
    return Section("training", "Rebalancing and training", blocks) if blocks else None


def _rebalancing(found: Rebalancing) -> list[Block]:
    columns = {
        "Before": found.before,
        "Kept": found.kept,
        "Copies": found.duplicated,
        "Synthetic": found.synthetic,
        "After": found.after,
    }
    weighted = any(weight != 1 for weight in found.weights.values())
    figures_of = {"Weight": found.weights} if weighted else {}
    figures_of["Factor"] = found.factors
    rows = [
        Row(
            [
                Cell(name),
                *(count(column.get(name, 0)) for column in columns.values()),
                *(number(column.get(name)) for column in figures_of.values()),
            ]
        )
        for name in found.before
    ]
    factor = "after times weight by before" if weighted else "after by before"
    blocks: list[Block] = [
        Text(_rebalancing_words(found)),
        Table(
            f"What Rebalancer did to train; factor is {factor}",
            ("Class", *columns, *figures_of),
            rows,
        ),
    ]
    if found.recall:
        recalls = [
            Row([Cell(name), Cell(share(found.recall[name]), number=True)])
            for name in found.before
            if name in found.recall
        ]
        said = (
            "Neighbours were looked for in cells near each row, not exactly. Recall is the share "
            "of the true ones that was found, measured on sample rows of train."
        )
        blocks += [Text(said), Table("Neighbour search", ("Class", "Recall"), recalls)]
    if found.outliers is not None:
        blocks += _outliers(found.outliers)
    return blocks


def _rebalancing_words(found: Rebalancing) -> str:
    if found.method == "none":
        said = f"Rebalancer resampled nothing (method none), seed {found.seed}."
    else:
        if isinstance(found.sampling_strategy, dict):
            wanted = (f"{name}: {rows:,}" for name, rows in found.sampling_strategy.items())
            strategy = ", ".join(wanted)
        elif isinstance(found.sampling_strategy, tuple):
            strategy = ", ".join(found.sampling_strategy)
        else:
            strategy = str(found.sampling_strategy)
        sampler = f", sampler {found.sampler}" if found.sampler else ""
        said = (
            f"Rebalancer changed train by method {found.method}{sampler}, sampling strategy "
            f"{strategy}, seed {found.seed}."
        )
    said += " Val and test kept every row as it was."
    if heavy := [name for name, weight in found.weights.items() if weight != 1]:
        told = ", ".join(f"{found.weights[name]:.4g} of {name}" for name in heavy[:_FEW])
        more = f" and so on for {len(heavy) - _FEW} classes more" if len(heavy) > _FEW else ""
        said += (
            f" Kept rows stand for those that were left out: in training one counts for {told}"
            f"{more}, so that classes weigh as much as before."
        )
    return said


def _outliers(found: OutlierFindings) -> list[Block]:
    touched = {"drop": "Dropped", "clip": "Clipped"}.get(found.action)
    done = {
        "report": "They were only counted: train kept them",
        "drop": "Such rows were dropped from train before classes were counted",
        "clip": "Their values in train were moved to the nearest bound",
    }[found.action]
    rows = []
    for name, one in found.classes.items():
        outlying = (f"{feature} ({share(part)})" for feature, part in one.features.items())
        notes = [f"Nothing is told: {one.reason}."] if one.reason else []
        if one.unjudged:
            rest = len(one.unjudged) - _FEW
            more = f" and {rest} more" if rest > 0 else ""
            notes.append(f"Without spread to judge by: {', '.join(one.unjudged[:_FEW])}{more}.")
        rows.append(
            Row(
                [
                    Cell(name),
                    count(one.rows),
                    Cell(share(one.share), number=True),
                    *([count(found.rows.get(name, 0))] if touched else []),
                    Cell(", ".join(outlying) or MISSING),
                ],
                note=" ".join(notes),
            )
        )
    return [
        Text(
            f"Outliers of each class of train were looked for by method {found.method}. {done}. "
            "Val and test were left alone."
        ),
        Table(
            "Outlying rows in a sample of each class, and the features that are most often the "
            "farthest out" + (f"; {touched.lower()} are rows of all of train" if touched else ""),
            (
                "Class",
                "Looked at",
                "Outlying",
                *([touched] if touched else []),
                "Most outlying features",
            ),
            rows[:_MOST_ROWS],
        ),
    ]


def _training(found: Training) -> list[Block]:
    precision = ", mixed precision" if found.mixed_precision else ""
    measured = f"{len(found.history)} measurements on val, " if found.history else ""
    told = [
        f"Learner {found.learner} on {found.device}{precision}: {found.rows:,} rows of train, "
        f"{measured}{found.seconds:,.1f} s."
    ]
    if found.hyperparameters:
        told.append(f"Hyperparameters of the search: {_listed(found.hyperparameters)}.")
    if found.batch_size:
        told.append(f"{found.batch_size:,} rows a step.")
    if found.resumed_epochs:
        told.append(f"{found.resumed_epochs} epochs were taken over from a run that was killed.")
    if found.warm_start:
        told.append(f"Start: {found.warm_start}.")
    words = Text(" ".join(told))
    weights = Table(
        "Class weights",
        ("Class", "Weight in the loss", "Prior moved by"),
        [
            Row([Cell(name), number(weight), number(found.factors.get(name))])
            for name, weight in found.class_weights.items()
        ],
    )
    if not found.history:
        return [words, weights]
    picture = figures.history_figure(
        [epoch.epoch for epoch in found.history],
        [epoch.val_auc_pr for epoch in found.history],
        [epoch.train_loss for epoch in found.history],
        [epoch.val_loss for epoch in found.history],
        found.best_epoch,
        found.unit,
    )
    return [Beside([[picture], [words, weights]])]


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{path} {value:.4g}" if isinstance(value, float) else f"{path} {value}"
        for path, value in values.items()
    )


def drift(inputs: RunInputs, summary: Summary) -> Section | None:
    """This data against the champion's."""
    found = inputs.drift
    if found is None:
        return None
    tone = {"warn": "warn", "search": "fail"}.get(found.verdict, "")
    blocks: list[Block] = [Points([Cell(message, tone=tone) for message in found.messages])]
    if found.verdict == "no champion":
        return Section("drift", "Drift", blocks)
    words = f"This run's train split against that of champion {found.champion_version}."
    blocks.insert(0, Text(words))
    prior = Table(
        "Share of each class in train",
        ("Class", "Champion's", "This run's"),
        [
            Row(
                [
                    Cell(name),
                    Cell(share(found.prior_then.get(name)), number=True),
                    Cell(share(now), number=True),
                ]
            )
            for name, now in found.prior_now.items()
        ],
    )
    tones = {"ok": "pass", "warn": "warn", "search": "fail"}
    features = Table(
        "Distance of each feature, largest first",
        ("Feature", "Measure", "Distance", "Level"),
        [
            Row([Cell(f.feature), Cell(_MEASURES[f.measure]), number(f.distance),
                 Cell(f.level, tone=tones[f.level])])
            for f in sorted(found.features, key=lambda f: (-f.distance, f.feature))[:_MOST_ROWS]
        ],
    )  # fmt: skip
    shown = [[table] for table in (prior, features) if table.rows]
    if shown:
        blocks.append(Beside(shown))
    for names, said in ((found.new_features, "New"), (found.missing_features, "Missing")):
        if names:
            blocks.append(Text(f"{said} features: {', '.join(names)}."))
    return Section("drift", "Drift", blocks)


def what_ran(inputs: RunInputs, summary: Summary) -> Section | None:
    """Nodes, versions and the config."""
    blocks: list[Block] = []
    if inputs.timings:
        rows = [
            Row(
                [
                    Cell(run.node),
                    number(run.seconds, 1),
                    Cell("from cache" if run.cached else ""),
                    Cell(run.made),
                ]
            )
            for run in inputs.timings
        ]
        total = sum(run.seconds for run in inputs.timings)
        rows.append(Row([Cell("All"), number(total, 1), Cell(""), Cell("")], tone="total"))
        blocks.append(Table("Nodes", ("Node", "Seconds", "Cache", "Made"), rows))
    facts = {
        "Run": inputs.run_id,
        "Seed": None if inputs.seed is None else str(inputs.seed),
        "Device": summary.device,
        "Pushed to": inputs.pushed_path,
        **inputs.versions,
    }
    told = [Row([Cell(name), Cell(value)]) for name, value in facts.items() if value]
    blocks.append(Table("Run and versions", ("What", "Which"), told))
    if inputs.config:
        blocks.append(Folded("Config", [Source(inputs.config)]))
    return Section("run", "What ran", blocks)


def prevalence(scores: Scores, index: int) -> float:
    """Share of one class by weight."""
    return float(np.average(scores.labels == index, weights=scores.weights))
