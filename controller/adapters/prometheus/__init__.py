"""Prometheus as a source of snapshots: what to ask, how to ask in bounded time, what was said."""

from controller.adapters.prometheus.client import PrometheusClient
from controller.adapters.prometheus.diagnose import diagnose
from controller.adapters.prometheus.endpoint import BasicAuth, Endpoint
from controller.adapters.prometheus.findings import Finding, Severity
from controller.adapters.prometheus.pools import InstanceMapping, PoolQuery
from controller.adapters.prometheus.profiles import PROFILES
from controller.adapters.prometheus.source import PrometheusSource

__all__ = [
    "PROFILES",
    "BasicAuth",
    "Endpoint",
    "Finding",
    "InstanceMapping",
    "PoolQuery",
    "PrometheusClient",
    "PrometheusSource",
    "Severity",
    "diagnose",
]
