"""Tests of the fleet in virtual time."""
