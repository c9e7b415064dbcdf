"""The manifests of deploy/autoscaling, as far as a mistake in them would cost somebody servers."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "deploy" / "autoscaling"

Seconds = Annotated[int, Field(ge=0, le=3600)]  # what Kubernetes allows for a window


class Strict(BaseModel):
    """An object in which a misspelt field is a fault, as an API server would have it."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    """Who it is."""

    name: str
    namespace: str


class Policy(Strict):
    """How many replicas in how many seconds."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1)]
    period_seconds: Annotated[int, Field(ge=1, le=1800)]


class Direction(Strict):
    """One way of scaling."""

    stabilization_window_seconds: Seconds
    policies: Annotated[list[Policy], Field(min_length=1)]
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"


class Behavior(Strict):
    """Both ways of scaling."""

    scale_up: Direction
    scale_down: Direction


class Prometheus(Strict):
    """What KEDA asks, whom, and how it reads the answer."""

    server_address: Annotated[str, Field(pattern=r"^https?://")]
    query: str
    threshold: Annotated[str, Field(pattern=r"^\d+$")]
    ignore_null_values: Literal["false"]


class Trigger(Strict):
    """A number that KEDA follows."""

    type: Literal["prometheus"]
    name: str
    metric_type: Literal["AverageValue"]
    metadata: Prometheus


class HpaConfig(Strict):
    """What KEDA hands on to the HPA that it makes."""

    behavior: Behavior


class Advanced(Strict):
    """The part of a ScaledObject that few need."""

    horizontal_pod_autoscaler_config: HpaConfig


class Named(Strict):
    """A reference by name within the namespace."""

    name: str


class ScaledObjectSpec(Strict):
    """What KEDA scales, between which numbers, by what. A fallback could scale in."""

    scale_target_ref: Named
    polling_interval: Seconds
    min_replica_count: Annotated[int, Field(ge=1)]
    max_replica_count: int
    advanced: Advanced
    triggers: list[Trigger]


class ScaledObject(Strict):
    """KEDA's kind."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


class MatchLabels(Strict):
    """Which of the series."""

    match_labels: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]]


class MetricName(Strict):
    """A metric of an adapter."""

    name: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    selector: MatchLabels


class Target(Strict):
    """How many units of the metric are one replica."""

    type: Literal["AverageValue"]
    average_value: Annotated[str, Field(pattern=r"^\d+$")]


class External(Strict):
    """A metric that belongs to no object."""

    metric: MetricName
    target: Target


class Metric(Strict):
    """A number that the HPA follows."""

    type: Literal["External"]
    external: External


class TargetRef(Named):
    """What is scaled."""

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]


class HpaSpec(Strict):
    """What is scaled, between which numbers, by what."""

    scale_target_ref: TargetRef
    min_replicas: Annotated[int, Field(ge=1)]
    max_replicas: int
    metrics: list[Metric]
    behavior: Behavior


class Hpa(Strict):
    """The autoscaler of Kubernetes."""

    api_version: Literal["autoscaling/v2"]
    kind: Literal["HorizontalPodAutoscaler"]
    metadata: Metadata
    spec: HpaSpec


def load(name: str) -> Any:  # noqa: ANN401  # whatever the file holds
    """A manifest as plain data."""
    return yaml.safe_load((MANIFESTS / name).read_text())
