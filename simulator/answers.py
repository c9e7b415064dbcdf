"""An answer on its way to one client, whole or token by token."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from simulator.openai_protocol import WORD, ApiError, usage

if TYPE_CHECKING:
    from simulator.openai_protocol import CompletionCall

_DONE: Final = b"data: [DONE]\n\n"


class AnswerBodies:
    """The JSON bodies of one answer."""

    def __init__(self, call: CompletionCall, *, request_id: str, model: str, created: int) -> None:
        self._call = call
        kind = "chat.completion" if call.chat else "text_completion"
        self._whole_kind = kind
        self._event_kind = f"{kind}.chunk" if call.chat else kind
        self._head = {"id": request_id, "created": created, "model": model}

    def whole(self) -> dict[str, object]:
        """Return the body of an answer that is not streamed."""
        text = WORD * self._call.max_tokens
        content: dict[str, object] = {"text": text}
        if self._call.chat:
            content = {"message": {"role": "assistant", "content": text}}
        choice = _choice(content, finish_reason="length")
        return {
            **self._head,
            "object": self._whole_kind,
            "choices": [choice],
            "usage": usage(self._call),
        }

    def opening(self) -> bytes:
        """Return what precedes the first token: the role, in a chat."""
        if not self._call.chat:
            return b""
        return self._event(_choice({"delta": {"role": "assistant", "content": ""}}))

    def token(self) -> bytes:
        """Return the event of a token that is not the last."""
        return self._event(_choice(self._token_content()))

    def ending(self) -> bytes:
        """Return the last token's event and what follows it."""
        last = self._event(_choice(self._token_content(), finish_reason="length"))
        if self._call.include_usage:
            last += self._event(usage_of=self._call)
        return last + _DONE

    def _token_content(self) -> dict[str, object]:
        return {"delta": {"content": WORD}} if self._call.chat else {"text": WORD}

    def _event(self, *choices: dict[str, object], usage_of: CompletionCall | None = None) -> bytes:
        body = {**self._head, "object": self._event_kind, "choices": choices}
        if usage_of is not None:
            body["usage"] = usage(usage_of)
        return _sse(body)


class WholeAnswer:
    """Waits for the last token; `done` then has a result, or the error."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def token(self) -> None:
        """A token that is not the last changes nothing."""

    def last_token(self) -> None:
        """Let the answer go out."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, message: str) -> None:
        """Let the error go out."""
        if not self.done.done():
            self.done.set_exception(ApiError(500, message, kind="InternalServerError"))


class StreamedAnswer:
    """Writes each token to the client's transport; `done` has a result when the last is written.

    The events of a request differ in nothing but the last, so they are encoded once, HTTP chunk
    and all, and a token costs one write: the step loop serves many streams in a few milliseconds.
    A client that reads slowly is buffered for, as vLLM does; the longest answer is small.
    """

    def __init__(
        self, bodies: AnswerBodies, transport: asyncio.Transport, *, chunked: bool
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport = transport
        self._frame = _chunk if chunked else bytes
        self._opening = bodies.opening()
        self._token = bodies.token()
        self._ending = bodies.ending()
        self._next = self._frame(self._opening + self._token)

    def token(self) -> None:
        """Write a token that is not the last."""
        self._write(self._next)
        if self._opening:
            self._opening = b""
            self._next = self._frame(self._token)

    def last_token(self) -> None:
        """Write the last token, what follows it, and the end mark."""
        self._end(self._opening + self._ending)

    def fail(self, message: str) -> None:
        """Write an error event: the status is out long since."""
        error = ApiError(500, message, kind="InternalServerError")
        self._end(_sse(error.body) + _DONE)

    def _end(self, data: bytes) -> None:
        self._write(self._frame(data))
        if not self.done.done():
            self.done.set_result(None)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _choice(content: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {
        "index": 0,
        **content,
        "logprobs": None,
        "finish_reason": finish_reason,
        "stop_reason": None,
    }


def _sse(body: object) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
