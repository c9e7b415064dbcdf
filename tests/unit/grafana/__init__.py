"""Lints of the dashboards, each with a case in which it trips."""
