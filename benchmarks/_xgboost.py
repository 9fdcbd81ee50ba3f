"""XGBoost's own scikit-learn wrapper, with the settings of our boosted trees."""

from typing import Any

from xgboost import XGBClassifier

from tfx_imbalance.components.trainer.params import BoostedTreesParams


def classifier(seed: int, **more: Any) -> XGBClassifier:
    """An unfitted classifier that stops by aucpr on its eval_set."""
    params = BoostedTreesParams()
    return XGBClassifier(
        n_estimators=params.rounds,
        learning_rate=params.learning_rate,
        max_depth=params.max_depth,
        min_child_weight=params.min_child_weight,
        subsample=params.subsample,
        colsample_bytree=params.colsample,
        reg_lambda=params.l2,
        max_bin=params.bins,
        early_stopping_rounds=params.patience,
        eval_metric="aucpr",
        tree_method="hist",
        random_state=seed,
        n_jobs=1,
        **more,
    )
