"""Training a Keras model, alone or in step with other processes."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ..devices import Devices


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    devices: Devices,
    *,
    steps_per_epoch: int,
    epochs: range,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains as `Model.fit` does; every worker must call it alike.

    Args:
      model: compiled under the strategy's scope, its optimizer built.
      batches: of all workers together, each of a size that all replicas share evenly; the same on
        every worker. Each trains on its part.
      devices: what the model was compiled on.
      steps_per_epoch: batches an epoch.
      epochs: their numbers, if no callback ends training before; with several workers it ends
        where one of them has it so.
      callbacks: Keras's. With several workers they see the loss alone.
    """
    if devices.cluster.workers == 1:
        model.fit(
            batches,
            steps_per_epoch=steps_per_epoch,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            callbacks=list(callbacks),
            verbose=0,
        )
        return
    # Keras 3 reduces metrics in a way that MultiWorkerMirroredStrategy refuses.
    strategy = devices.strategy
    batch = iter(strategy.experimental_distribute_dataset(batches))

    def step() -> tf.Tensor:
        return strategy.run(model.train_step, args=(next(batch),))["loss"]

    @tf.function
    def epoch_of_steps() -> tf.Tensor:
        for _ in tf.range(steps_per_epoch - 1):
            step()
        return strategy.reduce("MEAN", step(), axis=None)  # the mean since the epoch began

    @tf.function
    def any_stops(stops: tf.Tensor) -> tf.Tensor:
        votes = strategy.run(lambda: tf.identity(stops))
        return strategy.reduce("SUM", votes, axis=None) > 0

    hooks = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs.stop, steps=steps_per_epoch, verbose=0
    )
    model.stop_training = False
    hooks.on_train_begin()
    for epoch in epochs:
        model.reset_metrics()
        hooks.on_epoch_begin(epoch)
        hooks.on_epoch_end(epoch, {"loss": float(epoch_of_steps())})
        # Workers that disagree about the last epoch would wait for each other for ever.
        if any_stops(tf.constant(float(model.stop_training))):
            break
    hooks.on_train_end()
