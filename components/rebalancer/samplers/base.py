"""What a sampler is, and the registry of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from typing_extensions import Self

from ...errors import UserError
from ...report import Kind
from ..features import Features
from ..params import RebalanceParams
from ..strategy import over_targets

SAMPLERS: dict[str, "Sampler"] = {}
"""method -> its sampler."""


class Rows(NamedTuple):
    """Decoded rows of one class.

    Attributes:
      ids: int64 [n], identities.
      columns: name -> float32 or int64 [n], by `Features.types`.
    """

    ids: np.ndarray
    columns: dict[str, np.ndarray]

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts, which have the same columns."""
        names = parts[0].columns
        return cls(
            np.concatenate([part.ids for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in names},
        )

    def take(self, index: np.ndarray | slice) -> "Rows":
        """The rows at `index`."""
        return Rows(self.ids[index], {name: v[index] for name, v in self.columns.items()})

    def ordered(self) -> "Rows":
        """Sorted by identity, then content: the same whatever order the rows came in."""
        return self.take(np.lexsort([*reversed(self.columns.values()), self.ids]))


class Sampler(ABC):
    """One method of `rebalance.method`; this one writes rows less often or more often.

    A subclass in a module of this folder, decorated with `register`, is all that a method needs;
    the checks that every method must pass find it in the registry.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "prior_only"

    @abstractmethod
    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """Rows of each class afterwards.

        Args:
          counts: class name -> rows before.
          params: the strategies; a UserError says what does not fit the counts.
        """


class SyntheticSampler(Sampler):
    """A sampler that keeps every row as it is and adds synthetic ones."""

    kind: ClassVar[Kind] = "approximate"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """As for oversampling."""
        return over_targets(params.sampling_strategy, counts)

    def check(
        self,
        counts: Mapping[str, int],
        new: Mapping[str, int],
        features: Features,
        params: RebalanceParams,
    ) -> None:
        """Raises UserError where rows cannot be synthesised.

        Args:
          counts: class name -> rows before.
          new: class name -> synthetic rows wanted.
          features: what a row consists of.
          params: k_neighbors and memory_limit_mb.
        """
        if features.unsupported:
            told = ", ".join(f"'{name}' {why}" for name, why in features.unsupported.items())
            raise UserError(
                f"rebalance.method: '{self.name}' needs features that are one number each, but "
                f"{told}; leave them out in Transform, or use over, under or both"
            )
        grown = [name for name, rows in new.items() if rows > 0]
        for name in grown:
            if counts[name] <= params.k_neighbors:
                raise UserError(
                    f"rebalance.k_neighbors: {params.k_neighbors} neighbours need more rows than "
                    f"that, but class {name} has {counts[name]} in train; use method over, a lower "
                    "k_neighbors, or a sampling_strategy that leaves this class alone"
                )
        megabytes = 4 * sum(counts[name] for name in grown) * len(features.names) / 2**20
        if megabytes > params.memory_limit_mb:
            raise UserError(
                f"rebalance.memory_limit_mb: {params.memory_limit_mb} MB do not hold the "
                f"{megabytes:.0f} MB of {', '.join(grown)} that '{self.name}' searches in one "
                "place; raise the limit if there is memory, or use over or under"
            )

    @abstractmethod
    def synthesise(self, rows: Rows, n: int, features: Features, params: RebalanceParams) -> Rows:
        """n new rows of a class.

        Args:
          rows: all rows of the class, `ordered`, every float finite.
          n: at least 1.
          features: which columns are numeric, categorical, weight.
          params: k_neighbors and seed.
        """


def register(cls: type[Sampler]) -> type[Sampler]:
    """Class decorator: adds a sampler to the registry under its name."""
    SAMPLERS[cls.name] = cls()
    return cls
