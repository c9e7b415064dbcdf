"""Tests of the world of incidents: its parts, without a Prometheus."""
