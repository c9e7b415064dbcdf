"""A request is sent as configured, with the secrets of that moment, and nothing else."""

from pathlib import Path

import pytest

from controller.adapters.prometheus import Endpoint, PrometheusClient
from controller.core.errors import SourceError, SourceFault
from tests.integration.prometheus_faults import Asked, Told, always, serving, success

pytestmark = pytest.mark.integration


def refusal(endpoint: Endpoint) -> SourceError:
    """The error of a query that must fail."""
    client = PrometheusClient(endpoint)
    with pytest.raises(SourceError) as caught:
        client.query("up")
    client.close()
    return caught.value


def test_rotated_token(tmp_path: Path) -> None:
    """A token is read anew at each request, so that a new file counts from the next one on."""
    token = tmp_path / "token"
    told = success(data={"resultType": "vector", "result": []})

    def answer(asked: Asked) -> Told:
        right = asked.headers.get("Authorization") == "Bearer second"
        return told if right else Told(401, "no", "text/plain")

    with serving(answer) as server:
        client = PrometheusClient(Endpoint(url=server.url, token=token.read_text))
        with pytest.raises(SourceError, match=r"cannot be read: .*No such file"):
            client.query("up")
        token.write_text("first\n")
        with pytest.raises(SourceError, match="401"):
            client.query("up")
        token.write_text("second\n")
        assert client.query("up").series == []
        client.close()


def test_token_that_no_header_may_hold() -> None:
    """A broken token is refused before it is sent, and is not shown."""
    with always(success()) as server:
        error = refusal(Endpoint(url=server.url, token=lambda: "se\ncret"))
        assert error.fault is SourceFault.UNAUTHORISED
        assert "cret" not in str(error)
        assert server.asked == []


def test_request_as_it_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The query is in the body, headers are added, and the environment changes nothing."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with always(success()) as server:
        endpoint = Endpoint(
            url=server.url + "/prefix/", token=lambda: "t", headers={"X-Scope-OrgID": "team"}
        )
        client = PrometheusClient(endpoint)
        promql = "up or " * 20_000 + "up"
        client.query(promql)
        client.query("up")
        client.close()
    first = server.asked[0]
    assert (first.method, first.path) == ("POST", "/prefix/api/v1/query")
    assert first.body.startswith("query=up+or+up")
    assert first.headers["Authorization"] == "Bearer t"
    assert first.headers["X-Scope-OrgID"] == "team"
    assert [asked.port for asked in server.asked] == [first.port] * 2, "one connection for both"


def test_proxy_from_the_environment_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used only where the configuration says so."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    with always(success()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        url = "http://prometheus.invalid:9090"
        client = PrometheusClient(Endpoint(url=url, proxies_from_environment=True))
        assert client.query("up").series == []
        client.close()
        assert proxy.asked[0].path == f"{url}/api/v1/query"
        assert refusal(Endpoint(url=url)).fault is SourceFault.REFUSED
