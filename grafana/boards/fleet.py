"""Fleet overview: is everyone served well, and does traffic go where the controller wants it."""

from grafana import frame
from grafana.boards import fleet_latency, fleet_now, fleet_room, fleet_tables, fleet_traffic
from grafana.layout import Line, Section
from grafana.sdk import dashboard as sdk


def build() -> sdk.Dashboard:
    """The dashboard."""
    return frame.dashboard(
        "lb-fleet",
        "Is everyone served well, does traffic go where the controller wants it, and who is ill.",
        [frame.job(), frame.model(), frame.pool()],
        [
            Section("Now", [Line(4, fleet_now.figures())]),
            Section("Models and backends", fleet_tables.lines()),
            Section(
                "Does traffic follow the weights",
                [Line(9, [fleet_traffic.proof(), fleet_traffic.gap()], [14, 10])],
            ),
            Section("States", [Line(8, [fleet_traffic.states()])]),
            Section(
                "Latency",
                [
                    Line(8, [fleet_latency.first_token(), fleet_latency.distribution()]),
                    Line(8, [fleet_latency.whole(), fleet_latency.between(), fleet_latency.burn()]),
                ],
            ),
            Section(
                "Load",
                [
                    Line(
                        8, [fleet_traffic.load(), fleet_latency.imbalance(), fleet_traffic.tokens()]
                    ),
                    Line(
                        8,
                        [
                            fleet_traffic.cache(),
                            fleet_traffic.errors(),
                            fleet_room.utilisation(),
                            fleet_room.needed(),
                        ],
                    ),
                ],
            ),
        ],
    )
