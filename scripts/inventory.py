"""Every metric that a rule or a panel may use: read from, and written to, rules/inventory.

`python -m scripts.inventory` writes vllm.yml anew from the captures of real vLLM servers;
`python -m scripts.inventory --servers` writes those of Prometheus, Alertmanager and the exporter
of Nginx anew, from the ones that are installed here. The other files are written by hand.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from scripts.check_docs import ROOT

DIRECTORY = ROOT / "rules" / "inventory"
CAPTURES = ROOT / "tests" / "fixtures" / "captures"

# What Prometheus gives every series that it scrapes.
TARGET_LABELS = frozenset({"job", "instance"})
# In the place of a label: any label may be there.
ANY = "*"

_HEAD = "# Made by `python -m scripts.inventory{}` from {}; not to be edited.\n"
# The parts of histograms and summaries that are series of their own.
_PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that some server publishes.

    Attributes:
        name: Its name; of a histogram or summary the name without `_bucket`, `_sum` and `_count`.
        type: counter, gauge, histogram, summary or unknown.
        labels: Its own labels, without those of the target and without `le` and `quantile`.
        le: Upper bounds of a histogram, as the server writes them.
        source: The file of the inventory that has it.
    """

    name: str
    type: str
    labels: frozenset[str]
    le: tuple[str, ...] = ()
    source: str = ""

    def series(self) -> dict[str, frozenset[str]]:
        """Its series as Prometheus stores them: by name, the labels that they may have.

        A label that the target has too is stored as `exported_...`, unless told otherwise.
        """
        clashes = self.labels & TARGET_LABELS
        own = self.labels | TARGET_LABELS | {f"exported_{label}" for label in clashes}
        extra = {"_bucket": {"le"}, "": {"quantile"} if self.type == "summary" else set[str]()}
        return {
            self.name + part: own | extra.get(part, set()) for part in _PARTS.get(self.type, ("",))
        }

    @property
    def counters(self) -> frozenset[str]:
        """Those of its series that only grow, whatever they are called."""
        if self.type in _PARTS:
            return frozenset(self.series()) - {self.name}
        return frozenset({self.name} if self.type == "counter" else ())


@dataclass(slots=True)
class _Found:
    """What samples have shown of a metric so far."""

    type: str
    labels: set[str] = field(default_factory=set)
    le: set[str] = field(default_factory=set)


def inventory(directory: Path = DIRECTORY) -> dict[str, Metric]:
    """All metrics of all files, by name."""
    files = sorted(directory.glob("*.yml"))
    return {name: metric for path in files for name, metric in inventory_of(path).items()}


def inventory_of(path: Path) -> dict[str, Metric]:
    """The metrics of one file, by name."""
    return {
        name: Metric(
            name,
            entry["type"],
            frozenset(entry.get("labels", ())),
            tuple(entry.get("le", ())),
            path.stem,
        )
        for name, entry in yaml.safe_load(path.read_text()).items()
    }


def published(pages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The metrics of pages in the text format, as the inventory writes them."""
    found: dict[str, _Found] = {}
    for page in pages:
        for name, kind, labels in _samples(page):
            metric = found.setdefault(name, _Found(kind))
            metric.labels |= labels.keys() - {"le", "quantile"}
            if kind == "histogram" and "le" in labels:
                metric.le.add(labels["le"])
    return {name: _entry(metric) for name, metric in sorted(found.items())}


def text(metrics: Mapping[str, Mapping[str, Any]], source: str, option: str = "") -> str:
    """The file of the inventory for these metrics."""
    body = yaml.safe_dump(dict(metrics), sort_keys=False, default_flow_style=None, width=98)
    return _HEAD.format(option, source) + body


def vllm() -> str:
    """The file that the captures make."""
    pages = [path.read_text() for path in sorted(CAPTURES.glob("*.prom"))]
    return text(published(pages), "tests/fixtures/captures")


def _samples(page: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    typed = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            # The time a counter was made is no metric that a rule should read; newer servers
            # publish none.
            if not sample.name.endswith("_created"):
                # The parser gives counters that lack it the ending `_total`; in this format the
                # TYPE line has the name as it stands.
                name = sample.name if sample.name in typed else sample.name.removesuffix("_total")
                whole = family.type in _PARTS
                yield family.name if whole else name, family.type, sample.labels


def _entry(metric: _Found) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": metric.type, "labels": sorted(metric.labels)}
    if metric.le:
        entry["le"] = sorted(metric.le, key=float)
    return entry


def main() -> None:
    """Write what was asked for."""
    if sys.argv[1:] == ["--servers"]:
        # Imported here: rules are checked where none of these servers is installed, too.
        from scripts.inventory_servers import write  # noqa: PLC0415 - see above

        write(DIRECTORY)
    else:
        (DIRECTORY / "vllm.yml").write_text(vllm())


if __name__ == "__main__":
    main()
