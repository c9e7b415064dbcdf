"""What stands around the panels: variables, annotations, links between the dashboards."""

from collections.abc import Sequence

from grafana_foundation_sdk.models import common

from grafana.layout import Section, place
from grafana.looks import BAD, GOOD, NOTE, WARN
from grafana.panels import SOURCE
from grafana.promql import POOLS
from grafana.sdk import dashboard as sdk

# The model of dashboards that the SDK at hand writes; Grafana 11 to 13 read it.
SCHEMA_VERSION = 42
TITLES = {
    "lb-fleet": "Fleet overview",
    "lb-backend": "Backend drill-down",
    "lb-controller": "Controller and Nginx",
}
_ABOUT_SOURCE = "The Prometheus that holds the metrics and the recordings of rules/recording.yml."


def dashboard(
    uid: str, about: str, variables: Sequence[sdk.VariableModel], sections: Sequence[Section]
) -> sdk.Dashboard:
    """A whole dashboard."""
    return sdk.Dashboard(
        uid=uid,
        title=TITLES[uid],
        description=about,
        tags=["vllm-nginx-lb"],
        timezone="browser",
        editable=False,
        graph_tooltip=sdk.DashboardCursorSync.CROSSHAIR,
        time=sdk.DashboardDashboardTime(from_val="now-1h", to="now"),
        timepicker=sdk.TimePickerConfig(refresh_intervals=["10s", "30s", "1m", "5m", "15m"]),
        refresh="30s",
        schema_version=SCHEMA_VERSION,
        panels=place(sections),
        templating=sdk.DashboardDashboardTemplating(list_val=[_source(), *variables]),
        annotations=sdk.AnnotationContainer(list_val=_annotations()),
        links=[_link(other) for other in TITLES if other != uid],
    )


def _source() -> sdk.VariableModel:
    return sdk.VariableModel(
        type_val=sdk.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        description=_ABOUT_SOURCE,
        query="prometheus",
        current=sdk.VariableOption(selected=True, text="Prometheus", value="prometheus"),
        include_all=False,
        multi=False,
        options=[],
        refresh=sdk.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def _choice(
    name: str, label: str, query: str, about: str, everything: str | None
) -> sdk.VariableModel:
    """A variable of several values or all, whose values are those of a label."""
    return sdk.VariableModel(
        type_val=sdk.VariableType.QUERY,
        name=name,
        label=label,
        description=about,
        datasource=SOURCE,
        query={"query": query, "refId": f"Variable-{name}", "qryType": 1},
        definition=query,
        multi=True,
        include_all=True,
        all_value=everything,
        current=sdk.VariableOption(selected=True, text=["All"], value=["$__all"]),
        refresh=sdk.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=sdk.VariableSort.NATURAL_ASC,
        options=[],
    )


_ENGINES = "backend:requests_running:sum"


def job() -> sdk.VariableModel:
    """The scrape jobs of engines."""
    query = f"label_values({_ENGINES}, job)"
    return _choice("job", "Job", query, "Scrape jobs of the engines.", ".*")


def model() -> sdk.VariableModel:
    """The models that these serve."""
    query = f'label_values({_ENGINES}{{job=~"$job"}}, model_name)'
    return _choice("model", "Model", query, "Models that the engines serve.", ".*")


def instance() -> sdk.VariableModel:
    """The engines of these models.

    "All" is the list of these, so that a chosen model narrows also what carries no model.
    """
    query = f'label_values({_ENGINES}{{job=~"$job",model_name=~"$model"}}, instance)'
    return _choice("instance", "Backend", query, "Engines, by their instance label.", None)


def pool() -> sdk.VariableModel:
    """The upstreams of the controller."""
    query = "label_values(vllm_nginx_lb_pool_info, pool)"
    about = "Upstreams of the controller; narrows what it and Nginx say."
    return _choice("pool", "Pool", query, about, ".*")


def _annotations() -> list[sdk.AnnotationQuery]:
    changed = f"max by (pool) (vllm_nginx_lb_pool_changed_timestamp_seconds{{{POOLS}}}) * 1000"
    reloads = "max(vllm_nginx_lb_last_confirmed_timestamp_seconds) * 1000"
    refused = (
        "sum by (result) (increase("
        'vllm_nginx_lb_reloads_total{result!="confirmed"}[$__rate_interval])) > 0'
    )
    blind = f'max by (pool, reason) (vllm_nginx_lb_pool_blind{{{POOLS},reason!="none"}}) > 0'
    return [
        _mark("Weights changed", NOTE, changed, "Pool {{pool}} changed", at_value=True),
        _mark("Reload confirmed", GOOD, reloads, "Nginx confirmed a reload", at_value=True),
        _mark("Reload failed", BAD, refused, "Reload {{result}}"),
        _mark("Fail-safe", WARN, blind, "Pool {{pool}} holds its weights: {{reason}}"),
    ]


def _mark(
    name: str, color: str, expr: str, text: str, *, at_value: bool = False
) -> sdk.AnnotationQuery:
    return sdk.AnnotationQuery(
        name=name,
        datasource=common.DataSourceRef(type_val="prometheus", uid="${datasource}"),
        enable=True,
        icon_color=color,
        expr=expr,
        step="15s",
        title_format=name,
        text_format=text,
        tag_keys="pool,result,reason",
        use_value_for_time=at_value,
    )


def _link(uid: str) -> sdk.DashboardLink:
    return sdk.DashboardLink(
        title=TITLES[uid],
        type_val=sdk.DashboardLinkType.LINK,
        icon="dashboard",
        tooltip=f"Open {TITLES[uid]} with the same time and choices",
        url=f"/d/{uid}",
        include_vars=True,
        keep_time=True,
    )
