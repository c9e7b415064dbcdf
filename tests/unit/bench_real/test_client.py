"""The load, and what vLLM's client writes about it."""

import itertools
import json
from pathlib import Path

import pytest

from bench.real.client import ClientError, Load, argv, parse
from bench.real.figures import Request
from bench.real.install import Installed

# Written by `vllm bench serve --save-detailed` 0.32, cut to two requests and the first tokens of
# each; the third is as it writes one that was cut off.
RESULT = Path(__file__).with_name("client-result.json").read_text()
INSTALLED = Installed(Path("vllm"), Path("routers"), Path("model"))


def test_requests_are_told_in_the_order_in_which_they_were_sent() -> None:
    """Times count from the first one that was sent, wherever it stands in the file."""
    requests = parse(RESULT)
    assert [request.start_s for request in requests] == [0.0, 0.25, 0.753]
    assert requests[0] == Request(0.0, 0.0312, 4.2669, 176, (20.8, 20.2, 21.0))


def test_a_failure_is_told_by_the_last_line_of_its_traceback() -> None:
    """A request that failed bears what went wrong, and no tokens."""
    assert parse(RESULT)[1] == Request(0.25, 0.0, 0.0, 0, (), "ConnectionResetError: gone")


def test_an_answer_without_tokens_is_a_failure() -> None:
    """A refusal for which the client has no word is not taken for an answer in no time."""
    found = json.loads(RESULT)
    found["errors"][2] = ""
    assert parse(json.dumps(found))[1].error == "no token"


@pytest.mark.parametrize("text", ["", "{}", '{"start_times": 1}', "[1]"])
def test_another_file_is_refused(text: str) -> None:
    """A result without the details of every request is an error, not an empty run."""
    with pytest.raises(ClientError, match="not a detailed result"):
        parse(text)


def test_columns_of_different_lengths_are_refused() -> None:
    """No request is dropped silently."""
    found = json.loads(RESULT)
    found["ttfts"].pop()
    with pytest.raises(ClientError):
        parse(json.dumps(found))


def test_a_load_takes_as_long_as_its_rate_says() -> None:
    """Without a rate the time is not known."""
    assert Load(requests=90, rate=1.5, seed=1).seconds == 60
    assert Load(requests=90, rate=None, seed=1, at_once=64).seconds == 0


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (Load(requests=90, rate=1.5, seed=4), {"--request-rate": "1.5", "--seed": "4"}),
        (
            Load(requests=90, rate=None, seed=0, at_once=64),
            {"--request-rate": "inf", "--max-concurrency": "64"},
        ),
    ],
)
def test_the_client_is_told_the_load(load: Load, words: dict[str, str]) -> None:
    """An open loop has a rate, a closed one a number in flight."""
    line = [str(word) for word in argv(INSTALLED, "http://a", load, Path("/r/x.json"))]
    told = dict(itertools.pairwise(line))
    assert {name: told[name] for name in words} == words
    assert ("--max-concurrency" in line) == (load.at_once is not None)
