"""A requests session that answers in bounded time and fails with one type of error.

prometheus_api_client asks through it. What the library leaves open is closed here: the query goes
into the form body (the library puts it into the address even for POST, and addresses have limits),
the total time is bounded, the JSON is parsed once, and `warnings` are kept.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import requests
import urllib3.exceptions
from requests.utils import get_environ_proxies

from controller.adapters.prometheus.endpoint import Endpoint
from controller.adapters.prometheus.failures import (
    failure_of,
    failure_of_status,
    payload_of,
    timed_out,
)
from controller.core.errors import SourceError, SourceFault

_PIECE_BYTES = 1 << 16
# Each of these waits for a name server or for headers that never end; more would only pile up.
_MOST_HANGING = 8


class _Raw(NamedTuple):
    """An HTTP answer with its whole body."""

    status: int
    location: str | None
    body: bytes


class ParsedAnswer(requests.Response):
    """A successful answer whose JSON is parsed already: the library calls `json()` again."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__()
        self.status_code = requests.codes.ok
        self.payload = payload

    def json(self, **_: object) -> dict[str, Any]:
        """The payload, parsed when it arrived."""
        return self.payload


class PrometheusSession(requests.Session):
    """Asks one Prometheus; raises SourceError and nothing else.

    Attributes:
        requests_made: HTTP requests sent so far.
        warnings: What Prometheus said beside its last successful answer.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._hanging: list[threading.Thread] = []
        self.requests_made = 0
        self.warnings: tuple[str, ...] = ()
        # Otherwise ~/.netrc would replace our credentials and REQUESTS_CA_BUNDLE our trust.
        self.trust_env = False
        if endpoint.proxies_from_environment:
            self.proxies = get_environ_proxies(endpoint.url)
        self.headers.update(endpoint.headers)
        # Within a cluster the bytes cost less than packing and unpacking them.
        self.headers["Accept-Encoding"] = "identity"
        self.verify = str(endpoint.ca_file) if endpoint.ca_file else True
        if endpoint.client_cert is not None:
            cert, key = endpoint.client_cert, endpoint.client_key
            self.cert = (str(cert), str(key)) if key else str(cert)

    def request(
        self,
        method: str | bytes,
        url: str | bytes,
        params: object = None,
        *_args: object,
        **_kwargs: object,
    ) -> requests.Response:
        """Send one request and return its parsed answer within the endpoint's time.

        Time, trust and credentials are the endpoint's; what the library passes for them is not
        used.

        Raises:
            SourceError: There is no answer of the Prometheus API; its fault says why.
        """
        endpoint = self._endpoint
        self.warnings = ()
        form = dict(params) if isinstance(params, Mapping) else {}
        raw = self._exchange(str(method), str(url), form, endpoint.authorisation())
        if raw.status != requests.codes.ok:
            raise failure_of_status(raw.status, raw.body, raw.location, endpoint.place())
        payload = payload_of(raw.body, endpoint.place())
        said = payload.get("warnings")
        self.warnings = tuple(str(text) for text in said) if isinstance(said, list) else ()
        return ParsedAnswer(payload)

    def _exchange(
        self, method: str, url: str, form: dict[str, Any], headers: dict[str, str]
    ) -> _Raw:
        """Send in a thread that is left behind when the time is over.

        No timeout of a Python client covers name resolution, several addresses of one name, the
        TLS handshake and headers that drip: only giving up from outside bounds them all.
        """
        endpoint = self._endpoint
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MOST_HANGING:
            raise SourceError(
                SourceFault.TIMED_OUT,
                f"{len(self._hanging)} earlier requests to {endpoint.place()} still hang",
            )
        answer: Future[_Raw] = Future()
        deadline_s = time.monotonic() + endpoint.timeout_s

        def ask() -> None:
            try:
                answer.set_result(self._ask(method, url, form, headers, deadline_s))
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                answer.set_exception(error)

        self.requests_made += 1
        thread = threading.Thread(target=ask, name="prometheus-request", daemon=True)
        thread.start()
        try:
            return answer.result(endpoint.timeout_s)
        except Exception as error:
            if not answer.done():
                self._hanging.append(thread)
            failure = failure_of(error, endpoint.place(), endpoint.timeout_s)
            if failure is None:
                raise
            raise failure from error

    def _ask(
        self,
        method: str,
        url: str,
        form: dict[str, Any],
        headers: dict[str, str],
        deadline_s: float,
    ) -> _Raw:
        is_post = method.upper() == "POST"
        timeout_s = self._endpoint.timeout_s
        response = super().request(
            method,
            url,
            data=form if is_post else None,
            params=None if is_post else form,
            headers=headers,
            timeout=(timeout_s, timeout_s),
            stream=True,
            # A redirect turns POST into GET and may carry credentials elsewhere.
            allow_redirects=False,
        )
        body = bytearray()
        with response:
            try:
                for piece in self._pieces(response, deadline_s):
                    body += piece
            except urllib3.exceptions.ProtocolError:
                # A status of failure holds without the rest of its text. A TLS port that is
                # addressed without TLS says what is wrong, and resets the connection behind it.
                if response.status_code == requests.codes.ok:
                    raise
        return _Raw(response.status_code, response.headers.get("Location"), bytes(body))

    def _pieces(self, response: requests.Response, deadline_s: float) -> Iterator[bytes]:
        """The body piece by piece as it arrives, against the deadline and the size limit."""
        size = 0
        # read1 returns what one receive brings; read would wait on a dripping body for all of it.
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            size += len(piece)
            if time.monotonic() > deadline_s:
                raise timed_out(self._endpoint.place(), self._endpoint.timeout_s)
            if size > self._endpoint.max_answer_bytes:
                raise SourceError(
                    SourceFault.NOT_PROMETHEUS,
                    f"{self._endpoint.place()} answered more than"
                    f" {self._endpoint.max_answer_bytes} bytes",
                )
            yield piece
