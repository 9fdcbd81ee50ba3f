"""Rebalancer: changes the class counts of the transformed train split."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_imbalance.artifacts import ImbalanceReport, RebalanceReport

from ..fingerprint import code_fingerprint
from .executor import Executor
from .params import RebalanceParams


class RebalancerSpec(types.ComponentSpec):
    """Rebalancer's inputs, outputs and execution properties."""

    PARAMETERS: ClassVar = {
        "params": component_spec.ExecutionParameter(type=str),
        "weight": component_spec.ExecutionParameter(type=str, optional=True),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        # A spec's inputs and outputs share one namespace.
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "imbalance_report": component_spec.ChannelParameter(type=ImbalanceReport),
    }
    OUTPUTS: ClassVar = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "report": component_spec.ChannelParameter(type=RebalanceReport),
    }


class Rebalancer(base_beam_component.BaseBeamComponent):
    """Drops, copies or synthesises rows of the train split until class counts are as asked for.

    Example:
      ```
      rebalancer = Rebalancer(
          examples=transform.outputs["transformed_examples"],
          transform_graph=transform.outputs["transform_graph"],
          imbalance_report=detector.outputs["report"],
          params=RebalanceParams(method="under", sampling_strategy=0.5, seed=7),
      )
      ```

    Component `outputs` contains:
      - `examples`: `standard_artifacts.Examples` with the splits `train`, rebalanced, and `val`,
        whose files are copied as they are. There is no test split.
      - `report`: `RebalanceReport` with class counts before and after, and the per-class factors
        by which a later prior correction undoes them.
    """

    SPEC_CLASS = RebalancerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.Channel,
        transform_graph: types.Channel,
        imbalance_report: types.Channel,
        params: RebalanceParams,
        weight: str | None = None,
    ) -> None:
        """Constructs the component.

        Args:
          examples: transformed `Examples` with the splits `train` and `val`; the label is a bytes
            feature that holds the class's name.
          transform_graph: tells which features are categorical, for the SMOTE methods.
          imbalance_report: `ImbalanceReport`; gives the label's name and the class order.
          params: method, strategies, limits and seed.
          weight: the sample-weight column, which is no feature; a synthetic row has that of its
            base row.
        """
        spec = RebalancerSpec(
            transformed_examples=examples,
            transform_graph=transform_graph,
            imbalance_report=imbalance_report,
            params=params.to_property(),
            weight=weight,
            code_fingerprint=code_fingerprint(
                "tfx_imbalance.components.rebalancer",
                "tfx_imbalance.components.example_encoder",
                "tfx_imbalance.components.examples_io",
                "tfx_imbalance.components.hashing",
                "tfx_imbalance.components.tfrecord",
            ),
            examples=types.Channel(type=standard_artifacts.Examples),
            report=types.Channel(type=RebalanceReport),
        )
        super().__init__(spec=spec)
