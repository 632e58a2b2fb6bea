"""The chat model: chat completions on Azure OpenAI's v1 endpoint, or any server that speaks them.

The SDK keeps authentication, URLs and typed errors. Its raw responses are read here: with its own
typed streaming an answer of 40 chunks costs 21 ms of CPU, with this 6.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import orjson

from ..domain.endpoint import is_loopback
from ..domain.transcript import Message
from ..errors import CasemateError, ModelError
from ..ports import Clock, JsonObject, Structured, Usage
from ..wire import Unreachable, request
from .openai_answers import Answer, find_objects, read_events
from .openai_failures import (
    ENDED,
    NO_TOKEN,
    SILENT,
    UNREACHABLE,
    Failure,
    Patience,
    read_failure,
    to_error,
)

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

Key = str | Callable[[], Awaitable[str]] | None

_CONNECT = 5.0
_PING = 5.0
_NO_KEY = "loopback"  # the SDK must have one
_MAY_PING = (404, 405, 429)  # no such list here, or busy: either way it is there and knows us
_GPT5 = re.compile(r"gpt-?5(?!.*chat)", re.IGNORECASE)
_LOG = logging.getLogger(__name__)


class AzureChatModel:
    """A deployment of Azure OpenAI, or a model of any OpenAI-compatible server.

    `base_url` ends before `/chat/completions`; `api_key` is a key, an async provider of Entra
    tokens (scope `https://ai.azure.com/.default`) that raises CasemateError, or None for a loopback
    server that wants none.
    `reasoning_effort` is left to the deployment's name unless given; '' sends none. `silence` is
    how many seconds may pass before the first piece of an answer, waits and retries included, and
    between two pieces.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: Key,
        clock: Clock,
        *,
        reasoning_effort: str | None = None,
        silence: float = 25.0,
    ) -> None:
        self._base_url = base_url
        self._model = model
        self._key = api_key
        self._clock = clock
        self._effort = reasoning_effort
        if reasoning_effort is None:
            self._effort = "low" if _GPT5.search(model) else ""
        self._silence = silence
        self._by_proxy = not is_loopback(base_url)  # none is between us and ourselves
        self._client: AsyncOpenAI | None = None
        self._opening = asyncio.Lock()
        self._not_known: set[str] = set()

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self._model

    async def open(self) -> AsyncOpenAI:
        """Import the SDK and make its client, off the event loop (about 0.7 s), the first time."""
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._connect)
        return self._client

    async def close(self) -> None:
        """Close the connections; call it when nothing streams any more."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ping(self) -> None:
        """Prove that the endpoint answers and knows us, at no cost; raises ModelError.

        Only a question proves that the deployment exists: `/models` lists base models. It goes
        without the SDK, so that a probe right after the start need not wait for it.
        """
        silence = min(_PING, self._silence)
        url = f"{self._base_url.rstrip('/')}/models"
        try:
            key = await self._token() if callable(self._key) else self._key or _NO_KEY
            sent = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(trust_env=self._by_proxy) as session:
                answer = await request(
                    session, "GET", url, clock=self._clock, headers=sent, timeout=silence
                )
        except Unreachable as error:
            code = SILENT if isinstance(error.__cause__, TimeoutError) else UNREACHABLE
            raise to_error(Failure(0, code), begun=False, silence=silence) from error
        except Failure as failure:
            raise to_error(failure, begun=False, silence=silence) from failure
        if answer.status >= 300 and answer.status not in _MAY_PING:
            code, message = answer.error
            failure = read_failure(answer.status, {"code": code, "message": message}, {})
            raise to_error(failure, begun=False, silence=silence)

    async def stream(
        self, messages: Sequence[Message], *, limit: int
    ) -> AsyncGenerator[str | Usage]:
        """Yield pieces of the answer as they come, then one Usage; raises ModelError.

        What was yielded before an AnswerCut or AnswerFiltered is a part of the answer.
        """
        answer = Answer(self._model)
        async with aclosing(self._ask(answer, messages, limit, None)) as pieces:
            async for piece in pieces:
                yield piece
        answer.check()
        yield answer.usage

    async def structured(
        self, messages: Sequence[Message], *, name: str, schema: Mapping[str, Any], limit: int
    ) -> Structured:
        """Ask for one JSON object of this schema, whose top level members are then present.

        A server that does not know `json_schema` is told the schema in words.
        """
        answer = Answer(self._model)
        wanted = {"name": name, "strict": True, "schema": dict(schema)}
        async with aclosing(self._ask(answer, messages, limit, wanted)) as pieces:
            text = "".join([piece async for piece in pieces])
        answer.check()
        texts = (text, *answer.others.values())
        data, *more = find_objects(texts, schema.get("required", ()))
        return Structured(data, answer.usage, tuple(more))

    async def _ask(
        self, answer: Answer, messages: Sequence[Message], limit: int, wanted: JsonObject | None
    ) -> AsyncGenerator[str]:
        """Yield the answer's text, trying again as long as none of it has been yielded."""
        patience = Patience(self._silence)
        while True:
            body = self._body(messages, limit, wanted)
            try:
                async with aclosing(self._events(body, patience)) as events:
                    async for arrived in events:
                        piece, failed = answer.add_all(arrived)
                        if piece:
                            yield piece
                            patience.heard()
                        if failed is not None:
                            raise failed
                        if answer.finish:
                            patience.finished()
                if answer.finish:
                    return
                raise Failure(0, ENDED)
            except Failure as failure:
                if answer.finish and failure.code in (SILENT, ENDED, UNREACHABLE):
                    return  # the answer is whole; only its bill or its last bytes are missing
                member = failure.unknown_member
                if member in body:
                    _LOG.warning("left out %s from now on: the model does not know it", member)
                    self._not_known.add(member)
                    continue
                wait = None if answer.begun else patience.wait(failure)
                if wait is None:
                    raise self._give_up(failure, answer) from failure
                await self._clock.sleep(wait)

    def _give_up(self, failure: Failure, answer: Answer) -> ModelError:
        # Some servers repeat what they were sent in what they say of it: that is not logged.
        _LOG.warning("model %s: status %s, code %s", self._model, failure.status, failure.code)
        return to_error(failure, begun=answer.begun, silence=self._silence)

    def _body(
        self, messages: Sequence[Message], limit: int, wanted: JsonObject | None
    ) -> JsonObject:
        """Lay out a request by the rules of GPT-5 deployments (no temperature, no max_tokens)."""
        body: JsonObject = {
            "model": self._model,
            "messages": [_wire(message.role, message.content) for message in messages],
            "max_completion_tokens": limit,
        }
        if self._effort:
            body["reasoning_effort"] = self._effort
        if wanted is None:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        elif "response_format" in self._not_known:
            body["messages"].append(_wire("system", _in_words(wanted)))
        else:
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return {name: value for name, value in body.items() if name not in self._not_known}

    async def _events(
        self, body: JsonObject, patience: Patience
    ) -> AsyncGenerator[list[JsonObject]]:
        """One attempt: yield what the server says; raises Failure. Closing it hangs up."""
        await self.open()
        import httpx2

        response: httpx2.Response | None = None
        try:
            async with patience.limit():
                response = await self._send(orjson.dumps(body))
            sse = "json" not in response.headers.get("content-type", "")
            async with aclosing(response.aiter_bytes()) as arriving:

                async def receive() -> bytes:
                    async with patience.limit():
                        return await anext(arriving, b"")

                async with aclosing(read_events(receive, sse=sse)) as events:
                    async for event in events:
                        yield event
        except TimeoutError:
            raise Failure(0, SILENT) from None
        except (httpx2.HTTPError, aiohttp.ClientError) as error:
            raise Failure(0, UNREACHABLE, detail=type(error).__name__) from error
        finally:
            if response is not None:
                await response.aclose()

    async def _send(self, content: bytes) -> httpx2.Response:
        """Send through the SDK; the answer comes back with its body unread. Raises Failure."""
        client = await self.open()
        import httpx2
        import openai

        try:
            answer = await client.post(
                "/chat/completions",
                content=content,
                cast_to=httpx2.Response,
                options={"security": {"bearer_auth": True}},
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
        except openai.APIStatusError as error:
            raise read_failure(error.status_code, error.body, error.response.headers) from error
        except openai.APIConnectionError as error:
            raise Failure(0, UNREACHABLE, detail=type(error.__cause__).__name__) from error
        return cast("httpx2.Response", answer)

    def _connect(self) -> AsyncOpenAI:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        timeout = httpx2.Timeout(None, connect=_CONNECT)  # silence is watched by Patience
        return AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._token if callable(self._key) else self._key or _NO_KEY,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAioHttpClient(  # its parser is in C: 40 % less CPU for a stream
                timeout=timeout,
                limits=httpx2.Limits(max_connections=1000, keepalive_expiry=60.0),
                follow_redirects=False,  # a token must not go where a service points
                trust_env=self._by_proxy,
            ),
        )

    async def _token(self) -> str:
        assert callable(self._key)
        try:
            return await self._key()
        except CasemateError as error:
            raise Failure(0, NO_TOKEN, detail=str(error)) from error


def _wire(role: str, content: str) -> JsonObject:
    # Evidence may hold half a surrogate pair, which is no UTF-8.
    return {"role": role, "content": content.encode("utf-8", "replace").decode()}


def _in_words(wanted: JsonObject) -> str:
    schema = orjson.dumps(wanted["schema"]).decode()
    return f"Answer with one JSON object and nothing else. Its JSON schema:\n{schema}"
