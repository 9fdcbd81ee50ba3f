"""The trained model as a SavedModel that scores raw examples."""

from collections.abc import Callable, Collection

import tensorflow as tf
import tensorflow_transform as tft

from ..names import LOGITS

Scorer = Callable[[dict[str, tf.Tensor]], tf.Tensor]


class ServingModule(tf.Module):
    """Transform's graph and a scorer as one: serialized raw tf.Examples in, raw scores out.

    Args:
      transform: what preprocessing does.
      scorer: module(transformed features) -> float32 [n, n_classes].
      hidden: raw features that are no model input: the label, the weight, `_row_id`.
    """

    def __init__(
        self, transform: tft.TFTransformOutput, scorer: Scorer, hidden: Collection[str | None]
    ) -> None:
        super().__init__()
        self.transform_layer = transform.transform_features_layer()
        self.scorer = scorer
        specs = transform.raw_feature_spec()
        self._specs = {name: spec for name, spec in specs.items() if name not in hidden}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [n] -> {LOGITS: float32 [n, n_classes]}."""
        raw = tf.io.parse_example(examples, self._specs)
        return {LOGITS: self.scorer(self.transform_layer(raw))}


def export(module: ServingModule, directory: str) -> None:
    """Writes the SavedModel with the signature `serving_default`."""
    tf.saved_model.save(module, directory, signatures={"serving_default": module.serve})
