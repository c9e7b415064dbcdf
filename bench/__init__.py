"""Benchmarks: every performance claim has its command here."""
