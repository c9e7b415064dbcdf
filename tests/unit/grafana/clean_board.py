"""A small dashboard without a fault, for lints to be tried on."""

from typing import Any

Board = dict[str, Any]
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _variable(name: str, query: str) -> Board:
    return {
        "type": "query",
        "name": name,
        "query": {"query": query},
        "datasource": _SOURCE,
        "multi": True,
        "includeAll": True,
    }


def clean_board() -> Board:
    """A dashboard without a fault: one panel under a heading."""
    expr = 'sum by (pool) (rate(nginx_lb_requests_total{pool=~"$pool"}[$__rate_interval]))'
    panel = {
        "id": 2,
        "type": "timeseries",
        "title": "Requests",
        "description": "nginx_lb_requests_total. Normal: some.",
        "datasource": _SOURCE,
        "gridPos": {"x": 0, "y": 1, "w": 24, "h": 8},
        "targets": [
            {"refId": "A", "expr": expr, "legendFormat": "{{pool}}", "datasource": _SOURCE}
        ],
        "fieldConfig": {"defaults": {"unit": "reqps", "noValue": "no log"}, "overrides": []},
    }
    row = {"id": 1, "type": "row", "title": "Row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}}
    mark = {
        "name": "Changed",
        "datasource": _SOURCE,
        "expr": "max(vllm_nginx_lb_last_confirmed_timestamp_seconds) * 1000",
        "titleFormat": "Changed",
        "textFormat": "",
        "useValueForTime": True,
    }
    return {
        "uid": "lb-test",
        "links": [{"url": "/d/lb-test"}],
        "panels": [row, panel],
        "annotations": {"list": [mark]},
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "query": "prometheus"},
                _variable("pool", "label_values(vllm_nginx_lb_pool_info, pool)"),
            ]
        },
    }
