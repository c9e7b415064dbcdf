"""Instant queries through prometheus_api_client, with one type of error."""

import time
from dataclasses import dataclass
from typing import Any

from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from controller.adapters.prometheus.endpoint import Endpoint
from controller.adapters.prometheus.session import PrometheusSession
from controller.core.errors import SourceError, SourceFault


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus answered to one query.

    Attributes:
        series: The result as the HTTP API gives it, one mapping per series.
        warnings: Said beside the result: it may be partial.
        seconds: From the request to the parsed answer.
    """

    series: list[dict[str, Any]]
    warnings: tuple[str, ...]
    seconds: float


class PrometheusClient:
    """Asks one Prometheus; not for use by several threads at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._session = PrometheusSession(endpoint)
        self._url = endpoint.url.rstrip("/")
        # Prometheus is told the time too, so that it does not finish what nobody waits for.
        self._parameters = {"timeout": f"{max(1, round(endpoint.timeout_s * 1000))}ms"}
        self._connection = PrometheusConnect(
            url=self._url,
            session=self._session,
            method="POST",
            # The next tick is the retry: the library's own would make a tick last four times over.
            retry=Retry(total=0),
            timeout=endpoint.timeout_s,
        )

    @property
    def requests_made(self) -> int:
        """HTTP requests sent so far."""
        return self._session.requests_made

    def query(self, promql: str) -> Answer:
        """Evaluate an instant query.

        Raises:
            SourceError: Prometheus could not be asked, or what answered is not Prometheus.
        """
        started_s = time.perf_counter()
        try:
            series = self._connection.custom_query(promql, params=self._parameters)
        except KeyError as error:
            raise SourceError(
                SourceFault.NOT_PROMETHEUS, "the answer to a query holds no result"
            ) from error
        if not isinstance(series, list):
            raise SourceError(
                SourceFault.NOT_PROMETHEUS, "the answer to a query holds no list of series"
            )
        return Answer(series, self._session.warnings, time.perf_counter() - started_s)

    def version(self) -> str:
        """The version that the server says of itself; empty when it does not say.

        Raises:
            SourceError: As for `query`; some servers of the API have no such page.
        """
        answer = self._session.request("GET", f"{self._url}/api/v1/status/buildinfo")
        return str(answer.json()["data"].get("version", ""))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
