"""Tests of the pages: what they show is run or parsed, and what they name is there."""
