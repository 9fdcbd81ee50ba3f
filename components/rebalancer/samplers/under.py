"""Random undersampling."""

from collections.abc import Mapping

from ..params import RebalanceParams
from ..strategy import under_targets
from .base import Sampler, register


@register
class RandomUnderSampler(Sampler):
    """Writes only some rows of the larger classes, drawn uniformly without replacement."""

    name = "under"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """By `sampling_strategy`."""
        return under_targets(params.sampling_strategy, counts)
