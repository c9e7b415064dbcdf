"""Tables: one row per thing, one column per question about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

from grafana_foundation_sdk.models import common, prometheus, table

from grafana.looks import PLAIN, thresholds
from grafana.panels import Ask, Words, panel, targets
from grafana.sdk import dashboard as sdk

_FORM = prometheus.PromQueryFormat.TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that a question fills.

    Attributes:
        name: What stands above it.
        expr: PromQL that gives one number per row, with the same labels as the other columns.
        unit: Of the number; "" where only a label of the answer is shown.
        limits: Colours of the number.
        bar: Drawn as a bar from 0 to 1.
    """

    name: str
    expr: str
    unit: str
    limits: sdk.ThresholdsConfig | None = None
    bar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A column that shows a label.

    Attributes:
        label: Its name in Prometheus.
        name: What stands above it.
        width: In pixels; None lets Grafana choose.
        mappings: Colours by value.
        links: Where a click leads.
    """

    label: str
    name: str
    width: int | None = None
    mappings: list[sdk.ValueMapping] = field(default_factory=list)
    links: list[sdk.DashboardLink] = field(default_factory=list)


def rows(
    said: Words,
    labels: Sequence[Label],
    columns: Sequence[Column],
    *,
    first_by: str,
    falling: bool = False,
) -> sdk.Panel:
    """A table of what holds now, merged by the labels, sorted by a column."""
    values = ["Value"] if len(columns) == 1 else [f"Value #{ref}" for ref in ascii_uppercase]
    numbers = list(zip(values, columns, strict=False))
    hidden = ["Time", *(value for value, column in numbers if not column.unit)]
    shown = [each.label for each in labels] + [value for value, each in numbers if each.unit]
    transformations = [
        sdk.DataTransformerConfig(id_val="merge", options={}),
        sdk.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(hidden, True),
                "indexByName": {name: index for index, name in enumerate(shown)},
                "renameByName": {},
            },
        ),
    ]
    overrides = [
        _override(".*", [("noValue", "-")], matcher="byRegexp"),
        *(_override(each.label, _of_label(each)) for each in labels),
        *(_override(value, _of_column(column)) for value, column in numbers if column.unit),
    ]
    defaults = sdk.FieldConfig(
        unit="none",
        color=sdk.FieldColor(mode=sdk.FieldColorModeId.THRESHOLDS),
        thresholds=thresholds(PLAIN),
        custom=common.TableFieldOptions(
            cell_options=common.TableAutoCellOptions(), filterable=True
        ),
    )
    options = table.Options(
        show_header=True,
        cell_height=common.TableCellHeight.SM,
        sort_by=[common.TableSortByFieldState(display_name=first_by, desc=falling)],
    )
    config = sdk.FieldConfigSource(defaults=defaults, overrides=overrides)
    asked = targets([Ask(column.expr) for column in columns], _FORM, instant=True)
    made = panel("table", said, config, options, asked)
    made.transformations = transformations
    return made


def _of_label(label: Label) -> list[tuple[str, object]]:
    properties: list[tuple[str, object]] = [("displayName", label.name)]
    if label.width:
        properties.append(("custom.width", label.width))
    if label.mappings:
        properties.append(("mappings", label.mappings))
        properties.append(("custom.cellOptions", common.TableColorTextCellOptions()))
    if label.links:
        properties.append(("links", label.links))
    return properties


def _of_column(column: Column) -> list[tuple[str, object]]:
    properties: list[tuple[str, object]] = [("displayName", column.name), ("unit", column.unit)]
    if column.limits:
        properties.append(("thresholds", column.limits))
    if column.bar:
        cell = common.TableBarGaugeCellOptions(
            mode=common.BarGaugeDisplayMode.BASIC, value_display_mode=common.BarGaugeValueMode.TEXT
        )
        properties += [("custom.cellOptions", cell), ("min", 0), ("max", 1)]
    elif column.limits:
        properties.append(("custom.cellOptions", common.TableColorTextCellOptions()))
    return properties


def _override(
    name: str, properties: Sequence[tuple[str, object]], matcher: str = "byName"
) -> sdk.DashboardFieldConfigSourceOverrides:
    return sdk.DashboardFieldConfigSourceOverrides(
        matcher=sdk.MatcherConfig(id_val=matcher, options=name),
        properties=[sdk.DynamicConfigValue(id_val=key, value=value) for key, value in properties],
    )
