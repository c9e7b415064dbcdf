"""Tests of bench.research."""
