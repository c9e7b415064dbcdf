"""Pictures of the dashboards, drawn from what Prometheus answers to their queries."""
