"""What an exporter shows on its page of metrics."""

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one page of metrics."""

    all: tuple[Sample, ...]

    @classmethod
    def parse(cls, page: str) -> "Samples":
        """Read a page in Prometheus' text format.

        Without the types, since the parser appends `_total` to a counter that has another name.
        """
        untyped = "".join(f"{line}\n" for line in page.split("\n") if not line.startswith("#"))
        families = text_string_to_metric_families(untyped)
        return cls(tuple(sample for family in families for sample in family.samples))

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels; 0 where there is none."""
        wanted = labels.items()
        return sum(s.value for s in self.all if s.name == name and wanted <= s.labels.items())

    def counted(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """What was counted under this name, by the values of these labels, without zeros."""
        keys = {tuple(s.labels[label] for label in labels) for s in self.all if s.name == name}
        sums = {
            key: self.value(name, **dict(zip(labels, key, strict=True))) for key in sorted(keys)
        }
        return {key: value for key, value in sums.items() if value}


def page(url: str) -> str:
    """The metrics of an exporter, as text."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - made here
        return str(answer.read().decode())
