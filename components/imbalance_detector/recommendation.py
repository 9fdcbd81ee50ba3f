"""What to try first for data like these, by what was published and not by habit.

Sources: Elor and Averbuch-Elor, "To SMOTE, or not to SMOTE?", 2022 (73 data sets); van den
Goorbergh et al., "The harm of class imbalance corrections for risk prediction models", JAMIA 2022;
Dal Pozzolo et al., "Calibrating Probability with Undersampling for Unbalanced Classification",
2015; CLIMB, 2025 (73 data sets, 29 methods).
"""

from ..names import TRAIN
from .checks import percent
from .report import Imbalance, Recommendation

_FEW_ROWS = 20
"""Below this a class can be neither learnt nor its recall measured: one row is 5 % of it."""
_MANY_ROWS = 100_000
"""Majority rows from which dropping some of them saves time that matters."""

_TUNE = (
    "with the threshold tuned on val, balancing gains strong learners nothing, and SMOTE no more "
    "than plain oversampling (Elor and Averbuch-Elor 2022, 73 data sets)"
)
_CALIBRATE = (
    "over-, undersampling and SMOTE overstate the minority's probability without ranking better "
    "(van den Goorbergh 2022); data left alone need the least correction"
)


def recommend(report: Imbalance) -> Recommendation:
    """The technique to try first, with reasons; `report` has its checks already."""
    broken = [c.message for c in report.failed if c.name in ("label_counts", "one_class")]
    if broken:
        return Recommendation(technique="repair the data", reasons=broken)
    counts = report.counts[TRAIN]
    smallest = counts[report.minority]
    if smallest < _FEW_ROWS:
        return _too_few_rows(report, smallest)
    share = f"class {report.minority} is {percent(report.minority_share)} of train"
    if report.severity == "none":
        return Recommendation(
            technique="train on the data as they are",
            reasons=[f"{share}: no imbalance to speak of"],
        )
    if report.severity == "extreme" and counts[report.majority] >= _MANY_ROWS:
        return Recommendation(
            technique="downsample the majority and correct the probabilities",
            reasons=[
                f"{share}, and {counts[report.majority]:,} majority rows take most of the time: "
                "it is for speed, not for a better ranking",
                "dropping rows at random moves only the prior, which is undone exactly "
                "(Dal Pozzolo 2015)",
                "keep ten or more majority rows a minority row, so that little is lost",
                _TUNE,
            ],
        )
    reasons = [f"{share}: {report.severity} imbalance", _TUNE, _CALIBRATE]
    if report.severity == "extreme":
        reasons.append(
            "of what rebalances, ensembles on undersampled data held up best (CLIMB 2025): the "
            "first thing to compare with on your own data"
        )
    return Recommendation(
        technique="leave the data as they are, tune the threshold and calibrate", reasons=reasons
    )


def _too_few_rows(report: Imbalance, smallest: int) -> Recommendation:
    reasons = [
        f"class {report.minority} has {smallest} rows in train: too few to learn from, and its "
        "recall on val and test can hardly be measured",
        "no resampling adds information: copies repeat these rows, SMOTE draws lines between them",
    ]
    if report.is_binary:
        reasons.append(
            "until there are more, score how unusual a row is, without the label: train.learner "
            "isolation_forest or autoencoder"
        )
        return Recommendation(technique="collect more rows, or detect anomalies", reasons=reasons)
    reasons.append("the other classes can be trained as they are")
    return Recommendation(
        technique="collect more rows of the rare classes, or merge them with related ones",
        reasons=reasons,
    )
