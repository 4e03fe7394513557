"""Components move as endpoints do: the same looks, the same pure walk, over copies instead of instances."""

from __future__ import annotations

from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import rollout
from modelyard.services.sagemaker.endpoint.reconcile import see_endpoint
from modelyard.services.sagemaker.inference_component.lifecycle import COMPONENT

api.reconciler(COMPONENT, see_endpoint)(rollout.decide)
