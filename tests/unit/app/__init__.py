"""Tests of the configuration and of what the controller tells of itself."""
