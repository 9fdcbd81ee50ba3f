"""Writes the pushed SavedModel: plain TensorFlow, raw tf.Examples in, decisions out."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from .. import scoring
from ..names import DECISION, LABEL, LABEL_INDEX
from .head import Head
from .raw_scores import RawForm


class Pushed(tf.Module):
    """A trained model, its head and the label's parser.

    Signatures, all from `examples`, string [n], raw serialized tf.Examples:
      serving_default: probabilities, probability, decision, label (see names).
      label_index: int64 [n], the true class index; -1 without a known label. TFMA finds it by
        `ModelSpec(preprocessing_function_names=[LABEL_INDEX], label_key=LABEL_INDEX)`.
    """

    def __init__(
        self, model: Any, form: RawForm, head: Head, label: str, classes: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = model
        self._form, self._head = form, head
        self._label, self._classes = label, list(classes)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The decision on each example; the label is not read."""
        outputs = self._head(self._form.logits(scoring.serve(self.model, examples)))
        return {**outputs, LABEL: tf.gather(tf.constant(self._classes), outputs[DECISION])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def label_index(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """The true class index of each example."""
        parsed = tf.io.parse_example(examples, {self._label: tf.io.RaggedFeature(tf.string)})
        # Class names are not empty, so '' stands for a missing label.
        names = parsed[self._label].to_tensor(default_value="", shape=[None, 1])
        matches = tf.cast(names == tf.constant(self._classes), tf.int64)
        known = tf.reduce_max(matches, axis=1)
        return {LABEL_INDEX: tf.argmax(matches, axis=1) * known + known - 1}


def write(pushed: Pushed, directory: str) -> None:
    """Saves the model with its signatures."""
    signatures = {
        scoring.SERVING: pushed.serving_default,
        LABEL_INDEX: pushed.label_index,
    }
    tf.saved_model.save(pushed, directory, signatures=signatures)


def fingerprint(model: Any, model_dir: str, head: Head, classes: Sequence[str]) -> str:
    """SHA-256 over what the pushed model computes.

    Over the values of the variables that the trained model's `serving_default` uses, its assets'
    content (vocabularies), its graph's operations with their constants, and the head's constants
    and classes. Digests are sorted before they are joined, and neither names, paths nor the
    numbers that TensorFlow gives functions count: two trainings that gave equal weights are equal.

    Args:
      model: the trained model, from scoring.load.
      model_dir: where it was loaded from.
      head: what follows it.
      classes: class names in index order.
    """
    parts = sorted(hashlib.sha256(part).hexdigest() for part in _parts(model, model_dir))
    text = "\n".join([*parts, head.constants(), *classes])
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(model: Any, model_dir: str) -> Iterator[bytes]:
    signature = model.signatures[scoring.SERVING]
    for variable in signature.variables:
        value = variable.numpy()
        yield f"variable {value.dtype} {value.shape}".encode() + value.tobytes()
    assets = os.path.join(model_dir, "assets")
    if tf.io.gfile.isdir(assets):
        for name in tf.io.gfile.listdir(assets):
            with tf.io.gfile.GFile(os.path.join(assets, name), "rb") as file:
                yield b"asset " + file.read()
    graph = signature.graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    for node in [*graph.node, *functions]:
        yield _operation(node)


def _operation(node: Any) -> bytes:
    """An operation's kind and numbers; names, devices and paths (scalar texts) left out."""
    attributes = []
    for name, value in sorted(node.attr.items()):
        kind = value.WhichOneof("value")
        if name.startswith("_"):
            continue
        if kind in ("i", "f", "b", "type"):
            attributes.append(f"{name}={getattr(value, kind)}")
        elif kind == "tensor":
            array = tf.make_ndarray(value.tensor)
            if array.dtype != object or array.ndim:
                content = array.tolist() if array.dtype == object else array.tobytes()
                attributes.append(f"{name}={array.dtype}{array.shape}{content!r}")
    return f"operation {node.op} {attributes}".encode()
