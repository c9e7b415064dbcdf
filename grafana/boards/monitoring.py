"""Whether the alarms themselves work."""

from grafana.layout import Line
from grafana.looks import BAD, WARN, yes_no
from grafana.panels import NO_FILL, Ask, Words, coloured
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph, timeline

_SILENT = "Prometheus or Alertmanager does not scrape itself"


def lines() -> list[Line]:
    """All panels of Prometheus and Alertmanager."""
    return [Line(8, [_targets(), _rules(), _notifications()])]


def _targets() -> sdk.Panel:
    said = Words(
        title="Scrapes",
        about="up, the worst instance of each job. Normal: up. A job that is not listed is not"
        " scraped at all.",
        missing="Prometheus scrapes nothing",
    )
    words = yes_no("up", "an instance is down", good=True)
    return timeline(said, Ask("min by (job) (up)", "{{job}}"), mappings=words)


def _rules() -> sdk.Panel:
    said = Words(
        title="Rules: failures and time",
        about="prometheus_rule_evaluation_failures_total and"
        " prometheus_rule_group_iterations_missed_total per second: an alert that fails to evaluate"
        " never fires. Also the slowest group, prometheus_rule_group_last_duration_seconds. Normal:"
        " no failures, groups well below 1 s.",
        missing=_SILENT,
    )
    failed, missed = (
        f"sum(rate(prometheus_rule_{what}_total[$__rate_interval]))"
        for what in ("evaluation_failures", "group_iterations_missed")
    )
    seconds = ("unit", "s")
    return graph(
        said,
        Ask(failed, "failures", (coloured(BAD),)),
        Ask(missed, "missed", (coloured(WARN),)),
        Ask(
            "max(prometheus_rule_group_last_duration_seconds)", "slowest group", (NO_FILL, seconds)
        ),
        unit="cps",
    )


def _notifications() -> sdk.Panel:
    said = Words(
        title="Notifications that were lost",
        about="prometheus_notifications_errors_total and prometheus_notifications_dropped_total:"
        " from Prometheus to Alertmanager; alertmanager_notifications_failed_total by"
        " integration: from there to people. Normal: 0.",
        missing=_SILENT,
    )
    errors, dropped = (
        f"sum(rate(prometheus_notifications_{what}_total[$__rate_interval]))"
        for what in ("errors", "dropped")
    )
    failed = (
        "sum by (integration) (rate(alertmanager_notifications_failed_total[$__rate_interval]))"
    )
    return graph(
        said,
        Ask(errors, "errors to Alertmanager", (coloured(BAD),)),
        Ask(dropped, "dropped before Alertmanager", (coloured(WARN),)),
        Ask(failed, "failed: {{integration}}", (NO_FILL,)),
        unit="cps",
    )
