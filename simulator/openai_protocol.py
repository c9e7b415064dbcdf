"""The part of the OpenAI protocol that vLLM and its clients share: bodies in, bodies out.

There is no tokenizer and no model. A prompt given as token ids counts exactly; a text counts one
token per four characters, the usual ratio of English. An answer always has `max_tokens` tokens,
as with `ignore_eos`, and each of them reads " tok".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T", str, int, bool)

WORD: Final = " tok"

_CHARACTERS_PER_TOKEN: Final = 4
# What OpenAI and vLLM use when a completion names no max_tokens.
_COMPLETION_TOKENS: Final = 16
# A chat without max_tokens runs until the model stops, which this one never does: a short answer.
_CHAT_TOKENS: Final = 128

_JSON_NAMES: Final = {str: "a string", int: "an integer", bool: "true or false"}


class ApiError(Exception):
    """An answer that is an error, with OpenAI's body for it."""

    def __init__(
        self, status: int, message: str, *, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {"message": message, "type": kind, "param": param, "code": status},
        }


@dataclass(frozen=True, slots=True)
class CompletionCall:
    """A completion or chat completion asked for, checked.

    Attributes:
        chat: whether it came to /v1/chat/completions.
        prompt_tokens: length of the prompt, known or estimated.
        max_tokens: length of the answer.
        stream: whether tokens are wanted as server-sent events.
        include_usage: whether the stream ends with a usage event.
    """

    chat: bool
    prompt_tokens: int
    max_tokens: int
    stream: bool
    include_usage: bool


def parse_call(body: object, *, chat: bool, model: str, max_model_len: int) -> CompletionCall:
    """Check the JSON body of a completion.

    Raises:
        ApiError: 404 for another model, 400 for anything else wrong with it.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be a JSON object")
    asked = _typed(body, "model", str, default=model)
    if asked != model:
        message = f"The model `{asked}` does not exist."
        raise ApiError(404, message, kind="NotFoundError", param="model")
    if _typed(body, "n", int, default=1) != 1:
        raise ApiError(400, "n: only 1 is simulated", param="n")
    prompt_tokens = _chat_tokens(body) if chat else _prompt_tokens(body)
    max_tokens = _max_tokens(body, chat=chat)
    if prompt_tokens + max_tokens > max_model_len:
        raise ApiError(
            400,
            f"This model's maximum context length is {max_model_len} tokens. However, you "
            f"requested {max_tokens} output tokens and your prompt contains {prompt_tokens} "
            "input tokens. Please reduce the length of the input prompt or the number of "
            "requested output tokens.",
            param="max_tokens",
        )
    _typed(body, "ignore_eos", bool, default=True)
    stream = _typed(body, "stream", bool, default=False)
    return CompletionCall(
        chat=chat,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        stream=stream,
        include_usage=_include_usage(body, stream=stream),
    )


def usage(call: CompletionCall) -> dict[str, int]:
    """Return the usage object of a whole answer."""
    return {
        "prompt_tokens": call.prompt_tokens,
        "total_tokens": call.prompt_tokens + call.max_tokens,
        "completion_tokens": call.max_tokens,
    }


def _typed(body: dict[str, object], name: str, kind: type[T], default: T) -> T:
    """Return a member of the body, or the default when it is absent or null."""
    value = body.get(name)
    if value is None:
        return default
    # In JSON true is not a number, though Python thinks so.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ApiError(400, f"{name}: want {_JSON_NAMES[kind]}", param=name)
    return value


def _max_tokens(body: dict[str, object], *, chat: bool) -> int:
    default = _CHAT_TOKENS if chat else _COMPLETION_TOKENS
    name = "max_completion_tokens" if chat and "max_completion_tokens" in body else "max_tokens"
    max_tokens = _typed(body, name, int, default=default)
    if max_tokens < 1:
        raise ApiError(400, f"{name} must be at least 1, got {max_tokens}.", param=name)
    min_tokens = _typed(body, "min_tokens", int, default=0)
    if not 0 <= min_tokens <= max_tokens:
        raise ApiError(400, f"min_tokens: want 0 to {name}={max_tokens}", param="min_tokens")
    return max_tokens


def _include_usage(body: dict[str, object], *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise ApiError(400, "stream_options: want an object", param="stream_options")
    if not stream:
        message = "Stream options can only be defined when `stream=True`."
        raise ApiError(400, message, param="stream_options")
    return _typed(options, "include_usage", bool, default=False)


def _prompt_tokens(body: dict[str, object]) -> int:
    """Count the tokens of a completion's prompt: a text, token ids, or a list of one of these."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return _text_tokens(len(prompt))
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return len(prompt)
    message = "prompt: want one text or one list of token ids, not empty"
    raise ApiError(400, message, param="prompt")


def _chat_tokens(body: dict[str, object]) -> int:
    """Count the tokens of a conversation by its text."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages: want a list, not empty", param="messages")
    return _text_tokens(sum(_message_characters(message) for message in messages))


def _message_characters(message: object) -> int:
    if isinstance(message, dict) and isinstance(message.get("role"), str):
        match message.get("content"):
            case None:  # an assistant's message may consist of tool calls only
                return 0
            case str(text):
                return len(text)
            case list(parts) if all(_is_text_part(part) for part in parts):
                return sum(len(part["text"]) for part in parts)
    expected = "want objects with a role and a content of text"
    raise ApiError(400, f"messages: {expected}", param="messages")


def _is_text_part(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _text_tokens(characters: int) -> int:
    return max(1, -(-characters // _CHARACTERS_PER_TOKEN))
