"""RetrievalPusher: TFX's Pusher, but a model is pushed once and whole."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import pusher_pb2
from tfx.types import component_spec, standard_artifacts, standard_component_specs

from components.parameters import to_parameter
from components.pusher.config import ApprovalConfig, RolloutConfig
from components.pusher.executor import APPROVAL, PUSH_AGAIN, ROLLOUT, Executor


class RetrievalPusherSpec(standard_component_specs.PusherSpec):
    """TFX's own, what the model was trained on and compared with, and how to push."""

    INPUTS = {
        **standard_component_specs.PusherSpec.INPUTS,
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
        "live_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    PARAMETERS = {
        **standard_component_specs.PusherSpec.PARAMETERS,
        PUSH_AGAIN: component_spec.ExecutionParameter(type=str, optional=True),
        APPROVAL: component_spec.ExecutionParameter(type=str, optional=True),
        ROLLOUT: component_spec.ExecutionParameter(type=str, optional=True),
    }


class RetrievalPusher(base_component.BaseComponent):
    """Pushes a model that is both blessed and servable.

    The model comes from the infra blessing, which holds it with warm-up requests.
    """

    SPEC_CLASS = RetrievalPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        statistics: types.BaseChannel,
        live_model: types.BaseChannel,
        push_destination: str,
        push_again: str = "",
        approval: ApprovalConfig | None = None,
        rollout: RolloutConfig | None = None,
    ) -> None:
        """Makes the node `Pusher`.

        Args:
          model_blessing: `ModelBlessing` of the evaluation.
          infra_blessing: `InfraBlessing` with a copy of the model.
          statistics: `ExampleStatistics` of what the model was trained on; those of the
            train split go with it, for DataGate to compare later data with.
          live_model: From LiveModel: what the model was compared with.
          push_destination: Folder that gets one subfolder for each version, as
            TensorFlow Serving reads it.
          push_again: Empty to push no model that was pushed before; else a value that
            no run had yet, so that the step is not cached.
          approval: Who decides that the model goes live; by default nobody needs to.
          rollout: How the version goes live; by default at once.
        """
        destination = pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(
                base_directory=push_destination
            )
        )
        # Absent rather than empty, as Kubeflow has it too.
        given = {PUSH_AGAIN: push_again} if push_again else {}
        if approval and approval.approval != ApprovalConfig.approval:
            given[APPROVAL] = approval.approval
        how = to_parameter(RolloutConfig, rollout or RolloutConfig())
        if how != to_parameter(RolloutConfig, RolloutConfig()):
            given[ROLLOUT] = how
        super().__init__(
            spec=RetrievalPusherSpec(
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                statistics=statistics,
                live_model=live_model,
                push_destination=destination,
                **given,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
        self.with_id("Pusher")
