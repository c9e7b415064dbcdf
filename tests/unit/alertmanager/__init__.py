"""Tests of deploy/alertmanager."""
