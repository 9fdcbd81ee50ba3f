"""What a user may say to Trainer."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ..class_weights import ClassWeightParams
from ..params import Params

LossName = Literal["cross_entropy", "focal", "logit_adjusted", "ldam"]

LOSSES_OF: dict[str, tuple[LossName, ...]] = {
    "gamma": ("focal",),
    "tau": ("logit_adjusted",),
    "max_margin": ("ldam",),
    "scale": ("ldam",),
    "label_smoothing": ("cross_entropy", "focal", "logit_adjusted"),
}
"""option of `mlp.loss` -> the losses that read it."""


class LossParams(Params):
    """What the MLP minimises; class weights multiply each of them."""

    name: LossName = Field(
        "cross_entropy",
        description="with class_weights.scheme effective_number, cross_entropy and focal are the "
        "class-balanced loss",
    )
    gamma: float = Field(2.0, ge=0, description="focal: how much less a sure row counts")
    tau: float = Field(
        1.0, ge=0, description="logit_adjusted: 1 trains for balanced classes, 0 for train's own"
    )
    max_margin: float = Field(0.5, ge=0, description="ldam: the smallest class's, in cosines")
    scale: float = Field(30.0, gt=0, description="ldam: of the cosines that are the logits")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target that goes to all classes evenly"
    )

    @model_validator(mode="after")
    def _is_read(self) -> Self:
        for option in self.model_fields_set:
            losses = LOSSES_OF.get(option)
            default = type(self).model_fields[option].default
            if losses and self.name not in losses and getattr(self, option) != default:
                raise ValueError(
                    f"{option}: loss {self.name} does not read it; {', '.join(losses)} "
                    f"{'do' if len(losses) > 1 else 'does'}"
                )
        return self


class SamplingParams(Params):
    """Which of train's rows an epoch of the MLP has."""

    mode: Literal["none", "per_class", "balanced_batches", "rejection"] = Field(
        "none",
        description="none: each once; per_class: classes have their target share of the epoch; "
        "balanced_batches: of each batch; rejection: each row is drawn on its own",
    )
    target: Literal["balanced"] | dict[str, float] = Field(
        "balanced", description="balanced: equal shares; or class name -> share, 1 together"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.target, str):
            return self
        if self.mode == "none":
            raise ValueError(
                "target: mode none does not read it; per_class, balanced_batches, rejection do"
            )
        if any(not share > 0 for share in self.target.values()):
            raise ValueError(f"target: found {self.target}; expected shares above 0")
        if not abs(sum(self.target.values()) - 1) < 1e-6:
            raise ValueError(f"target: found {self.target}; expected shares whose sum is 1")
        return self


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
    loss: LossParams = LossParams()
    sampling: SamplingParams = SamplingParams()


class BoostedTreesParams(Params):
    """Gradient-boosted trees of XGBoost."""

    learning_rate: float = Field(0.05, gt=0, le=1, description="shrinks each tree's say")
    max_depth: int = Field(6, ge=1, le=16, description="of each tree")
    min_child_weight: float = Field(
        1.0, ge=0, description="least sum of second derivatives in a leaf"
    )
    subsample: float = Field(0.8, gt=0, le=1, description="share of rows that a tree sees")
    colsample: float = Field(0.8, gt=0, le=1, description="share of columns that a tree sees")
    l2: float = Field(1.0, ge=0, description="penalty on leaf values")
    bins: int = Field(256, ge=2, description="quantile bins of each number")
    rounds: int = Field(1000, ge=1, description="most rounds; each gives a tree, or one a class")
    patience: int = Field(50, ge=1, description="rounds without a better AUC-PR on val")
    memory_mb: int = Field(
        4096, ge=1, description="train matrix past which XGBoost reads it in parts from disk"
    )


Learner = Literal[
    "mlp",
    "boosted_trees",
    "balanced_bagging",
    "easy_ensemble",
    "balanced_random_forest",
    "rus_boost",
    "smote_boost",
    "ada_boost",
    "self_paced_ensemble",
    "autoencoder",
    "isolation_forest",
]

SELF_SAMPLING: frozenset[str] = frozenset(
    {
        "balanced_bagging",
        "easy_ensemble",
        "balanced_random_forest",
        "rus_boost",
        "smote_boost",
        "self_paced_ensemble",
    }
)
"""Learners that balance the classes themselves: nothing else may."""

ANOMALY: frozenset[str] = frozenset({"autoencoder", "isolation_forest"})
"""Learners that know the largest class alone."""

Member = Literal["decision_tree", "ada_boost", "mlp", "boosted_trees"]

_COMMITTEES = ("balanced_bagging", "easy_ensemble", "self_paced_ensemble")
_BOOSTS = ("ada_boost", "rus_boost", "smote_boost")

ENSEMBLES: tuple[str, ...] = (*_COMMITTEES, "balanced_random_forest", *_BOOSTS)
"""Learners that read the section `ensemble`."""

ENSEMBLE_READERS: dict[str, tuple[str, ...]] = {
    "member": _COMMITTEES,
    "rounds": _COMMITTEES,
    "subsets": ("balanced_bagging", "easy_ensemble"),
    "combine": (*_COMMITTEES, "balanced_random_forest"),
    "learning_rate": (*_COMMITTEES, *_BOOSTS),
    "k_neighbors": ("smote_boost",),
    "smote_rate": ("smote_boost",),
    "bins": ("self_paced_ensemble",),
}
"""option of `ensemble` -> the learners that read it; options that are not here are read by all."""

_MEMBER_READERS: dict[str, tuple[Member, ...]] = {
    "rounds": ("ada_boost",),
    "learning_rate": ("ada_boost",),
    "max_depth": ("decision_tree", "ada_boost"),
}


class EnsembleParams(Params):
    """The ensembles for imbalanced classes."""

    members: int | None = Field(
        None,
        ge=1,
        description="trees or other members; when not given 50 trees (200 of "
        "balanced_random_forest), or 10 members of another sort",
    )
    member: Member | None = Field(
        None,
        description="what each member is; when not given ada_boost for easy_ensemble, else "
        "decision_tree; mlp and boosted_trees read their own section",
    )
    rounds: int = Field(50, ge=1, description="member ada_boost: its trees")
    subsets: Literal["bootstrap", "disjoint"] = Field(
        "bootstrap",
        description="rows of the larger classes: drawn anew for each member, or in parts that "
        "members do not share",
    )
    combine: Literal["average", "vote"] = Field(
        "average", description="the members' mean probability, or the share that decides so"
    )
    max_depth: int | None = Field(
        None,
        ge=1,
        description="of each tree; when not given 1 for ada_boost, 3 for smote_boost, rus_boost "
        "and members that are an AdaBoost, else no limit",
    )
    learning_rate: float = Field(1.0, gt=0, description="shrinks each boosted tree's say")
    k_neighbors: int = Field(5, ge=1, description="a synthetic row's neighbour is one of so many")
    smote_rate: float = Field(
        5.0,
        gt=0,
        description="synthetic rows a round by rows of the class, up to as many as the largest has",
    )
    bins: int = Field(10, ge=1, description="of hardness")


class AutoencoderParams(Params):
    """The autoencoder of the largest class."""

    hidden: tuple[int, ...] = Field((64,), description="units of the layers before the code")
    code: int = Field(8, ge=1, description="numbers that a row is rebuilt from")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW")
    batch_size: int = Field(256, ge=1, description="rows a step")
    epochs: int = Field(50, ge=1, description="most epochs")
    patience: int = Field(5, ge=1, description="epochs without a smaller error on val")


class IsolationForestParams(Params):
    """The isolation forest of the largest class."""

    trees: int = Field(200, ge=1, description="how many")
    rows: int = Field(256, ge=2, description="rows that each tree sees")


class TrainOptions(Params):
    """Which learner is trained, and how."""

    learner: Learner = Field("mlp", description="the built-in learner")
    run_fn: str | None = Field(None, description="your own run_fn by dotted name, instead")
    mlp: MlpParams = MlpParams()
    boosted_trees: BoostedTreesParams = BoostedTreesParams()
    ensemble: EnsembleParams = EnsembleParams()
    autoencoder: AutoencoderParams = AutoencoderParams()
    isolation_forest: IsolationForestParams = IsolationForestParams()
    mixed_precision: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: where every GPU has tensor cores"
    )
    jit_compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="XLA compiles the mlp's training step; auto: on one GPU where XLA is complete",
    )
    warm_start: bool = Field(
        False,
        description="the mlp starts from the champion's network where that fits; then a push "
        "makes the next run train anew",
    )

    @property
    def ensemble_member(self) -> Member | None:
        """What the members are, where the learner lets the user choose."""
        if self.learner not in _COMMITTEES:
            return None
        usual: Member = "ada_boost" if self.learner == "easy_ensemble" else "decision_tree"
        return self.ensemble.member or usual

    @model_validator(mode="after")
    def _can_start_warm(self) -> Self:
        if self.warm_start and self.run_fn is None and self.learner != "mlp":
            raise ValueError(
                f"warm_start: found true, expected false: learner {self.learner} always starts "
                "afresh; the mlp does not have to"
            )
        return self

    @model_validator(mode="after")
    def _ensemble_is_read(self) -> Self:
        if self.run_fn is not None or self.learner not in ENSEMBLES:
            return self
        member = self.ensemble_member
        if member == "mlp" and self.mlp.sampling.mode != "none":
            raise ValueError(
                f"mlp.sampling.mode: found {self.mlp.sampling.mode!r}, expected 'none': "
                f"{self.learner} chooses its members' rows itself"
            )
        for option, field in EnsembleParams.model_fields.items():
            if getattr(self.ensemble, option) == field.default:
                continue
            learners = ENSEMBLE_READERS.get(option, ENSEMBLES)
            if self.learner not in learners:
                raise ValueError(
                    f"ensemble.{option}: learner {self.learner} does not read it; "
                    f"{', '.join(learners)} {'do' if len(learners) > 1 else 'does'}"
                )
            members = _MEMBER_READERS.get(option)
            if member and members and member not in members:
                raise ValueError(
                    f"ensemble.{option}: {self.learner} of {member} does not read it; "
                    f"ensemble.member {' or '.join(members)} does"
                )
        return self

    @property
    def balances(self) -> str | None:
        """Why nothing else may balance the classes; None where it may."""
        if self.run_fn is None and self.learner in SELF_SAMPLING:
            return f"train.learner {self.learner} balances the classes itself"
        if self.run_fn is None and self.learner in ANOMALY:
            return f"train.learner {self.learner} learns from the largest class alone"
        if self.run_fn is None and self.learner == "mlp" and self.mlp.sampling.mode != "none":
            return f"train.mlp.sampling.mode {self.mlp.sampling.mode} balances the classes itself"
        return None


class TrainerParams(TrainOptions):
    """Trainer's parameters."""

    class_weights: ClassWeightParams = ClassWeightParams()
    label: str = Field(min_length=1)
    weight: str | None = None
    seed: int = Field(0, ge=0)
