"""A few hundred rows, and a learner that fits them in milliseconds."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.components.tuner import fake_learner
from tfx_imbalance.components.trainer import learners
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.params import TrainerParams
from tfx_imbalance.components.tuner.judge import Bench
from tfx_imbalance.components.tuner.params import TunerParams
from tfx_imbalance.components.tuner.search import Ledger, Validator

CLASSES = ("no", "yes")
FEATURES = (Feature("age", 1), Feature("job", 1, 4, 0), Feature("pay", 2))


def make_rows(n: int, seed: int, share: float = 0.2) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int32)
    numbers = rng.normal(size=(n, 3)).astype(np.float32)
    numbers[:, 0] += 0.9 * labels
    categories = rng.integers(0, 4, (n, 1)).astype(np.int32)
    weights = rng.integers(1, 4, n).astype(np.float32)
    return Rows(numbers, categories, labels, weights)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(learners._HOME, "mlp", fake_learner.__name__)
    fake_learner.CALLS.clear()
    fake_learner.KILL_AT.clear()
    return fake_learner


@pytest.fixture
def make_validator(tmp_path) -> Callable[..., Validator]:
    def make(folder: str = "fits", rows: int = 300, **options) -> Validator:
        trainer = options.pop("trainer", TrainerParams(label="y", seed=5))
        params = TunerParams(trainer=trainer, **options)
        train, val = make_rows(rows, 1), make_rows(100, 2)
        bench = Bench(val, FEATURES, CLASSES, visible_devices("off"))
        ids = np.random.default_rng(3).integers(2**62, size=rows)
        ledger = Ledger(str(tmp_path / folder))
        return Validator(bench, train, ids, np.arange(rows), params, ledger, "train")

    return make
