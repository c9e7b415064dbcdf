"""Routers compared on scenarios in virtual time; docs/benchmarks.md says how."""

from bench.suite.cells import Cell, cells_of
from bench.suite.contenders import (
    CONTENDERS,
    HEADLINE,
    REFERENCE,
    Contender,
    Control,
    controlled,
)
from bench.suite.estimates import Estimate, Ratios, mean_of, ratios_of
from bench.suite.evaluating import Row, evaluate
from bench.suite.figures import FIGURES
from bench.suite.reading import load_all
from bench.suite.scenario import Scenario

__all__ = [
    "CONTENDERS",
    "FIGURES",
    "HEADLINE",
    "REFERENCE",
    "Cell",
    "Contender",
    "Control",
    "Estimate",
    "Ratios",
    "Row",
    "Scenario",
    "cells_of",
    "controlled",
    "evaluate",
    "load_all",
    "mean_of",
    "ratios_of",
]
