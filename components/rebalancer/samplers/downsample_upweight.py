"""Downsampling with upweighting."""

from .base import register
from .under import RandomUnderSampler


@register
class DownsampleUpweight(RandomUnderSampler):
    """Writes only some rows of the larger classes, each with a weight for those left out.

    A class that goes from n to m rows has weight n / m in each of them, so that its weighted count
    is what it was: training is cheaper, the minority is seen more often a step, and the
    probabilities stay those of the data. The weight is a feature of the examples, by which Trainer
    multiplies the sample weight.

    References:
      Google, "Machine Learning Crash Course", Datasets: imbalanced datasets, downsample and
      upweight the majority class.
    """

    name = "downsample_upweight"
    kind = "none"
    weighs = True
