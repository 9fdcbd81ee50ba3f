"""What learners get out of Rebalancer's SMOTE beside imbalanced-learn's.

Each data set is split thirty times, stratified, 70 to 30; numeric columns are standardised by the
train rows. A learner is trained on the same train rows after either SMOTE, to 1:1, and scored on
the test rows by average precision (AUC-PR). Both SMOTEs are random, so single differences are not
0; their mean has to be. Given the splits, the thirty differences are independent.

`python -m benchmarks.smote_quality --figure docs/smote_quality.png` draws the differences.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from benchmarks import _data
from benchmarks.claims import Claim
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams

SETS = {
    "mammography": "mammography",
    "oil_spill": "oil spill",
    "wine_quality_white_le4": "white wine ≤ 4",
    "keel_yeast4": "yeast4",
    "keel_abalone9-18": "abalone9-18",
    "letter_Z": "letter Z",
}
SEEDS = range(30)
TEST_SHARE, NEIGHBORS = 0.3, 5
LEAST_P, MARGIN = 0.05, 0.01

LEARNERS: dict[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: LogisticRegression(max_iter=1000),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=15, early_stopping=False, random_state=seed
    ),
}

Scores = dict[tuple[str, str], np.ndarray]
"""(data set, learner) -> float64 [seeds, 2], AUC-PR with ours and with imbalanced-learn's SMOTE."""


def run() -> Iterator[Claim]:
    """Yields both means with a test of each data set and learner, then the interval of the mean."""
    names = "AUC-PR after SMOTE beside imbalanced-learn's"
    try:
        scores = measure()
    except _data.MissingDataError as error:
        yield Claim.failed(names, str(error))
        return
    ours, theirs = np.concatenate(list(scores.values())).mean(axis=0)
    p = {key: paired_p(found) for key, found in scores.items()}
    adjusted = holm(p)
    least = min(adjusted, key=adjusted.__getitem__)
    yield Claim(
        names,
        float(ours),
        float(theirs),
        float(ours / theirs),
        unit="AUC-PR",
        bar=f"no difference: p > {LEAST_P} by Holm",
        ok=adjusted[least] > LEAST_P,
        detail=f"means of {len(SETS)} data sets, {len(LEARNERS)} learners, {len(SEEDS)} splits; "
        f"paired t-tests of each set and learner: least p {p[least]:.3f} ({', '.join(least)}), "
        f"after Holm {adjusted[least]:.3f}",
    )
    means = np.array([differences(found).mean() for found in scores.values()])
    # Of the mean over data sets and learners as they are: the splits' noise, not the sets'.
    errors = np.array([stats.sem(differences(found)) for found in scores.values()])
    half = 1.96 * float(np.sqrt((errors**2).sum())) / len(errors)
    low, high = float(means.mean()) - half, float(means.mean()) + half
    yield Claim(
        f"{names}: farthest end of the mean difference's 95 % interval",
        max(abs(low), abs(high)),
        None,
        None,
        unit="AUC-PR",
        bar=f"<= {MARGIN}",
        ok=max(abs(low), abs(high)) <= MARGIN,
        detail=f"ours less theirs {low:+.4f} to {high:+.4f}; means of a set and learner from "
        f"{means.min():+.4f} to {means.max():+.4f}",
    )


def measure() -> Scores:
    """Trains and scores everything.

    Raises:
      MissingDataError: a file is not there.
    """
    # Threads that wait for each other cost more than they save on tables this small.
    with threadpool_limits(1):
        return {
            (name, learner): found
            for name in SETS
            for learner, found in _of_data(_data.load(name)).items()
        }


def differences(scores: np.ndarray) -> np.ndarray:
    """float64 [seeds]: ours less theirs."""
    return np.asarray(scores[:, 0] - scores[:, 1])


def paired_p(scores: np.ndarray) -> float:
    """p of a two-sided paired t-test; 1 where no pair differs."""
    apart = differences(scores)
    return float(stats.ttest_1samp(apart, 0).pvalue) if apart.any() else 1.0


def holm(p: Mapping[Any, float]) -> dict[Any, float]:
    """p values adjusted for how many there are (Holm 1979)."""
    adjusted: dict[Any, float] = {}
    most = 0.0
    for i, key in enumerate(sorted(p, key=p.__getitem__)):
        most = max(most, min(1.0, (len(p) - i) * p[key]))
        adjusted[key] = most
    return adjusted


def _of_data(data: _data.DataSet) -> dict[str, np.ndarray]:
    x, y = data.numeric.to_numpy(), (data.label == data.minority).astype(np.int64)
    found = {name: np.empty((len(SEEDS), 2)) for name in LEARNERS}
    for i, seed in enumerate(SEEDS):
        train, test = train_test_split(
            np.arange(len(y)), test_size=TEST_SHARE, stratify=y, random_state=seed
        )
        scaled = _data.standardise(x, like=x[train])
        for j, (rows, labels) in enumerate(_both(scaled[train], y[train], seed)):
            for name, learner in LEARNERS.items():
                model = learner(seed).fit(rows, labels)
                score = model.predict_proba(scaled[test])[:, 1]
                found[name][i, j] = average_precision_score(y[test], score)
    return found


def _both(x: np.ndarray, y: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and labels by our SMOTE and by imbalanced-learn's."""
    ours = resample(x, y, RebalanceParams(method="smote", k_neighbors=NEIGHBORS, seed=seed))
    theirs = SMOTE(k_neighbors=NEIGHBORS, random_state=seed).fit_resample(x, y)
    if len(ours.y) != len(theirs[1]):
        raise RuntimeError(f"{len(ours.y)} rows by ours, {len(theirs[1])} by imbalanced-learn's")
    return [(np.asarray(ours.x), ours.y), theirs]


def draw(scores: Scores, path: Path) -> None:
    """Draws the differences of each data set and learner, their mean and its 95 % interval."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    from tfx_imbalance.components.reporter import figures

    looks = ((figures.BLUE, "o"), (figures.RED, "s"))
    reach = max(float(np.abs(differences(found)).max()) for found in scores.values())
    with figures._looks():
        figure = Figure(figsize=(7.2, 4.4))
        axes = figure.subplots()
        axes.grid(False, axis="y")
        axes.axvline(0, color=figures.GREY, linewidth=1)
        for row in range(1, len(SETS)):
            axes.axhline(row - 0.5, color=figures.LIGHT, linewidth=0.6)
        for row, (name, told) in enumerate(SETS.items()):
            axes.text(-0.02, row, told, ha="right", va="center", transform=_beside(axes))
            for i, (learner, (color, marker)) in enumerate(zip(LEARNERS, looks, strict=True)):
                found = scores[name, learner]
                apart, at = differences(found), row + 0.2 * (2 * i - 1)
                half = stats.sem(apart) * stats.t.ppf(0.975, len(apart) - 1)
                axes.plot(
                    apart,
                    np.full(len(apart), at),
                    "|",
                    color=color,
                    alpha=0.35,
                    markersize=9,
                    markeredgewidth=1,
                )
                axes.errorbar(
                    apart.mean(),
                    at,
                    xerr=half,
                    fmt=marker,
                    color=color,
                    markersize=6,
                    markeredgecolor="white",
                    markeredgewidth=0.8,
                    elinewidth=2.4,
                    zorder=3,
                    label=learner if row == 0 else None,
                )
                means = " / ".join(f"{mean:.3f}" for mean in found.mean(axis=0))
                axes.text(
                    1.02, at, means, color=color, ha="left", va="center", transform=_beside(axes)
                )
        axes.text(
            1.02,
            1.01,
            "ours / theirs",
            color=figures.GREY,
            va="bottom",
            transform=axes.transAxes,
        )
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(-1.04 * reach, 1.04 * reach)
        axes.set_ylim(len(SETS) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MultipleLocator(0.05))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda v, _: f"{v:+.2f}".replace("+0.00", "0"))
        )
        axes.set_xlabel(
            "AUC-PR with our SMOTE less AUC-PR with imbalanced-learn's\n"
            f"ticks: {len(SEEDS)} splits; marks and bars: their mean and its 95 % interval"
        )
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.3)
        figure.savefig(path, dpi=200)


def _beside(axes: Any) -> Any:
    """Across in shares of the axes, down in rows."""
    return axes.get_yaxis_transform()


def main(arguments: list[str] | None = None) -> int:
    """Measures and draws; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smote_quality")
    parser.add_argument("--figure", type=Path, required=True, metavar="PNG")
    path = parser.parse_args(arguments).figure
    try:
        draw(measure(), path)
    except _data.MissingDataError as error:
        print(f"smote_quality: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
