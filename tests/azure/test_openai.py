"""The chat model over HTTP: what each answer and each failure of the service becomes."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp.test_utils import TestServer, unused_port

from bot import errors
from bot.azure.openai import AzureChatModel
from bot.azure.openai_answers import read_events
from bot.azure.openai_failures import Failure
from bot.domain.transcript import Message
from bot.ports import Clock, Usage
from tests.azure.model_double import (
    ModelDouble,
    Says,
    delta,
    document,
    fails,
    line,
    says,
    sse,
    usage,
    whole,
)
from tests.clock import FakeClock, ImpatientClock

PAYLOADS = Path(__file__).parent.parent / "data" / "payloads"
ASKED = (Message("system", "You help."), Message("user", "What happened on SRV-SECRET-7?"))
SCHEMA = {
    "type": "object",
    "properties": {"kql": {"type": "string"}},
    "required": ["kql"],
    "additionalProperties": False,
}
Connect = Callable[..., Awaitable[AzureChatModel]]


@pytest.fixture
async def connect(aiohttp_server: Any):
    """Serve a double, and open a model at it."""
    opened: list[AzureChatModel] = []

    async def go(double: ModelDouble, clock: Clock | None = None, **more: Any) -> AzureChatModel:
        server = await aiohttp_server(double.app())
        more = {"model": "gpt-5.4-mini", "api_key": None, **more}
        url = str(server.make_url("/openai/v1/"))
        model = AzureChatModel(url, clock=clock or ImpatientClock(), **more)
        opened.append(model)
        await model.open()
        return model

    yield go
    for model in opened:
        await model.close()


async def ask(model: AzureChatModel) -> tuple[str, Usage]:
    *pieces, cost = [piece async for piece in model.stream(ASKED, limit=900)]
    assert isinstance(cost, Usage)
    return "".join(str(piece) for piece in pieces), cost


async def failure(model: AzureChatModel) -> tuple[str, errors.ModelError]:
    """What was said before it failed, and how it failed."""
    said = ""
    with pytest.raises(errors.ModelError) as caught:
        async for piece in model.stream(ASKED, limit=900):
            said += str(piece)
    return said, caught.value


async def ask_object(model: AzureChatModel) -> dict[str, Any]:
    return (await model.structured(ASKED, name="query", schema=SCHEMA, limit=900)).data


# --- what is sent --------------------------------------------------------------------------------


async def test_a_streamed_question_by_the_rules_of_gpt_5(connect: Connect):
    double = ModelDouble(says("Hello"))
    await ask(await connect(double))
    assert double.asked == [
        {
            "model": "gpt-5.4-mini",
            "messages": [
                {"role": "system", "content": "You help."},
                {"role": "user", "content": "What happened on SRV-SECRET-7?"},
            ],
            "max_completion_tokens": 900,
            "reasoning_effort": "low",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("gpt-5.4-mini", None, "low"),
        ("soc-GPT5", None, "low"),
        ("gpt-5-chat", None, None),
        ("gpt-4o", None, None),
        ("smollm2", None, None),
        ("gpt-5.4-mini", "none", "none"),
        ("gpt-5.4-mini", "", None),
        ("soc-prod", "medium", "medium"),
    ],
)
async def test_reasoning_effort(connect: Connect, model: str, given: str | None, sent: str | None):
    double = ModelDouble(says("Hello"))
    await ask(await connect(double, model=model, reasoning_effort=given))
    assert double.asked[0].get("reasoning_effort") == sent


async def test_half_a_surrogate_pair_in_the_evidence_is_no_obstacle(connect: Connect):
    double = ModelDouble(says("Hello"))
    model = await connect(double)
    async for _ in model.stream([Message("user", "cmd \ud83d end")], limit=9):
        pass
    assert double.asked[0]["messages"][0]["content"] == "cmd ? end"


async def test_a_key_is_sent_as_it_is(connect: Connect):
    model = await connect(ModelDouble(says("Hello"), key="k1"), api_key="k1")
    assert (await ask(model))[0] == "Hello"


async def test_a_token_is_asked_for_every_time(connect: Connect):
    double = ModelDouble(says("Hello"), key="t1")
    tokens = iter(["t1", "t2"])

    async def token() -> str:
        return next(tokens)

    model = await connect(double, api_key=token)
    assert (await ask(model))[0] == "Hello"
    double.key = "t2"
    assert (await ask(model))[0] == "Hello"


async def test_no_token(connect: Connect):
    async def token() -> str:
        raise errors.CasemateError("Entra ID said AADSTS700016.")

    model = await connect(ModelDouble(says("Hello")), api_key=token)
    _, refused = await failure(model)
    assert isinstance(refused, errors.ModelRefused)
    assert "Cognitive Services OpenAI User" in refused.sentence
    assert "AADSTS" not in refused.sentence
    with pytest.raises(errors.ModelRefused) as caught:
        await model.ping()
    assert caught.value.sentence == refused.sentence


# --- good answers --------------------------------------------------------------------------------

RECORDED = (PAYLOADS / "aoai_stream.sse").read_bytes()
NULLS = {"choices": [{"delta": None, "finish_reason": None}, None], "usage": None, "error": None}
GOOD = {
    "as Azure streams it": (Says([RECORDED]), "Hello"),
    "as Azure answers whole": (
        Says(
            [(PAYLOADS / "aoai_chat_completion_200.json").read_bytes()],
            headers={"Content-Type": "application/json"},
        ),
        "Hello",
    ),
    "one byte at a time": (Says([bytes([byte]) for byte in RECORDED]), "Hello"),
    "CRLF": (Says([RECORDED.replace(b"\n", b"\r\n")]), "Hello"),
    "no space after data:": (Says([RECORDED.replace(b"data: ", b"data:")]), "Hello"),
    "comments and other fields": (
        sse(b": keep-alive\n\n", b"event: x\nid: 7\nretry: 9\n", delta("Hi"), delta(finish="stop")),
        "Hi",
    ),
    "unknown members": (
        sse(
            {"obfuscation": "aa", **delta("Hi", content_filter_offsets={"a": 1})},
            delta(finish="stop"),
        ),
        "Hi",
    ),
    "nulls and things that are not objects": (
        sse(
            NULLS,
            [1],
            "x",
            {"choices": 7},
            {"choices": [{"delta": {"content": 7}}]},
            delta("Hi", "stop"),
        ),
        "Hi",
    ),
    "no [DONE]": (sse(delta("Hi"), delta(finish="stop"), done=False), "Hi"),
    "no newline at the end": (
        Says([line(delta("Hi")), line(delta(finish="stop")).rstrip()]),
        "Hi",
    ),
    "[DONE] without a newline, text after it": (
        Says([line(delta("Hi", "stop")), b"data: [DONE]\n", line(delta("Ha"))]),
        "Hi",
    ),
    "only [DONE] without a newline": (Says([line(delta("Hi", "stop")), b"data: [DONE]"]), "Hi"),
    "finish with the last text": (sse(delta("H"), delta("i", "stop")), "Hi"),
    "white space before the first word": (
        sse(delta("\n"), delta(" Hi"), delta(finish="stop")),
        " Hi",
    ),
    "a reset after the end": (sse(delta("Hi", "stop"), done=False, drop=True), "Hi"),
    "several choices, the first is empty": (
        document(
            {
                "choices": [
                    {"message": {"content": None}, "finish_reason": "stop"},
                    {"message": {"content": "Hi"}, "finish_reason": "stop"},
                ]
            }
        ),
        "Hi",
    ),
    "text in several scripts": (says("Zu", "griff 攻撃 ", "🙂"), "Zugriff 攻撃 🙂"),
}


@pytest.mark.parametrize(("answer", "text"), GOOD.values(), ids=GOOD)
async def test_good_answers(connect: Connect, answer: Says, text: str):
    assert (await ask(await connect(ModelDouble(answer))))[0] == text


async def test_pieces_come_as_they_come_and_the_cost_last(connect: Connect):
    double = ModelDouble(sse(delta("a"), delta("b"), delta(finish="stop"), usage(2048, 7, 1024)))
    model = await connect(double)
    *pieces, cost = [piece async for piece in model.stream(ASKED, limit=9)]
    assert "".join(map(str, pieces)) == "ab"
    assert cost == Usage("gpt-5.4-mini-2026-03-17", 2048, 7, 1024)


async def test_a_server_that_tells_no_cost(connect: Connect):
    model = await connect(ModelDouble(sse({"choices": delta("Hi", "stop")["choices"]})))
    assert await ask(model) == ("Hi", Usage("gpt-5.4-mini"))


async def test_a_stream_that_stays_open_after_the_answer_is_not_waited_for(connect: Connect):
    model = await connect(ModelDouble(sse(delta("Hi", "stop"), hold=True)), silence=0.2)
    assert (await ask(model))[0] == "Hi"


async def test_a_connection_serves_many_answers(connect: Connect):
    double = ModelDouble(says("Hello"))
    model = await connect(double)
    for _ in range(3):
        await ask(model)
    assert len(set(double.peers)) == 1


# --- failures ------------------------------------------------------------------------------------

FILTERED = json.loads((PAYLOADS / "aoai_error_400_content_filter.json").read_text())
OTHER_SPELLING = {
    "error": {
        "code": "content_filter",
        "message": "filtered",
        "inner_error": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": {
                "self-harm": {"filtered": True, "severity": "high"},
                "self_harm": {"filtered": True, "severity": "high"},
                "indirect_attack": {"filtered": True, "detected": True},
                "custom_blocklists": {
                    "filtered": False,
                    "details": [{"id": "b", "filtered": True}],
                },
                "<b>": {"filtered": True},
                "violence": {"filtered": False, "severity": "safe"},
            },
        },
    }
}
STRUCK = {"content_filter_results": {"violence": {"filtered": True, "severity": "high"}}}
DEEP: dict[str, Any] = {"x": {"filtered": True}}
for _ in range(20):
    DEEP = {"x": DEEP}

FAILURES: dict[str, tuple[Says, type[errors.ModelError], str]] = {
    "prompt filtered": (document(FILTERED, 400), errors.PromptFiltered, "(jailbreak)"),
    "prompt filtered, as the OpenAPI document spells it": (
        document(OTHER_SPELLING, 400),
        errors.PromptFiltered,
        "(self harm, indirect attack, other)",
    ),
    "prompt filtered, told in the stream": (sse(FILTERED), errors.PromptFiltered, "(jailbreak)"),
    "prompt filtered, no reason given": (
        fails(400, "content_filter"),
        errors.PromptFiltered,
        "blocked the question. ",
    ),
    "prompt filtered, absurdly nested": (
        document({"error": {"code": "content_filter", "innererror": DEEP}}, 400),
        errors.PromptFiltered,
        "blocked the question. ",
    ),
    "answer filtered before it began": (
        sse(delta(finish="content_filter", **STRUCK)),
        errors.AnswerFiltered,
        "(violence)",
    ),
    "declined": (
        sse({"choices": [{"delta": {"refusal": "I cannot"}, "finish_reason": "stop"}]}),
        errors.AnswerFiltered,
        "declined",
    ),
    "empty": (sse(delta(finish="stop"), usage()), errors.AnswerEmpty, "no answer"),
    "empty, only white space": (
        sse(delta(" \n"), delta(finish="stop")),
        errors.AnswerEmpty,
        "no answer",
    ),
    "all tokens spent on thought": (
        sse(delta(finish="length"), usage()),
        errors.AnswerEmpty,
        "length limit",
    ),
    "a stream of nothing": (sse(), errors.AnswerCut, "broke off"),
    "no finish_reason and no text": (sse(delta("")), errors.AnswerCut, "broke off"),
    "a web page": (
        Says([b"<html>hello</html>"], headers={"Content-Type": "text/html"}),
        errors.AnswerCut,
        "broke off",
    ),
    "JSON that is none": (
        Says([b'{"choices":'], headers={"Content-Type": "application/json"}),
        errors.AnswerCut,
        "broke off",
    ),
    "an event beyond all measure": (
        Says([b"data: " + b"x" * 5_000_000]),
        errors.AnswerCut,
        "broke off",
    ),
    "context too long": (
        fails(400, "context_length_exceeded", "maximum context length is 272000 tokens"),
        errors.ContextTooLong,
        "reset",
    ),
    "context too long, told in the stream": (
        sse({"error": {"code": "context_length_exceeded"}}),
        errors.ContextTooLong,
        "reset",
    ),
    "context too long, as llama.cpp says it": (
        document({"error": {"code": 400, "type": "exceed_context_size_error"}}, 400),
        errors.ContextTooLong,
        "reset",
    ),
    "too large for a gateway": (Says([b"no"], 413), errors.ContextTooLong, "reset"),
    "another 400": (
        fails(400, "invalid_request_error", "SECRET detail"),
        errors.ModelRefused,
        "log",
    ),
    "401": (fails(401, message="bad key"), errors.ModelRefused, "AZURE_OPENAI_API_KEY"),
    "403": (fails(403), errors.ModelRefused, "Cognitive Services OpenAI User"),
    "404": (fails(404, "DeploymentNotFound"), errors.ModelRefused, "AZURE_OPENAI_MODEL"),
    "400 for a model that does not chat": (
        fails(400, "OperationNotSupported"),
        errors.ModelRefused,
        "AZURE_OPENAI_MODEL",
    ),
    "a redirect": (
        Says([], 307, {"Location": "/openai/v1/models"}),
        errors.ModelRefused,
        "AZURE_OPENAI_BASE_URL",
    ),
    "no more money": (fails(429, "insufficient_quota"), errors.ModelRefused, "quota"),
    "408": (fails(408), errors.ModelDown, "try again"),
    "500": (fails(500), errors.ModelDown, "try again"),
    "502 with a page": (Says([b"<html>"], 502), errors.ModelDown, "try again"),
    "503": (fails(503), errors.ModelDown, "try again"),
    "504 with an empty body": (Says([], 504), errors.ModelDown, "try again"),
    "an error without a name in the stream": (
        sse({"error": "boom"}),
        errors.ModelDown,
        "try again",
    ),
    "an error with a status in the stream": (
        sse({"error": {"status": 401, "code": "x"}}),
        errors.ModelRefused,
        "AZURE_OPENAI_API_KEY",
    ),
    "a reset before the first piece": (Says([], drop=True), errors.ModelDown, "try again"),
}


@pytest.mark.parametrize(("answer", "kind", "words"), FAILURES.values(), ids=FAILURES)
async def test_failures(connect: Connect, answer: Says, kind: type[errors.ModelError], words: str):
    said, error = await failure(await connect(ModelDouble(answer)))
    assert type(error) is kind
    assert words in error.sentence
    assert said == ""
    assert "SECRET" not in error.sentence
    assert error.sentence.endswith(".")


@pytest.mark.parametrize(("answer", "kind", "words"), FAILURES.values(), ids=FAILURES)
async def test_failures_of_structured_answers_are_the_same(
    connect: Connect, answer: Says, kind: type[errors.ModelError], words: str
):
    with pytest.raises(kind) as caught:
        await ask_object(await connect(ModelDouble(answer)))
    assert words in caught.value.sentence


BROKEN: dict[str, tuple[Says, type[errors.ModelError], str]] = {
    "the connection is reset": (
        sse(delta("Half"), done=False, drop=True),
        errors.AnswerCut,
        "broke",
    ),
    "the stream ends": (sse(delta("Half"), done=False), errors.AnswerCut, "broke"),
    "[DONE] without finish_reason": (sse(delta("Half")), errors.AnswerCut, "broke"),
    "silence": (sse(delta("Half"), done=False, hold=True), errors.AnswerCut, "broke"),
    "comments but no text": (
        sse(delta("Half"), *[b": ping\n\n"] * 50, done=False, hold=True),
        errors.AnswerCut,
        "broke",
    ),
    "an error object": (sse(delta("Half"), {"error": {"code": "x"}}), errors.AnswerCut, "broke"),
    "a rate limit": (sse(delta("Half"), {"error": {"code": "429"}}), errors.AnswerCut, "broke"),
    "an event that is no JSON": (sse(delta("Half"), b"data: {oops\n\n"), errors.AnswerCut, "broke"),
    "the length limit": (
        sse(delta("Half"), delta(finish="length")),
        errors.AnswerCut,
        "length limit",
    ),
    "the content filter": (
        sse(delta("Half"), delta(finish="content_filter", **STRUCK)),
        errors.AnswerFiltered,
        "(violence)",
    ),
    "the content filter, as an error": (
        sse(delta("Half"), {"error": {"code": "content_filter"}}),
        errors.AnswerFiltered,
        "withheld",
    ),
}


@pytest.mark.parametrize(("answer", "kind", "words"), BROKEN.values(), ids=BROKEN)
async def test_failures_after_the_first_piece_are_not_tried_again(
    connect: Connect, answer: Says, kind: type[errors.ModelError], words: str
):
    double = ModelDouble(answer)
    said, error = await failure(await connect(double, silence=0.2))
    assert type(error) is kind
    assert words in error.sentence
    assert said == "Half"
    assert len(double.asked) == 1


async def test_categories_are_values_too(connect: Connect):
    _, blocked = await failure(await connect(ModelDouble(document(OTHER_SPELLING, 400))))
    assert isinstance(blocked, errors.PromptFiltered)
    assert blocked.categories == ("self_harm", "indirect_attack", "other")


@pytest.mark.parametrize("answer", [Says([], hold=True), sse(delta(""), done=False, hold=True)])
async def test_a_silent_model_is_given_up_on(connect: Connect, answer: Says):
    double = ModelDouble(answer)
    model = await connect(double, silence=0.2)
    _, error = await failure(model)
    assert isinstance(error, errors.ModelDown)
    assert "within 0 seconds" in error.sentence
    assert len(double.asked) == 1
    async with asyncio.timeout(2):
        await double.hung_up.wait()


async def test_time_that_the_reader_takes_is_not_the_models_silence(connect: Connect):
    model = await connect(ModelDouble(says("a", "b")), silence=0.2)
    said: list[Any] = []
    async for piece in model.stream(ASKED, limit=9):
        said.append(piece)
        await asyncio.sleep(0.25)
    assert "".join(map(str, said[:-1])) == "ab"


async def test_an_address_where_nobody_is():
    clock = ImpatientClock()
    model = AzureChatModel(f"http://127.0.0.1:{unused_port()}/openai/v1/", "m", None, clock)
    assert model.name == "m"
    _, error = await failure(model)
    assert isinstance(error, errors.ModelDown)
    assert clock.slept == [0.5, 1.5]
    with pytest.raises(errors.ModelDown):
        await model.ping()
    await model.close()
    await model.close()


async def test_a_server_that_does_not_speak_http():
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail ready\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        model = AzureChatModel(f"http://127.0.0.1:{port}/openai/v1/", "m", None, ImpatientClock())
        _, error = await failure(model)
        assert isinstance(error, errors.ModelDown)
        with pytest.raises(errors.ModelDown):
            await model.ping()
        await model.close()


# --- waiting and trying again --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hiccup", "waits"),
    [
        (fails(500), [0.5]),
        (fails(503), [0.5]),
        (fails(408), [0.5]),
        (Says([], drop=True), [0.5]),
        (sse(delta(""), {"error": {"code": "server_error"}}), [0.5]),
        (sse({"error": {"type": "too_many_requests"}}), [1.0]),
        (fails(429, Retry_After="3"), [3.0]),
        (fails(429, Retry_After="20", retry_after_ms="1500"), [1.5]),
        (fails(429, retry_after_ms="1"), [0.25]),
        (fails(429), [1.0]),
        (fails(429, Retry_After="0"), [1.0]),
        (fails(429, Retry_After="-1", retry_after_ms="-1"), [1.0]),
        (fails(429, Retry_After="soon"), [1.0]),
        (fails(429, message="Please retry after 4 seconds."), [4.0]),
        (fails(429, Retry_After="0", message="Please try again in 600ms."), [0.6]),
    ],
)
async def test_a_hiccup_is_waited_out(connect: Connect, hiccup: Says, waits: list[float]):
    clock = ImpatientClock()
    double = ModelDouble(hiccup, says("Hello"))
    assert (await ask(await connect(double, clock)))[0] == "Hello"
    assert clock.slept == waits
    assert len(double.asked) == 2


async def test_structured_questions_are_tried_again_too(connect: Connect):
    model = await connect(
        ModelDouble(fails(429, Retry_After="2"), fails(500), whole('{"kql":"T"}'))
    )
    assert await ask_object(model) == {"kql": "T"}


@pytest.mark.parametrize(
    ("answer", "waits", "when", "retry_after"),
    [
        ("recorded", [], "in 45 seconds", 45.0),
        (fails(429, Retry_After="4"), [4.0, 4.0], "in 4 seconds", 4.0),
        (fails(429, Retry_After="9.5"), [9.5], "in 10 seconds", 9.5),
        (fails(429), [1.0, 2.0, 4.0], "in about a minute", 60.0),
        (fails(429, Retry_After="110"), [], "in about 2 minutes", 110.0),
        (fails(429, Retry_After="86400"), [], "in about 24 hours", 86400.0),
        (fails(429, Retry_After="99999999999"), [1.0, 2.0, 4.0], "in about a minute", 60.0),
        (fails(429, message="Try again in 3 minutes"), [], "in about 3 minutes", 180.0),
        (fails(429, retry_after_ms="1000"), [1.0] * 10, "in 1 second.", 1.0),
    ],
)
async def test_a_busy_model_says_when_to_come_back(
    connect: Connect, answer: Says | str, waits: list[float], when: str, retry_after: float
):
    if isinstance(answer, str):
        recorded = json.loads((PAYLOADS / "aoai_error_429.json").read_text())
        answer = document({"error": recorded["error"]}, 429, **recorded["_headers"])
    clock = ImpatientClock()
    _, error = await failure(await connect(ModelDouble(answer), clock))
    assert isinstance(error, errors.ModelBusy)
    assert when in error.sentence
    assert error.retry_after == retry_after
    assert clock.slept == waits


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_what_will_not_change_is_not_tried_again(connect: Connect, status: int):
    double = ModelDouble(fails(status))
    await failure(await connect(double))
    assert len(double.asked) == 1


# --- hanging up ----------------------------------------------------------------------------------


async def test_closing_the_stream_hangs_up(connect: Connect):
    double = ModelDouble(sse(delta("Once"), done=False, hold=True))
    model = await connect(double)
    async with aclosing(model.stream(ASKED, limit=9)) as pieces:
        async for piece in pieces:
            assert piece == "Once"
            break
    async with asyncio.timeout(2):
        await double.hung_up.wait()


@pytest.mark.parametrize("answer", [Says([], hold=True), sse(delta("Once"), done=False, hold=True)])
async def test_cancelling_hangs_up(connect: Connect, answer: Says):
    double = ModelDouble(answer)
    arrived = asyncio.Event()

    async def before() -> None:
        arrived.set()

    double.before = before
    model = await connect(double)
    asking = asyncio.create_task(ask(model))
    await arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(2):
        await double.hung_up.wait()


async def test_cancelling_a_wait_for_a_rate_limit(connect: Connect):
    asleep = asyncio.Event()

    class Sleeper(FakeClock):
        async def sleep(self, seconds: float) -> None:
            asleep.set()
            await super().sleep(seconds)

    double = ModelDouble(fails(429, Retry_After="5"))
    asking = asyncio.create_task(ask(await connect(double, Sleeper())))
    await asleep.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


# --- structured answers --------------------------------------------------------------------------

OBJECTS = {
    "bare": '{"kql": "T | take 1"}',
    "fenced": 'Here it is:\n```json\n{"kql": "T | take 1"}\n```\nGood luck {friend}!',
    "in prose, after other braces": 'With {braces} and {"a": 1}: {"kql": "T | take 1"} done',
}


@pytest.mark.parametrize("text", OBJECTS.values(), ids=OBJECTS)
async def test_an_object_is_found(connect: Connect, text: str):
    assert await ask_object(await connect(ModelDouble(whole(text)))) == {"kql": "T | take 1"}


async def test_a_structured_question_and_its_cost(connect: Connect):
    double = ModelDouble(whole('{"kql": "a\nb"}'))
    model = await connect(double)
    answer = await model.structured(ASKED, name="query", schema=SCHEMA, limit=900)
    assert answer.data == {"kql": "a\nb"}
    assert answer.usage == Usage("gpt-5.4-mini-2026-03-17", 20, 5, 0)
    assert "stream" not in double.asked[0]
    assert double.asked[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "query", "strict": True, "schema": SCHEMA},
    }


@pytest.mark.parametrize(
    "text", ["none", "{", "[1]", '{"other": 1}', '{"kql": ', "{" * 100_000, '{"a":' * 100_000]
)
async def test_what_is_not_the_object(connect: Connect, text: str):
    with pytest.raises(errors.AnswerMalformed):
        await ask_object(await connect(ModelDouble(whole(text))))


def choice(index: Any, text: Any, finish: str | None = None, *, streamed: bool = False) -> Any:
    said = {"delta" if streamed else "message": {"content": text}, "finish_reason": finish}
    return said if index is None else {"index": index, **said}


def chunks(*pieces: tuple[int, str]) -> Says:
    """Two choices whose pieces come interleaved; the second one ends first."""
    ends = [{"choices": [choice(index, None, "stop", streamed=True)]} for index in (1, 0)]
    said = [{"choices": [choice(index, text, streamed=True)]} for index, text in pieces]
    return sse(*said, *ends, usage())


SEVERAL = {
    "whole": document({"choices": [choice(n, f'{{"kql": "T{n}"}}', "stop") for n in range(2)]}),
    "without an index": document(
        {"choices": [choice(None, f'{{"kql": "T{n}"}}', "stop") for n in range(2)]}
    ),
    "streamed": chunks((0, '{"kql": '), (1, '{"kql": "T'), (0, '"T0"}'), (1, '1"}')),
    "one empty, one no object": document(
        {
            "choices": [
                choice(0, None, "stop"),
                choice(1, '{"kql": "T0"}', "stop"),
                choice(2, "sorry", "stop"),
                choice(3, '{"kql": "T1"}', "stop"),
            ]
        }
    ),
    "the first is no object": document(
        {"choices": [choice(n, t, "stop") for n, t in enumerate(["no", '{"kql": "T0"}'])]}
    ),
}


@pytest.mark.parametrize(("name", "answer"), SEVERAL.items(), ids=SEVERAL)
async def test_every_choice_is_kept(connect: Connect, name: str, answer: Says):
    double = ModelDouble(answer)
    model = await connect(double)
    structured = await model.structured(ASKED, name="query", schema=SCHEMA, limit=900)
    assert structured.data == {"kql": "T0"}
    assert structured.more == (() if "first is no" in name else ({"kql": "T1"},))
    assert "n" not in double.asked[0], "one choice is asked for"


async def test_choices_are_not_mixed_in_a_streamed_answer(connect: Connect):
    answer = chunks((0, "Two "), (1, "Three "), (0, "accounts."), (1, "hosts."))
    assert (await ask(await connect(ModelDouble(answer))))[0] == "Two accounts."


async def test_a_structured_answer_that_was_declined(connect: Connect):
    with pytest.raises(errors.AnswerFiltered):
        await ask_object(await connect(ModelDouble(whole(None, refusal="I cannot."))))


async def test_a_structured_answer_that_was_streamed_all_the_same(connect: Connect):
    assert await ask_object(await connect(ModelDouble(says('{"kql"', ':"T"}')))) == {"kql": "T"}


@pytest.mark.parametrize(
    "refusal",
    [
        fails(400, message="'response_format' of type 'json_schema' is not supported"),
        fails(422, message="json_schema: extra fields not permitted"),
        document({"error": {"message": "no", "param": "response_format.type"}}, 400),
    ],
)
async def test_a_server_without_schemas_is_told_in_words_from_then_on(
    connect: Connect, refusal: Says
):
    double = ModelDouble(refusal, whole('```\n{"kql": "T"}\n```'))
    model = await connect(double)
    assert await ask_object(model) == {"kql": "T"}
    assert await ask_object(model) == {"kql": "T"}
    assert ["response_format" in body for body in double.asked] == [True, False, False]
    last = double.asked[2]["messages"][-1]
    assert last["role"] == "system"
    assert json.dumps(SCHEMA, separators=(",", ":")) in last["content"]


@pytest.mark.parametrize("member", ["reasoning_effort", "stream_options"])
async def test_other_optional_members_are_left_out_when_not_known(connect: Connect, member: str):
    double = ModelDouble(says("Hello"))
    double.unknown = member
    model = await connect(double)
    answers = await asyncio.gather(ask(model), ask(model))
    assert [text for text, _ in answers] == ["Hello", "Hello"]
    before = len(double.asked)
    await ask(model)
    assert len(double.asked) == before + 1


async def test_a_server_that_never_takes_the_request_is_not_asked_for_ever(connect: Connect):
    double = ModelDouble(fails(400, message="response_format is not supported"))
    with pytest.raises(errors.ModelRefused):
        await ask_object(await connect(double))
    assert len(double.asked) == 2


# --- readiness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 404, 405, 429])
async def test_ping_reaches(connect: Connect, status: int):
    double = ModelDouble()
    double.models = document({"data": []}, status)
    await (await connect(double)).ping()
    assert double.asked == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.ModelRefused),
        (403, errors.ModelRefused),
        (302, errors.ModelRefused),
        (500, errors.ModelDown),
    ],
)
async def test_ping_says_what_is_wrong(
    connect: Connect, status: int, kind: type[errors.ModelError]
):
    double = ModelDouble()
    double.models = document({}, status)
    with pytest.raises(kind):
        await (await connect(double)).ping()


async def test_ping_does_not_wait_long(connect: Connect):
    double = ModelDouble()
    double.before = asyncio.Event().wait
    model = await connect(double, silence=0.2)
    with pytest.raises(errors.ModelDown):
        await model.ping()


# --- under load, other loops, logs, start --------------------------------------------------------


async def test_64_streams_at_once(connect: Connect):
    double = ModelDouble(says("Hello"))
    everyone = asyncio.Barrier(64)
    double.before = everyone.wait
    model = await connect(double)
    answers = await asyncio.gather(*[ask(model) for _ in range(64)])
    assert {text for text, _ in answers} == {"Hello"}
    assert len(double.peers) == 64


def test_on_uvloop():
    async def main() -> None:
        double = ModelDouble(sse(delta("Once"), done=False, hold=True), says("Hello"))
        async with TestServer(double.app()) as server:
            url = str(server.make_url("/openai/v1"))
            model = AzureChatModel(url, "gpt-5.4-mini", None, ImpatientClock(), silence=0.2)
            assert (await failure(model))[0] == "Once"
            assert (await ask(model))[0] == "Hello"
            await model.close()

    uvloop.run(main())


async def test_neither_question_nor_answer_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    double = ModelDouble(says("ANSWER-9"), fails(400, "odd", "the reason"), key="KEY-1")
    model = await connect(double, api_key="KEY-1")
    await ask(model)
    await failure(model)
    assert "status 400" in caplog.text and "the reason" not in caplog.text
    for private in ("SRV-SECRET-7", "ANSWER-9", "KEY-1"):
        assert private not in caplog.text


async def test_an_event_may_be_split_anywhere():
    stream = RECORDED[:900]
    stream = stream[: stream.rindex(b"\n\n") + 2]
    whole_events = await _events([stream])
    for cut in range(1, len(stream)):
        assert await _events([stream[:cut], stream[cut:]]) == whole_events


async def test_what_arrives_together_comes_together():
    chunks = [line({"a": 1}) + line({"b": 1}), b'data: {"c"', b":1}\n\ndata: [DONE]\n\n"]
    assert [events async for events in _read(chunks)] == [[{"a": 1}, {"b": 1}], [{"c": 1}]]


async def test_what_was_said_before_something_broken_is_not_lost():
    events = _read([line({"a": 1}) + b"data: {broken\n\n" + line({"b": 1})])
    assert await anext(events) == [{"a": 1}]
    with pytest.raises(Failure):
        await anext(events)


async def _read(chunks: Sequence[bytes]) -> AsyncIterator[list[Any]]:
    rest = iter(chunks)

    async def receive() -> bytes:
        return next(rest, b"")

    async for events in read_events(receive, sse=True):
        yield events


async def _events(chunks: Sequence[bytes]) -> list[Any]:
    return [event async for events in _read(chunks) for event in events]


FIRST_QUESTION = """
import asyncio, sys
from blockbuster import blockbuster_ctx
from bot.azure.openai import AzureChatModel
from bot.domain.transcript import Message
from tests.clock import ImpatientClock

async def main():
    assert "openai" not in sys.modules
    model = AzureChatModel(sys.argv[1], "gpt-5.4-mini", None, ImpatientClock())
    with blockbuster_ctx(["bot"]):
        pieces = [p async for p in model.stream([Message("user", "Hi")], limit=9)]
    await model.close()
    print(pieces[0])

asyncio.run(main())
"""


async def test_the_very_first_question_does_not_block_the_loop(aiohttp_server: Any):
    server = await aiohttp_server(ModelDouble(says("Hello")).app())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FIRST_QUESTION,
        str(server.make_url("/openai/v1/")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    out, err = await process.communicate()
    assert out.decode().strip() == "Hello", err.decode()


# --- what the service's own shields found --------------------------------------------------------


def shields(**results: object) -> dict[str, Any]:
    """The first chunk of a stream, as Azure sends it."""
    entry = {"prompt_index": 0, "content_filter_results": results}
    return {"choices": [], "model": "", "prompt_filter_results": [entry]}


@pytest.mark.parametrize(
    ("first", "struck"),
    [
        (shields(jailbreak={"filtered": False, "detected": False}), ()),
        (shields(jailbreak={"filtered": False, "detected": True}), ("jailbreak",)),
        (
            shields(indirect_attack={"filtered": False, "detected": True}, jailbreak={}),
            ("indirect_attack",),
        ),
        (shields(hate={"filtered": False, "severity": "low"}, jailbreak="?"), ()),
        ({"choices": [], "prompt_filter_results": [None, {"content_filter_results": []}]}, ()),
        ({"choices": [], "prompt_filter_results": {}}, ()),
    ],
)
async def test_what_prompt_shields_found_comes_with_the_cost(
    connect: Connect, first: dict[str, Any], struck: tuple[str, ...]
):
    double = ModelDouble(sse(first, delta("Yes."), delta(finish="stop"), usage()))
    _, cost = await ask(await connect(double))
    assert cost.shields == struck and cost.prompt_tokens == 20


async def test_prompt_shields_are_told_without_a_stream_too(connect: Connect):
    found = shields(jailbreak={"filtered": False, "detected": True})["prompt_filter_results"]
    choice = {"message": {"role": "assistant", "content": '{"kql": "T"}'}, "finish_reason": "stop"}
    double = ModelDouble(document({**usage(), "choices": [choice], "prompt_filter_results": found}))
    model = await connect(double)
    answer = await model.structured(ASKED, name="kql", schema=SCHEMA, limit=900)
    assert answer.usage.shields == ("jailbreak",)
