"""Nothing is changed."""

from collections.abc import Mapping
from typing import ClassVar

from ...report import Kind
from ..params import RebalanceParams
from .base import Sampler, register


@register
class NoSampler(Sampler):
    """Writes every row once."""

    name = "none"
    kind: ClassVar[Kind] = "none"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """The counts as they are."""
        return dict(counts)
