"""Random oversampling."""

from collections.abc import Mapping

from ..params import RebalanceParams
from ..strategy import over_targets
from .base import Sampler, register


@register
class RandomOverSampler(Sampler):
    """Writes rows of the smaller classes several times.

    Each row of a class is used evenly: `after // before` times, and so many as are still missing
    once more. imbalanced-learn draws with replacement instead, which gives the same class counts
    and expectation with a higher variance: some rows many times, others never again.
    """

    name = "over"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """By `sampling_strategy`."""
        return over_targets(params.sampling_strategy, counts)
