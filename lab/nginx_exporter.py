"""A real prometheus-nginx-exporter that reads the totals of an Nginx."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.exposition import Samples, page
from lab.processes import Child, answers, child, free_port


@dataclass(frozen=True, slots=True)
class RunningExporter:
    """An exporter that answers at `url`; each answer asks Nginx anew."""

    url: str
    process: Child

    def samples(self) -> Samples:
        """What Nginx says now."""
        return Samples.parse(page(self.url))


@contextlib.contextmanager
def nginx_exporter(directory: Path, stub_status: str) -> Iterator[RunningExporter]:
    """Run the exporter until the context ends.

    Args:
        directory: Made if absent; holds its log.
        stub_status: Address of the page, which has to be there when the exporter starts; or
            `unix:/path/to.sock:/stub_status`.

    Raises:
        NotReadyError: It did not start; the message ends with what it said.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [
        "prometheus-nginx-exporter",
        f"-nginx.scrape-uri={stub_status}",
        f"-web.listen-address=127.0.0.1:{port}",
    ]
    log = directory / "nginx-exporter.out"
    with child(argv, log, ready=lambda: answers(f"{url}/metrics")) as process:
        yield RunningExporter(url, process)
