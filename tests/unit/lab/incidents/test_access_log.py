"""What the world says mtail publishes is what its program has mtail publish."""

import re
from pathlib import Path

from lab.incidents.access_log import AccessLog

PROGRAM = Path(__file__).resolve().parents[4] / "deploy" / "mtail" / "nginx_lb.mtail"


def busy() -> dict[str, float]:
    """Series of a log with a bit of everything."""
    log = AccessLog()
    log.shed("llm")
    tries = [("10.0.0.1:8000", "502"), ("10.0.0.2:8000", "200")]
    log.line("llm", code=200, tries=tries, header_s=0.2, total_s=3.0, whole=False)
    return dict(log.tally.samples())


def test_all_series_are_the_programs() -> None:
    """Names are those of the program, labels too."""
    known = {
        name: set(re.findall(r"\w+", labels))
        for name, labels in re.findall(
            r"^(?:counter|histogram) (\w+)(?: by ([\w, ]+?))?(?: buckets .*)?$",
            PROGRAM.read_text(),
            re.MULTILINE,
        )
    }
    for series in busy():
        name = re.sub(r"_(bucket|sum|count)$", "", series.partition("{")[0])
        labels = set(re.findall(r'(\w+)="', series)) - {"le"}
        assert labels == known[name], series


def test_buckets_are_the_programs() -> None:
    """Each histogram has the bounds of the program, written as Go writes them."""
    for name, bounds in re.findall(
        r"^histogram (\w+) .*buckets (.+)$", PROGRAM.read_text(), re.MULTILINE
    ):
        found = [
            re.search(r'le="([^"]+)"', series)
            for series in busy()
            if series.startswith(f"{name}_bucket")
        ]
        told = [one[1] for one in found if one]
        # The first bound is the lower edge of the first bucket; mtail does not publish it.
        assert told == [*bounds.split(", ")[1:], "+Inf"], name


def test_a_retry_counts_each_try_once() -> None:
    """One request of two tries is one request, two answers and one retry."""
    series = busy()
    assert series['nginx_lb_requests_total{code="200",pool="llm"}'] == 1
    assert series['nginx_lb_retries_total{pool="llm"}'] == 1
    answers = [v for k, v in series.items() if k.startswith("nginx_lb_upstream_responses_total")]
    assert answers == [1, 1]
