"""Which bodies are completions, and how long they are."""

from __future__ import annotations

import pytest

from simulator.openai_protocol import ApiError, CompletionCall, parse_call


def parse(body: object, *, chat: bool = False) -> CompletionCall:
    """Parse a body for a model "tiny" with a context of 100 tokens."""
    return parse_call(body, chat=chat, model="tiny", max_model_len=100)


USER = {"role": "user", "content": "12345678"}


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ([5, 6, 7], 3),
        (["abcdefgh"], 2),
        ([[1, 2, 3, 4]], 4),
    ],
)
def test_prompt_length(prompt: object, tokens: int) -> None:
    """Token ids count exactly, texts one token per four characters."""
    assert parse({"prompt": prompt}).prompt_tokens == tokens


@pytest.mark.parametrize(
    ("messages", "tokens"),
    [
        ([USER], 2),
        ([USER, {"role": "assistant", "content": None}, USER], 4),
        ([{"role": "user", "content": [{"type": "text", "text": "1234"}]}], 1),
        ([{"role": "user", "content": ""}], 1),
    ],
)
def test_chat_length(messages: object, tokens: int) -> None:
    """A conversation counts by the text of all its messages, and has at least one token."""
    assert parse({"messages": messages, "max_tokens": 5}, chat=True).prompt_tokens == tokens


def test_defaults() -> None:
    """Without options a completion has 16 tokens, no stream and no usage event."""
    assert parse({"prompt": "a"}) == CompletionCall(
        chat=False, prompt_tokens=1, max_tokens=16, stream=False, include_usage=False
    )


def test_answer_length_has_two_names_in_a_chat() -> None:
    """A chat takes max_completion_tokens too, which goes before max_tokens."""
    body = {"messages": [USER], "max_tokens": 5}
    assert parse(body, chat=True).max_tokens == 5
    assert parse({**body, "max_completion_tokens": 7}, chat=True).max_tokens == 7


def test_usual_options_are_accepted() -> None:
    """Options of real clients that change nothing here are no error."""
    call = parse(
        {
            "model": "tiny",
            "prompt": "a",
            "n": 1,
            "max_tokens": 9,
            "min_tokens": 9,
            "ignore_eos": True,
            "temperature": 0.7,
            "seed": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    assert (call.max_tokens, call.stream, call.include_usage) == (9, True, True)


BAD = [
    ({"prompt": "a", "model": "other"}, 404, "model"),
    ({"prompt": "a", "model": 7}, 400, "model"),
    ({}, 400, "prompt"),
    ({"prompt": ""}, 400, "prompt"),
    ({"prompt": []}, 400, "prompt"),
    ({"prompt": ["a", "b"]}, 400, "prompt"),
    ({"prompt": [1, "b"]}, 400, "prompt"),
    ({"prompt": [True]}, 400, "prompt"),
    ({"prompt": 5}, 400, "prompt"),
    ({"prompt": "a", "n": 2}, 400, "n"),
    ({"prompt": "a", "n": "1"}, 400, "n"),
    ({"prompt": "a", "max_tokens": 0}, 400, "max_tokens"),
    ({"prompt": "a", "max_tokens": -5}, 400, "max_tokens"),
    ({"prompt": "a", "max_tokens": 1.5}, 400, "max_tokens"),
    ({"prompt": "a", "max_tokens": True}, 400, "max_tokens"),
    ({"prompt": "a", "max_tokens": 100}, 400, "max_tokens"),
    ({"prompt": "a", "max_tokens": 5, "min_tokens": 6}, 400, "min_tokens"),
    ({"prompt": "a", "stream": "yes"}, 400, "stream"),
    ({"prompt": "a", "ignore_eos": 1}, 400, "ignore_eos"),
    ({"prompt": "a", "stream_options": {"include_usage": True}}, 400, "stream_options"),
    ({"prompt": "a", "stream": True, "stream_options": []}, 400, "stream_options"),
    ({"prompt": "a", "stream": True, "stream_options": {"include_usage": 1}}, 400, "include_usage"),
]


@pytest.mark.parametrize(("body", "status", "param"), BAD)
def test_bad_completion(body: object, status: int, param: str) -> None:
    """A completion that cannot be followed is refused by the name of what is wrong."""
    with pytest.raises(ApiError) as caught:
        parse(body)
    error = caught.value.body["error"]
    assert (caught.value.status, error["code"], error["param"]) == (status, status, param)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "hi",
        ["hi"],
        [{"content": "hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
    ],
)
def test_bad_chat(messages: object) -> None:
    """A conversation without a list of messages with roles and text is refused."""
    with pytest.raises(ApiError, match="messages"):
        parse({"messages": messages}, chat=True)


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_body_is_an_object(body: object) -> None:
    """A body that is not a JSON object is refused."""
    with pytest.raises(ApiError, match="JSON object"):
        parse(body)
