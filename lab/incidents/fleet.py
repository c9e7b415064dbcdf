"""Who there is: two models on seven servers, and how much traffic they get."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lab.incidents.engine import Hardware
from lab.incidents.server import Place

# An 8-billion-parameter model on a middling GPU: some 3.5 requests per second with all slots taken.
VLLM = Hardware(0.030, 60, kv_tokens=36_000, sequences=64, prefill_rate=8000)
SGLANG = Hardware(0.035, 60, kv_tokens=30_000, sequences=40, prefill_rate=8000)

PLACES = (
    *(
        Place("llm", f"10.0.0.{last}:8000", f"10.0.0.{last}:8000", "llama", "vllm")
        for last in range(11, 15)
    ),
    # Names: what Nginx is told, and logs, is an address.
    *(
        Place("qwen", f"sglang-{number}:30000", f"10.0.1.{21 + number}:30000", "qwen", "sglang")
        for number in range(3)
    ),
)
ENGINES = MappingProxyType({"llm": "vllm", "qwen": "sglang"})
SHEDDING = frozenset({"llm"})
"""Pools that turn away what is too much; the other one queues."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients send to a pool.

    Attributes:
        rate: Requests per second on average.
        prompt: Median length of a prompt in tokens.
        output: Median length of an answer.
    """

    rate: float
    prompt: float
    output: float

    def rate_at(self, second: float, factor: float) -> float:
        """Requests per second at a time: it swings by an eighth in 40 minutes."""
        return factor * self.rate * (1 + 0.12 * math.sin(2 * math.pi * second / 2400))


TRAFFIC: Mapping[str, Traffic] = MappingProxyType(
    {"llm": Traffic(7.2, prompt=480, output=200), "qwen": Traffic(4.6, prompt=420, output=170)}
)
# Lengths vary by this factor either way, about (standard deviation of their logarithm).
LENGTHS_SCATTER = 0.6
CACHED = 0.3
"""Share of a prompt that the prefix cache holds, on average."""
