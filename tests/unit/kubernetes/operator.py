"""The custom resources of the Prometheus operator, as far as deploy/kubernetes uses them.

Their schema is in no package that Python could install, so what is used is written down here, with
names and types as the operator's CustomResourceDefinitions (monitoring.coreos.com/v1) have them.
Everything else is refused, since an API server would drop it without a word.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

# Of Prometheus: `1h30m`, without spaces, from large to small.
Duration = Annotated[
    str, StringConstraints(pattern=r"^(0|(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$")
]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Strict(BaseModel):
    """An object in which a misspelt field is a fault."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    """Who it is."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    namespace: str | None = None
    labels: dict[str, str]


class Relabeling(Strict):
    """One step of relabelling; the operator writes it into Prometheus' configuration."""

    action: Literal["replace", "keep", "drop", "labeldrop", "labelkeep", "labelmap"] = "replace"
    source_labels: list[LabelName] = []
    target_label: LabelName | None = None
    regex: str = "(.*)"
    replacement: str = "$1"


class Endpoint(Strict):
    """A port to scrape, by its name."""

    port: Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$")]
    interval: Duration
    relabelings: list[Relabeling] = []
    metric_relabelings: list[Relabeling] = []


class Selector(Strict):
    """Which objects."""

    match_labels: dict[str, str]


class ServiceMonitorSpec(Strict):
    """What is scraped behind which Services."""

    selector: Selector
    endpoints: Annotated[list[Endpoint], Field(min_length=1)]


class ServiceMonitor(Strict):
    """The operator's kind for the endpoints of Services."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: ServiceMonitorSpec


class Rule(BaseModel):
    """A recording or an alert; values of labels are texts, which a bare number is not."""

    model_config = ConfigDict(extra="forbid", strict=True)

    record: str | None = None
    alert: str | None = None
    expr: str
    for_: Annotated[Duration | None, Field(alias="for")] = None
    keep_firing_for: Duration | None = None
    labels: dict[LabelName, str] = {}
    annotations: dict[LabelName, str] = {}


class Group(BaseModel):
    """Rules that are evaluated one after the other."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    interval: Duration | None = None
    limit: int | None = None
    rules: list[Rule]


class PrometheusRuleSpec(Strict):
    """Groups of rules."""

    groups: Annotated[list[Group], Field(min_length=1)]


class PrometheusRule(Strict):
    """The operator's kind for rules."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec


KINDS: dict[str, type[Strict]] = {kind.__name__: kind for kind in (ServiceMonitor, PrometheusRule)}


def check(manifest: Any) -> Strict:  # noqa: ANN401  # whatever kustomize made
    """A custom resource, checked.

    Raises:
        KeyError: It is of a kind that is not written down here.
        ValidationError: The operator would not take it.
    """
    return KINDS[manifest["kind"]].model_validate(manifest)
