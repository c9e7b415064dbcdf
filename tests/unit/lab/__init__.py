"""Tests of the laboratory without servers."""
