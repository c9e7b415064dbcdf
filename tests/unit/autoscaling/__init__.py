"""Tests of what scales pools: manifests, their queries, and the numbers in the docs."""
