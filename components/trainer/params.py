"""What a user may say to Trainer."""

from typing import Literal

from pydantic import Field

from ..class_weights import ClassWeightParams
from ..params import Params


class MlpParams(Params):
    """The Keras MLP with embeddings of categories and piecewise-linear encodings of numbers."""

    hidden: tuple[int, ...] = Field((128, 64), description="units of each hidden layer")
    dropout: float = Field(0.3, ge=0, lt=1)
    numeric_bins: int = Field(
        48, ge=0, description="quantile bins of a number's piecewise-linear encoding; 0: none"
    )
    numeric_dim: int = Field(12, ge=1, description="size of a number's embedding")
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch_size: int = Field(512, ge=1)
    epochs: int = Field(40, ge=1)
    patience: int = Field(5, ge=1, description="epochs without a better AUC-PR on val")


class TrainOptions(Params):
    """Which learner is trained, and how."""

    learner: Literal["mlp"] = "mlp"
    run_fn: str | None = Field(None, description="your own run_fn by dotted name, instead")
    mlp: MlpParams = MlpParams()
    mixed_precision: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where every GPU computes float16 fast"
    )


class TrainerParams(TrainOptions):
    """Trainer's parameters."""

    class_weights: ClassWeightParams = ClassWeightParams()
    label: str = Field(min_length=1)
    weight: str | None = None
    seed: int = Field(0, ge=0)
