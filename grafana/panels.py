"""Panels of each kind, with what this project wants of all of them.

Every panel has a title, a text that names its metrics and says what is normal, a unit, and words
for the case that there is nothing to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.cog import variants as cogvariants
from grafana_foundation_sdk.models import common, prometheus

from grafana.sdk import dashboard as sdk

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of a panel.

    Attributes:
        expr: PromQL.
        legend: Grafana's legend.
        look: What differs from the panel's look, by property of the field.
    """

    expr: str
    legend: str = ""
    look: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a panel says about itself.

    Attributes:
        title: What it shows.
        about: Which metrics it is made of, and what is normal.
        missing: What lacks when it has nothing to show.
    """

    title: str
    about: str
    missing: str


DASHED = ("custom.lineStyle", common.LineStyle(fill="dash", dash=[8, 6]))
STEPS = ("custom.lineInterpolation", "stepAfter")
NO_FILL = ("custom.fillOpacity", 0)
UNLISTED = ("custom.hideFrom", common.HideSeriesConfig(tooltip=False, legend=True, viz=False))


def coloured(color: str) -> tuple[str, object]:
    """One colour for all series of a question."""
    return ("color", sdk.FieldColor(mode=sdk.FieldColorModeId.FIXED, fixed_color=color))


def targets(
    asked: Sequence[Ask], form: prometheus.PromQueryFormat, *, instant: bool
) -> list[cogvariants.Dataquery]:
    """Questions with references A, B, C in their order."""
    return [
        prometheus.Dataquery(
            datasource=SOURCE,
            editor_mode=prometheus.QueryEditorMode.CODE,
            expr=ask.expr,
            format_val=form,
            instant=instant,
            range_val=not instant,
            legend_format=ask.legend or None,
            ref_id=ref_id,
        )
        for ref_id, ask in zip(ascii_uppercase, asked, strict=False)
    ]


def overrides(asked: Sequence[Ask]) -> list[sdk.DashboardFieldConfigSourceOverrides]:
    """The looks of single questions."""
    return [
        sdk.DashboardFieldConfigSourceOverrides(
            matcher=sdk.MatcherConfig(id_val="byFrameRefID", options=ref_id),
            properties=[
                sdk.DynamicConfigValue(id_val=name, value=value) for name, value in ask.look
            ],
        )
        for ref_id, ask in zip(ascii_uppercase, asked, strict=False)
        if ask.look
    ]


def panel(
    kind: str,
    said: Words,
    config: sdk.FieldConfigSource,
    options: object,
    questions: list[cogvariants.Dataquery],
) -> sdk.Panel:
    """A panel of any kind."""
    config.defaults.no_value = said.missing
    return sdk.Panel(
        type_val=kind,
        title=said.title,
        description=said.about,
        datasource=SOURCE,
        targets=questions,
        options=options,
        field_config=config,
    )


def drill_down(label: str = "instance") -> list[sdk.DashboardLink]:
    """A link from a series that knows its instance to the dashboard of that backend."""
    return [link_to_backend(f"${{__field.labels.{label}}}")]


def link_to_backend(instance: str) -> sdk.DashboardLink:
    """A link to the dashboard of one backend, which keeps time and data source."""
    return sdk.DashboardLink(
        title="Open this backend",
        url=f"/d/lb-backend?var-instance={instance}&${{datasource:queryparam}}&${{__url_time_range}}",
    )
