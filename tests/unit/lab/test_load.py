"""The load: when requests are due, what their answers are taken for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from lab.load import Arrival, EventReader, Lengths, Load, Outcome, percentile, poisson

LENGTHS = Lengths(prompt=(96, 160), output=(16, 64))
TOKEN = b'data: {"choices":[{"index":0,"text":" tok"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7}}\n\n'
ERROR = b'data: {"error":{"message":"no"}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 2.0), (75, 3.0), (76, 4.0), (99, 4.0), (100, 4.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    """A percentile is the smallest value that so many percent do not exceed, in any order."""
    assert percentile([4.0, 2.0, 1.0, 3.0], percent) == expected


def test_nothing_measured_has_no_percentile() -> None:
    """Without values there is no percentile, rather than a zero that looks like a good one."""
    assert percentile([], 99) is None


def test_a_seed_decides_the_arrivals() -> None:
    """The same seed gives the same arrivals, another seed others."""
    first = poisson(10, 20, LENGTHS, seed=1)
    assert first == poisson(10, 20, LENGTHS, seed=1)
    assert first != poisson(10, 20, LENGTHS, seed=2)


def test_arrivals_have_the_rate_and_lengths_asked_for() -> None:
    """Arrivals come in order, within the time, at the rate, with lengths within their bounds."""
    arrivals = poisson(50, 200, LENGTHS, seed=3)
    times_s = [arrival.at_s for arrival in arrivals]
    assert times_s == sorted(times_s)
    assert times_s[0] > 0
    assert times_s[-1] < 200
    # Four standard deviations of a Poisson count of 10,000.
    assert len(arrivals) == pytest.approx(10_000, abs=400)
    assert {arrival.output_tokens for arrival in arrivals} == set(range(16, 65))
    assert {arrival.prompt_tokens for arrival in arrivals} == set(range(96, 161))


def test_an_event_that_comes_in_parts_counts_once() -> None:
    """However the bytes are cut, each token counts once, at the time of its last byte."""
    answer = TOKEN + TOKEN + DONE
    for cut in range(len(answer)):
        events = EventReader()
        events.feed(answer[:cut], 1.0)
        events.feed(answer[cut:], 2.0)
        assert (events.tokens, events.ended, events.failed) == (2, True, False)
        assert events.times_s == [1.0 if cut >= len(TOKEN) * n else 2.0 for n in (1, 2)]


def test_the_usage_event_has_the_last_word() -> None:
    """Tokens are as many as the server says it made, where events hold several."""
    events = EventReader()
    events.feed(TOKEN + USAGE + DONE, 1.0)
    assert (events.tokens, len(events.times_s)) == (7, 1)


@pytest.mark.parametrize(
    ("status", "parts", "error"),
    [
        (200, [TOKEN, TOKEN, USAGE + DONE], None),
        (200, [TOKEN, ERROR + DONE], "error event"),
        (200, [TOKEN, TOKEN], "stream cut"),
        (200, [], "stream cut"),
        (503, [b"{}"], "HTTP 503"),
    ],
)
def test_only_a_whole_answer_is_a_success(
    status: int, parts: Sequence[bytes], error: str | None
) -> None:
    """Another status, an error event and a stream without its end are failures."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            status=status, headers={"X-Upstream-Addr": "10.0.0.1:1, 10.0.0.2:2"}
        )
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    (outcome,) = send(answer, [Arrival(0.0, 8, 2)])
    assert outcome.error == error
    assert outcome.backend == "10.0.0.2:2"
    if error is None:
        assert outcome.ttft_s is not None
        assert 0 < outcome.ttft_s <= outcome.e2e_s
        assert (outcome.tokens, len(outcome.gaps_s)) == (7, 1)


def test_a_connection_that_breaks_is_a_failure() -> None:
    """A server that hangs up in the middle makes the request fail, not the load."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(TOKEN)
        assert request.transport is not None
        request.transport.abort()
        return response

    (outcome,) = send(hang_up, [Arrival(0.0, 8, 2)])
    assert outcome.error is not None


def test_requests_go_out_on_time_however_slow_the_answers_are() -> None:
    """The load is open: the last request is sent while none was answered yet."""
    arrivals = [Arrival(0.01 * n, 8, 2) for n in range(5)]
    seen = 0
    all_there = asyncio.Event()

    async def wait_for_all(_: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        if seen == len(arrivals):
            all_there.set()
        await all_there.wait()
        return web.Response(body=TOKEN + DONE)

    outcomes = send(wait_for_all, arrivals)
    assert [outcome.error for outcome in outcomes] == [None] * 5


def test_a_cut_load_counts_what_was_open_as_failed() -> None:
    """Requests that are open when the load is cancelled have outcomes, which are failures."""
    arrived = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> list[Outcome]:
        async with server_of(never) as server:
            load = Load(url_of(server), [Arrival(0.0, 8, 2), Arrival(60.0, 8, 2)], model="m")
            run = asyncio.create_task(load.run())
            await arrived.wait()
            run.cancel()
            await asyncio.wait([run])
            return load.outcomes

    assert [outcome.error for outcome in asyncio.run(scenario())] == ["cut by the client"]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def server_of(handler: Handler) -> TestServer:
    """A server that answers completions with this handler."""
    application = web.Application()
    application.router.add_post("/v1/completions", handler)
    return TestServer(application)


def url_of(server: BaseTestServer) -> str:
    """The server's base URL, without a slash at its end."""
    return str(server.make_url("")).rstrip("/")


def send(handler: Handler, arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Send the arrivals to a server with this handler; returns what became of them."""

    async def scenario() -> list[Outcome]:
        async with server_of(handler) as server:
            load = Load(url_of(server), arrivals, model="m")
            await load.run()
            return load.outcomes

    return asyncio.run(scenario())
