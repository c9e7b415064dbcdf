"""A real Prometheus behind TLS and passwords is reached, and secrets follow their files."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.adapters.prometheus import BasicAuth, Endpoint, PrometheusClient
from controller.core.errors import SourceError, SourceFault
from lab.processes import accepts, child, free_port
from tests.integration.prometheus_faults import serving, success

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for certificates"),
]

# The hash that Prometheus' own documentation shows for the password "test".
BCRYPT_OF_TEST = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"


def openssl(directory: Path, *arguments: str) -> None:
    """Run openssl in a directory."""
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of our own with a certificate for a server and one for a client."""
    directory = tmp_path_factory.mktemp("certificates")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    openssl(directory, *new, "/CN=ca", "-x509", "-days", "1", "-keyout", "ca.key", "-out", "ca.pem")
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(directory, *new, f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1")
        output = ("-extfile", "san", "-out", f"{name}.pem")
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", *signing, *output)
    return directory


@pytest.fixture(scope="module")
def guarded(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that demands TLS, a client certificate and a password."""
    directory = tmp_path_factory.mktemp("guarded")
    web = {
        "tls_server_config": {
            "cert_file": str(certificates / "server.pem"),
            "key_file": str(certificates / "server.key"),
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": str(certificates / "ca.pem"),
        },
        "basic_auth_users": {"lb": BCRYPT_OF_TEST},
    }
    (directory / "web.yml").write_text(yaml.safe_dump(web))
    (directory / "prometheus.yml").write_text("{}")
    port = free_port()
    argv = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--web.config.file={directory / 'web.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    url = f"https://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return accepts(port) and bool(ask(entitled(url, certificates)))
        except SourceError:
            return False

    with child(argv, directory / "prometheus.log", ready=ready):
        yield url


def entitled(url: str, certificates: Path) -> Endpoint:
    """The endpoint with all that the guarded Prometheus demands."""
    return Endpoint(
        url=url,
        timeout_s=10,
        basic=BasicAuth(username="lb", password=lambda: "test"),
        ca_file=certificates / "ca.pem",
        client_cert=certificates / "client.pem",
        client_key=certificates / "client.key",
    )


def ask(endpoint: Endpoint) -> str:
    """The value of `vector(7)`."""
    client = PrometheusClient(endpoint)
    try:
        (series,) = client.query("vector(7)").series
        return str(series["value"][1])
    finally:
        client.close()


def refusal(endpoint: Endpoint) -> SourceError:
    """The error of a query that must fail."""
    with pytest.raises(SourceError) as caught:
        ask(endpoint)
    return caught.value


def test_certificate_and_password(guarded: str, certificates: Path) -> None:
    """With its authority, a client certificate and the password a real Prometheus answers."""
    assert ask(entitled(guarded, certificates)) == "7"


def test_wrong_password(guarded: str, certificates: Path) -> None:
    """A wrong password is an authorisation fault, and does not appear in the message."""
    right = entitled(guarded, certificates)
    error = refusal(
        Endpoint(
            url=guarded,
            timeout_s=10,
            basic=BasicAuth(username="lb", password=lambda: "hunter2"),
            ca_file=right.ca_file,
            client_cert=right.client_cert,
            client_key=right.client_key,
        )
    )
    assert error.fault is SourceFault.UNAUTHORISED
    assert "hunter2" not in str(error)


def test_untrusted_server(guarded: str) -> None:
    """A server of an unknown authority is refused, with the reason of the TLS library."""
    error = refusal(Endpoint(url=guarded, timeout_s=10))
    assert error.fault is SourceFault.REFUSED
    assert "certificate" in str(error)


def test_missing_client_certificate(guarded: str, certificates: Path) -> None:
    """Without the certificate that the server demands there is no connection."""
    error = refusal(Endpoint(url=guarded, timeout_s=10, ca_file=certificates / "ca.pem"))
    assert error.fault is SourceFault.REFUSED


def test_missing_authority_file(guarded: str, tmp_path: Path) -> None:
    """A file of authorities that is not there is named, not raised."""
    error = refusal(Endpoint(url=guarded, timeout_s=10, ca_file=tmp_path / "none.pem"))
    assert error.fault is SourceFault.REFUSED
    assert "none.pem" in str(error)


def test_plain_http_to_a_tls_port(guarded: str) -> None:
    """A TLS port addressed without TLS is not taken for a bad query."""
    error = refusal(Endpoint(url=guarded.replace("https", "http"), timeout_s=10))
    assert error.fault is SourceFault.NOT_PROMETHEUS
    assert "HTTPS" in str(error)


def test_key_within_the_certificate_file(certificates: Path) -> None:
    """Certificate and key may stand in one file."""
    both = certificates / "both.pem"
    both.write_text((certificates / "client.pem").read_text() + _key(certificates, "client"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    told = success(data={"resultType": "vector", "result": [{"metric": {}, "value": [0, "7"]}]})
    with serving(lambda _: told, context) as server:
        endpoint = Endpoint(url=server.url, ca_file=certificates / "ca.pem", client_cert=both)
        assert ask(endpoint) == "7"


def _key(certificates: Path, name: str) -> str:
    return (certificates / f"{name}.key").read_text()
