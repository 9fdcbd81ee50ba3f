"""What a user may say to Trainer."""

from typing import Literal

from pydantic import Field

from ..class_weights import ClassWeightParams
from ..params import Params


class MlpParams(Params):
    """The Keras MLP with embeddings for categories and piecewise-linear encoding of numbers."""

    hidden: tuple[int, ...] = Field((128, 64), description="units of each hidden layer")
    embedding_units: int = Field(16, ge=1, description="width of each category's embedding")
    bins: int = Field(
        48, ge=0, description="quantile bins of each number's piecewise-linear encoding; 0: none"
    )
    bin_units: int = Field(4, ge=1, description="units that each number's encoding feeds")
    dropout: float = Field(0.4, ge=0, lt=1, description="share of units left out")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="of AdamW")
    batch_size: int = Field(256, ge=1, description="rows a step, over all devices together")
    epochs: int = Field(50, ge=1, description="most epochs")
    patience: int = Field(10, ge=1, description="epochs without a better AUC-PR on val")


Learner = Literal["mlp"]

SELF_SAMPLING: frozenset[str] = frozenset()
"""Learners that balance the classes themselves: nothing else may."""


class TrainOptions(Params):
    """Which learner is trained, and how."""

    learner: Learner = Field("mlp", description="the built-in learner")
    run_fn: str | None = Field(None, description="your own run_fn by dotted name, instead")
    mlp: MlpParams = MlpParams()
    mixed_precision: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where every GPU has tensor cores"
    )

    @property
    def balances(self) -> str | None:
        """The setting by which training balances the classes itself, if it does."""
        if self.run_fn is None and self.learner in SELF_SAMPLING:
            return f"train.learner {self.learner}"
        return None


class TrainerParams(TrainOptions):
    """Trainer's parameters."""

    class_weights: ClassWeightParams = ClassWeightParams()
    label: str = Field(min_length=1)
    weight: str | None = None
    seed: int = Field(0, ge=0)
