"""The SDK's first model of dashboards.

The SDK would rather have its second one used, and says so when the first is loaded; but Grafana 11
reads only the first, which 12 and 13 read too.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Prefer using dashboardv2")
    from grafana_foundation_sdk.models import dashboard

__all__ = ["dashboard"]
