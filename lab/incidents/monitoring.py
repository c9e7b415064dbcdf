"""What Prometheus and Alertmanager publish of themselves, as far as rules and panels ask for it."""

from lab.incidents.history import History
from lab.incidents.timetable import SCRAPE_S

_RULE_GROUPS = ("backend", "model", "upstream", "alerts")
_ALERTMANAGER = "http://127.0.0.1:9093/api/v2/alerts"
# The dead man's switch is told every minute.
_NOTIFY_EVERY = 4


class Monitoring:
    """Counters of a Prometheus and an Alertmanager that work."""

    def __init__(self) -> None:
        self._scrapes = 0

    def scrape(self, history: History, at_s: int) -> None:
        """Record both."""
        self._scrapes += 1
        count = self._scrapes
        started = at_s - SCRAPE_S * count - 86_400
        prometheus: dict[str, float] = {
            'prometheus_build_info{version="2.42.0"}': 1,
            "process_start_time_seconds": started,
            "prometheus_config_last_reload_successful": 1,
            "prometheus_tsdb_head_series": 4200,
            "prometheus_tsdb_head_samples_appended_total": 4200 * count,
            "prometheus_notifications_queue_length": 0,
            "prometheus_notifications_queue_capacity": 10_000,
            "prometheus_notifications_dropped_total": 0,
            f'prometheus_notifications_sent_total{{alertmanager="{_ALERTMANAGER}"}}': count,
            f'prometheus_notifications_errors_total{{alertmanager="{_ALERTMANAGER}"}}': 0,
            "prometheus_notifications_alertmanagers_discovered": 1,
        }
        for group in _RULE_GROUPS:
            of = f'rule_group="/etc/prometheus/rules/{group}.yml;{group}"'
            prometheus |= {
                f"prometheus_rule_evaluations_total{{{of}}}": 12 * count,
                f"prometheus_rule_evaluation_failures_total{{{of}}}": 0,
                f"prometheus_rule_group_iterations_total{{{of}}}": count,
                f"prometheus_rule_group_iterations_missed_total{{{of}}}": 0,
                f"prometheus_rule_group_last_duration_seconds{{{of}}}": 0.004,
                f"prometheus_rule_group_interval_seconds{{{of}}}": SCRAPE_S,
            }
        history.scrape("prometheus", "127.0.0.1:9090", at_s, prometheus.items())
        alertmanager: dict[str, float] = {
            'alertmanager_build_info{version="0.25.0"}': 1,
            'alertmanager_alerts{state="active"}': 1,
            'alertmanager_alerts{state="suppressed"}': 0,
            "alertmanager_config_last_reload_successful": 1,
            "process_start_time_seconds": started,
        }
        for integration in ("email", "webhook"):
            of = f'integration="{integration}"'
            sent = count // _NOTIFY_EVERY if integration == "webhook" else 0
            alertmanager |= {
                f"alertmanager_notifications_total{{{of}}}": sent,
                f"alertmanager_notifications_failed_total{{{of}}}": 0,
            }
        history.scrape("alertmanager", "127.0.0.1:9093", at_s, alertmanager.items())
