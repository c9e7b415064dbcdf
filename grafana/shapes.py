"""The kinds of panels: lines, single figures, heat maps, states over time."""

from grafana_foundation_sdk.models import (
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)

from grafana.looks import PLAIN, thresholds
from grafana.panels import Ask, Words, overrides, panel, targets
from grafana.sdk import dashboard as sdk

_LINES = prometheus.PromQueryFormat.TIME_SERIES


def graph(
    said: Words,
    *asked: Ask,
    unit: str,
    low: float | None = 0,
    high: float | None = None,
    limits: sdk.ThresholdsConfig | None = None,
    stacked: bool = False,
    links: list[sdk.DashboardLink] | None = None,
) -> sdk.Panel:
    """Lines over time; `limits` are drawn as dashed lines."""
    custom = common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=1,
        fill_opacity=60 if stacked else 8,
        show_points=common.VisibilityMode.NEVER,
        axis_placement=common.AxisPlacement.AUTO,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, group="A"
        ),
        thresholds_style=common.GraphThresholdsStyleConfig(
            mode=common.GraphThresholdsStyleMode.DASHED
            if limits
            else common.GraphThresholdsStyleMode.OFF
        ),
    )
    defaults = sdk.FieldConfig(
        unit=unit,
        min_val=low,
        max_val=high,
        color=sdk.FieldColor(mode=sdk.FieldColorModeId.PALETTE_CLASSIC_BY_NAME),
        thresholds=limits or thresholds(PLAIN),
        links=links,
        custom=custom,
    )
    options = timeseries.Options(
        legend=_legend(),
        tooltip=common.VizTooltipOptions(
            mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
        ),
    )
    config = sdk.FieldConfigSource(defaults=defaults, overrides=overrides(asked))
    return panel("timeseries", said, config, options, targets(asked, _LINES, instant=False))


def _legend() -> common.VizLegendOptions:
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.LIST,
        placement=common.LegendPlacement.BOTTOM,
        show_legend=True,
        calcs=["lastNotNull"],
    )


def figure(
    said: Words,
    *asked: Ask,
    unit: str,
    limits: sdk.ThresholdsConfig | None = None,
    mappings: list[sdk.ValueMapping] | None = None,
    decimals: float | None = None,
    links: list[sdk.DashboardLink] | None = None,
) -> sdk.Panel:
    """What holds now, large; with names as soon as there is more than one."""
    defaults = sdk.FieldConfig(
        unit=unit,
        decimals=decimals,
        color=sdk.FieldColor(mode=sdk.FieldColorModeId.THRESHOLDS),
        thresholds=limits or thresholds(PLAIN),
        mappings=mappings,
        links=links,
    )
    named = any(ask.legend for ask in asked)
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.VALUE,
        text_mode=common.BigValueTextMode.VALUE_AND_NAME
        if named
        else common.BigValueTextMode.VALUE,
        reduce_options=common.ReduceDataOptions(calcs=["lastNotNull"], values=False, fields=""),
    )
    config = sdk.FieldConfigSource(defaults=defaults, overrides=overrides(asked))
    return panel("stat", said, config, options, targets(asked, _LINES, instant=True))


def heat(said: Words, buckets: str, *, unit: str) -> sdk.Panel:
    """How many fell into which bucket, over time; darker is more."""
    options = heatmap.Options(
        color=heatmap.HeatmapColorOptions(
            mode=heatmap.HeatmapColorMode.SCHEME,
            scheme="Oranges",
            fill="dark-orange",
            exponent=0.5,
            steps=64,
        ),
        y_axis=heatmap.YAxisConfig(unit=unit, axis_placement=common.AxisPlacement.LEFT),
        rows_frame=heatmap.RowsHeatmapOptions(layout=common.HeatmapCellLayout.AUTO),
        cell_values=heatmap.CellValues(unit="reqps"),
        show_value=common.VisibilityMode.NEVER,
        tooltip=heatmap.HeatmapTooltip(
            mode=common.TooltipDisplayMode.SINGLE, y_histogram=False, show_color_scale=True
        ),
    )
    # The unit of the field is that of a bucket's bounds, which is what one reads off the panel.
    config = sdk.FieldConfigSource(
        defaults=sdk.FieldConfig(unit=unit, custom=heatmap.FieldConfig())
    )
    form = prometheus.PromQueryFormat.HEATMAP
    return panel(
        "heatmap", said, config, options, targets([Ask(buckets, "{{le}}")], form, instant=False)
    )


def timeline(
    said: Words,
    *asked: Ask,
    mappings: list[sdk.ValueMapping],
    links: list[sdk.DashboardLink] | None = None,
) -> sdk.Panel:
    """States over time, one row each."""
    defaults = sdk.FieldConfig(
        unit="none",
        color=sdk.FieldColor(mode=sdk.FieldColorModeId.THRESHOLDS),
        thresholds=thresholds(PLAIN),
        mappings=mappings,
        links=links,
        custom=statetimeline.FieldConfig(line_width=0, fill_opacity=80),
    )
    options = statetimeline.Options(
        show_value=common.VisibilityMode.AUTO,
        row_height=0.85,
        merge_values=True,
        align_value=common.TimelineValueAlignment.LEFT,
        legend=_legend(),
        tooltip=common.VizTooltipOptions(mode=common.TooltipDisplayMode.SINGLE),
    )
    config = sdk.FieldConfigSource(defaults=defaults, overrides=overrides(asked))
    return panel("state-timeline", said, config, options, targets(asked, _LINES, instant=False))
