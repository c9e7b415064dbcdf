"""The routes of a simulated server and what they answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import TYPE_CHECKING, Final, cast

from aiohttp import HttpVersion11, web
from prometheus_client import make_asgi_app

from simulator.answers import AnswerBodies, StreamedAnswer, WholeAnswer
from simulator.engine_values import Request, RequestRefusedError
from simulator.http_metrics import NO_HANDLER, UNCOUNTED, HttpMetrics
from simulator.openai_protocol import ApiError, parse_call
from simulator.settings import Fault, SettingsError, changed_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from prometheus_client import CollectorRegistry

    from simulator.live_engine import LiveEngine

# The version whose /metrics this server copies.
VLLM_VERSION: Final = "0.32.0"

# Prompts of token ids are long; vLLM's own server has no limit.
_LARGEST_BODY_BYTES: Final = 64 * 2**20

# Marks a request whose stream has begun.
_STREAMS: Final = web.RequestKey("streams", bool)


class Api:
    """One server's handlers, on one live engine."""

    def __init__(
        self, engine: LiveEngine, registry: CollectorRegistry, *, model: str, max_model_len: int
    ) -> None:
        self._engine = engine
        self._model = model
        self._max_model_len = max_model_len
        self._http_metrics = HttpMetrics(registry)
        self._exposition = make_asgi_app(registry)
        self._numbers = itertools.count(1)
        self._created = int(time.time())

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(
            middlewares=[self._answer_errors], client_max_size=_LARGEST_BODY_BYTES
        )
        application.on_response_prepare.append(_name_server)
        application.add_routes(
            [
                web.post("/v1/completions", self._completions),
                web.post("/v1/chat/completions", self._chat_completions),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.post("/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/simulator", self._get_settings),
                web.post("/simulator", self._post_settings),
            ]
        )
        return application

    @web.middleware
    async def _answer_errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn errors into bodies, and count every request that got an answer."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        status: int | None = 500
        response_bytes = 0
        try:
            try:
                response = await handler(request)
            except ApiError as error:
                response = web.json_response(error.body, status=error.status)
            except web.HTTPException as error:
                # What FastAPI says of an unknown path or method.
                response = web.json_response({"detail": error.reason}, status=error.status)
            status, response_bytes = response.status, response.content_length or 0
        except asyncio.CancelledError:
            # The client left, which is no failure of the server. What it saw of a stream was
            # well; a request that was never answered is not counted.
            status = 200 if _STREAMS in request else None
            raise
        finally:
            resource = request.match_info.route.resource
            name = NO_HANDLER if resource is None else resource.canonical
            if status is not None and name not in UNCOUNTED:
                self._http_metrics.observe(
                    handler=name,
                    method=request.method,
                    status=status,
                    duration_s=clock() - began_s,
                    request_bytes=request.content_length or 0,
                    response_bytes=response_bytes,
                )
        return response

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, chat=False)

    async def _chat_completions(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, chat=True)

    async def _complete(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        match self._engine.settings.fault:
            case Fault.HTTP_500:
                raise ApiError(500, "simulated failure", kind="InternalServerError")
            case Fault.HANG:
                await asyncio.Event().wait()  # until the client or the server goes
        call = parse_call(
            await _json_body(request),
            chat=chat,
            model=self._model,
            max_model_len=self._max_model_len,
        )
        prefix = "chatcmpl" if chat else "cmpl"
        work = Request(
            id=f"{prefix}-{next(self._numbers):032x}",
            prompt_tokens=call.prompt_tokens,
            output_tokens=call.max_tokens,
            arrival_s=asyncio.get_running_loop().time(),
        )
        try:
            self._engine.check(work)
        except RequestRefusedError as error:
            raise ApiError(400, str(error), param="max_tokens") from error
        bodies = AnswerBodies(call, request_id=work.id, model=self._model, created=int(time.time()))
        try:
            if call.stream:
                return await self._stream(request, work, bodies)
            return await self._answer_whole(work, bodies)
        finally:
            self._engine.abort(work.id)

    async def _answer_whole(self, work: Request, bodies: AnswerBodies) -> web.Response:
        answer = WholeAnswer()
        self._engine.submit(work, answer)
        await answer.done
        return web.json_response(bodies.whole())

    async def _stream(
        self, request: web.Request, work: Request, bodies: AnswerBodies
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        chunked = request.version >= HttpVersion11
        if chunked:
            response.enable_chunked_encoding()
        await response.prepare(request)  # the head goes out before the first token, as in vLLM
        request[_STREAMS] = True
        if request.transport is None:
            raise asyncio.CancelledError  # the client left meanwhile
        answer = StreamedAnswer(bodies, request.transport, chunked=chunked)
        self._engine.submit(work, answer)
        await answer.done
        await response.write_eof()
        return response

    async def _models(self, _request: web.Request) -> web.Response:
        model = {
            "id": self._model,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm",
            "root": self._model,
            "parent": None,
            "max_model_len": self._max_model_len,
            "permission": [],
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": VLLM_VERSION})

    async def _metrics(self, request: web.Request) -> web.Response:
        """Answer through prometheus_client's own ASGI application, content negotiation and all."""
        messages: list[MutableMapping[str, object]] = []

        async def receive() -> MutableMapping[str, object]:
            return {"type": "http.request"}

        async def send(message: MutableMapping[str, object]) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "query_string": request.query_string.encode(),
            "headers": request.raw_headers,
        }
        await self._exposition(scope, receive, send)
        start, body = messages
        headers = cast("list[tuple[bytes, bytes]]", start["headers"])
        return web.Response(
            status=cast("int", start["status"]),
            body=cast("bytes", body["body"]),
            headers={name.decode(): value.decode() for name, value in headers},
        )

    async def _get_settings(self, _request: web.Request) -> web.Response:
        return self._settings_response()

    async def _post_settings(self, request: web.Request) -> web.Response:
        try:
            settings = changed_settings(self._engine.settings, await _json_body(request))
        except SettingsError as error:
            raise ApiError(400, str(error)) from error
        self._engine.apply(settings)
        return self._settings_response()

    def _settings_response(self) -> web.Response:
        return web.json_response(
            {**self._engine.settings.as_json(), "worst_lag_s": self._engine.worst_lag_s}
        )


async def _name_server(request: web.Request, response: web.StreamResponse) -> None:
    """Say which server answered: the address the connection was made to."""
    if request.transport is not None:
        host, port, *_ = request.transport.get_extra_info("sockname")
        response.headers["X-Served-By"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _json_body(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from error
