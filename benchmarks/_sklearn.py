"""scikit-learn's AdaBoost by one algorithm, whatever its version."""

from importlib.metadata import version
from typing import Any

from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

_SAMME: dict[str, Any] = {"algorithm": "SAMME"} if version("scikit-learn") < "1.6" else {}
"""Later versions know no other."""


def ada_boost(depth: int, **more: Any) -> AdaBoostClassifier:
    """An unfitted AdaBoost, by SAMME, of trees of a depth."""
    return AdaBoostClassifier(DecisionTreeClassifier(max_depth=depth), **_SAMME, **more)
