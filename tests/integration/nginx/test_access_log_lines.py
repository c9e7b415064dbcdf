"""What mtail makes of single lines of the access log, odd ones included."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from lab.exposition import Samples
from lab.mtail import PROGRAM, one_shot

pytestmark = pytest.mark.integration
A, B, C = "10.0.0.1:8000", "10.0.0.2:8000", "[2001:db8::1]:8000"


def line(**fields: object) -> str:
    """One line as Nginx writes it: a request to the pool `llm`, answered by A, but for `fields`."""
    written = {
        "time": "2026-01-01T00:00:00+00:00",
        "uri": "/v1/completions",
        "status": 200,
        "request_time": 1.5,
        "completion": "OK",
        "pool": "llm",
        "upstream_addr": A,
        "upstream_status": "200",
        "upstream_header_time": "0.200",
        "upstream_response_time": "1.400",
        "shed": False,
        "user_agent": "",
        **fields,
    }
    text = json.dumps(written, separators=(",", ":"), ensure_ascii=False)
    return re.sub(r'("request_time":[0-9.]+)', lambda found: f"{found[1]}00", text)


def read(tmp_path: Path, *lines: str | bytes) -> Samples:
    """What is counted of these lines."""
    log = tmp_path / "access.log"
    log.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
    return one_shot(log)


def tries(samples: Samples) -> dict[tuple[str, ...], float]:
    """How often each server answered what, whatever the pool."""
    return samples.counted("nginx_lb_upstream_responses_total", "upstream", "code")


def test_the_program_compiles() -> None:
    """It is a program that mtail has nothing against."""
    argv: list[str | Path] = ["mtail", "--compile_only", "--logtostderr", "--progs", PROGRAM]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [text for text in done.stderr.splitlines() if text.startswith(("E", "W"))]


@pytest.mark.parametrize(
    ("addresses", "statuses", "expected", "retries"),
    [
        (A, "200", {(A, "200"): 1}, 0),
        (f"{A}, {B}", "500, 200", {(A, "500"): 1, (B, "200"): 1}, 1),
        (f"{A}, {A}, {B}", "502, 504, 200", {(A, "502"): 1, (A, "504"): 1, (B, "200"): 1}, 2),
        (f"{A}, {B} : {C}", "500, 503, 200", {(A, "500"): 1, (B, "503"): 1, (C, "200"): 1}, 2),
        (f"{A} : {B}, {C}", "500 : 502, 200", {(A, "500"): 1, (B, "502"): 1, (C, "200"): 1}, 2),
        (f"llm : {B}", "502 : 200", {(B, "200"): 1}, 0),
        (A, "-", {(A, "none"): 1}, 0),
        ("unix:/run/llm.sock", "200", {("unix:/run/llm.sock", "200"): 1}, 0),
        (f"{C}, {A}", "429, -", {(C, "429"): 1, (A, "none"): 1}, 1),
        ("", "", {}, 0),
    ],
)
def test_each_try_counts_for_its_server(
    tmp_path: Path,
    addresses: str,
    statuses: str,
    expected: dict[tuple[str, str], int],
    retries: int,
) -> None:
    """A request is one request, however many servers it was sent to, and each try is one answer."""
    samples = read(tmp_path, line(upstream_addr=addresses, upstream_status=statuses))
    assert tries(samples) == expected
    assert samples.value("nginx_lb_retries_total", pool="llm") == retries
    assert samples.counted("nginx_lb_requests_total", "pool", "code") == {("llm", "200"): 1}


def test_more_tries_than_are_read(tmp_path: Path) -> None:
    """Eight tries are read; a request with more is counted as one of which some are missing."""
    samples = read(
        tmp_path,
        line(upstream_addr=", ".join([A] * 8), upstream_status=", ".join(["500"] * 8)),
        line(upstream_addr=", ".join([B] * 10), upstream_status=", ".join(["500"] * 10)),
    )
    assert tries(samples) == {(A, "500"): 8, (B, "500"): 8}
    assert samples.value("nginx_lb_tries_omitted_requests_total", pool="llm") == 1
    # The last server is found all the same.
    assert samples.value("nginx_lb_upstream_response_seconds_count", upstream=B) == 1


def test_the_times_are_those_of_the_last_try(tmp_path: Path) -> None:
    """Who answered in the end has the times; a time that is not known is no time."""
    samples = read(
        tmp_path,
        line(
            upstream_addr=f"{A}, {B}",
            upstream_status="502, 200",
            upstream_header_time="-, 2.500",
            upstream_response_time="0.100, 9.000",
        ),
        line(upstream_header_time="-", upstream_response_time="0.000"),
    )
    header, response = "nginx_lb_upstream_header_seconds", "nginx_lb_upstream_response_seconds"
    assert samples.counted(f"{header}_sum", "pool", "upstream") == {("llm", B): 2.5}
    # A bucket holds its own bound, as Prometheus has it.
    assert samples.value(f"{header}_bucket", upstream=B, le="2.5") == 1
    assert samples.value(f"{header}_bucket", upstream=B, le="2") == 0
    assert samples.counted(f"{response}_sum", "upstream") == {(B,): 9.0}
    # Nginx writes 0.000 for what took less than half a millisecond.
    assert samples.value(f"{response}_bucket", upstream=A, le="0.5") == 1
    for name in (header, response, "nginx_lb_request_seconds"):
        count = samples.value(f"{name}_count")
        assert samples.value(f"{name}_bucket", le="+Inf") == count > 0
        assert not [s for s in samples.all if s.labels.get("le", "").startswith("-")]


@pytest.mark.parametrize("pool", ["llm", ""])
@pytest.mark.parametrize("addresses", ["llm", f"{A}, llm"])
def test_shed_requests_belong_to_the_pool(tmp_path: Path, pool: str, addresses: str) -> None:
    """The name of the pool at the end of the addresses is no server, and names the pool."""
    statuses = "500, 502" if A in addresses else "502"
    shed = {"status": 503, "shed": True, "pool": pool}
    samples = read(tmp_path, line(upstream_addr=addresses, upstream_status=statuses, **shed))
    assert samples.counted("nginx_lb_shed_total", "pool") == {("llm",): 1}
    assert samples.counted("nginx_lb_requests_total", "pool", "code") == {("llm", "503"): 1}
    assert tries(samples) == ({(A, "500"): 1} if A in addresses else {})
    assert samples.value("nginx_lb_retries_total") == 0
    assert samples.counted("nginx_lb_upstream_response_seconds_count", "upstream") == {}


def test_requests_of_no_pool(tmp_path: Path) -> None:
    """What Nginx answers on its own belongs to the pool `none`."""
    own = {"pool": "", "upstream_addr": "", "upstream_status": ""}
    samples = read(tmp_path, line(status=404, **own), line(status=400, completion="", **own))
    counts = samples.counted("nginx_lb_requests_total", "pool", "code")
    assert counts == {("none", "404"): 1, ("none", "400"): 1}
    assert samples.counted("nginx_lb_broken_total", "pool") == {("none",): 1}


def test_a_client_forges_nothing(tmp_path: Path) -> None:
    """Text of a client is never taken for a key, and further keys do no harm."""
    forged = '","status":500,"pool":"x","upstream_addr":"6.6.6.6:6","shed":true,"x":"'
    samples = read(
        tmp_path,
        line(uri=forged, user_agent=forged),
        line(uri="/\\", user_agent='\\","status":599,', tenant=forged, more={"status": 1}),
    )
    assert samples.counted("nginx_lb_requests_total", "pool", "code") == {("llm", "200"): 2}
    assert tries(samples) == {(A, "200"): 2}


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """Junk, torn and foreign lines are one unparsed line each, and sound ones still count."""
    whole = line()
    junk: list[str | bytes] = [
        b"\x00\x01\x1b\x7f \xc3\xa9 \xf0\x9f\x98\x80 binary",
        "",
        '127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 2',
        whole[:150],
        whole[150:],
        # Each key is there, the record is not.
        whole[:-20],
        whole[10:],
        whole.replace('"status":200', '"status":"OK"'),
        whole.replace('"pool":"llm"', '"pool":"a b{}"'),
        "x" * 300_000,
    ]
    samples = read(tmp_path, whole, *junk, line(uri="/" + "é" * 100_000), f"{whole}\r")
    assert samples.value("nginx_lb_unparsed_total") == len(junk)
    assert samples.counted("nginx_lb_requests_total", "pool", "code") == {("llm", "200"): 3}


def test_errors_are_there_before_the_first(tmp_path: Path) -> None:
    """A counter born with its first error shows no increase, so errors start at zero."""
    samples = read(tmp_path, line())
    zeros = {
        (s.name.removeprefix("nginx_lb_"), s.labels.get("code"))
        for s in samples.all
        if s.value == 0
    }
    codes = {"500", "502", "503", "504"}
    assert zeros >= {("requests_total", code) for code in codes}
    assert zeros >= {("upstream_responses_total", code) for code in (*codes, "none")}
    assert zeros >= {(f"{name}_total", None) for name in ("shed", "broken", "retries", "unparsed")}
