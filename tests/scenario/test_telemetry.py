"""What an operator is told: a turn's spans and metrics as a receiver of OTLP gets them."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bot.errors import IncidentNotFound, ModelDown, Stopped
from bot.ports import Claim
from bot.teams.failing import sentence
from bot.traced import Told
from tests.clock import FakeClock
from tests.scenario.announcing import about, arrives, hook, subscribed
from tests.scenario.conftest import Soc, running
from tests.teams_double import Refusal

GAUGES = ("casemate.claims.open", "casemate.claims.oldest_age", "casemate.outbox.depth")


class Receiver:
    """Takes OTLP over HTTP and keeps what came, raw and read."""

    def __init__(self) -> None:
        self.raw = b""
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.services: set[str] = set()
        self.app = web.Application()
        self.app.router.add_post("/v1/traces", self.traces)
        self.app.router.add_post("/v1/metrics", self.measured)

    async def _body(self, request: web.Request) -> bytes:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        self.raw += body
        return body

    async def traces(self, request: web.Request) -> web.Response:
        got = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in got.resource_spans:
            self.services |= {
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()

    async def measured(self, request: web.Request) -> web.Response:
        got = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in got.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope.metrics}
        return web.Response()

    def span(self, name: str) -> Any:
        return next(each for each in self.spans if each.name == name)


def told(span: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch):
    receiver = Receiver()
    server = TestServer(receiver.app)
    await server.start_server()
    # The SDK reads its own variables from the process.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(server.make_url("")).rstrip("/"))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "casemate-of-contoso")
    yield receiver
    await server.close()


PRICES = '{"input":1,"cached":0.1,"output":2}'


async def a_turn(receiver: Receiver, folder: Path, said: str, **settings: str) -> tuple[Soc, str]:
    bot = running(
        FakeClock(),
        folder,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        MODEL_PRICES=PRICES,
        **settings,
    )
    async with bot as soc:
        answer = await soc.chat().ask(said)
    return soc, answer.text


async def test_a_turn_is_a_trace_with_what_it_asked_as_its_parts(
    receiver: Receiver, tmp_path: Path
) -> None:
    _, answer = await a_turn(receiver, tmp_path, "what happened in incident 3177?")
    turn = receiver.span("turn")
    parts = {span.name: span for span in receiver.spans if span.trace_id == turn.trace_id}
    assert turn.parent_span_id == b"" and receiver.services == {"casemate-of-contoso"}
    for name in ("sentinel.find", "sentinel.alerts", "store.commit", "chat sandbox"):
        assert parts[name].parent_span_id == turn.span_id, name
    request = next(s for s in receiver.spans if s.parent_span_id == parts["sentinel.find"].span_id)
    assert request.name == "GET" and told(request)["http.response.status_code"] == 200
    assert told(turn)["casemate.turn.outcome"] == "ok"
    assert told(turn)["casemate.turn.kind"] == "message"
    model = told(parts["chat sandbox"])
    assert model["gen_ai.usage.input_tokens"] > 100 and model["gen_ai.usage.output_tokens"] > 10
    assert model["gen_ai.response.time_to_first_chunk"] > 0

    names = (*GAUGES, "casemate.turn.duration", "casemate.call.duration", "casemate.model.cost")
    names += ("casemate.turn.time_to_first_text", "gen_ai.client.token.usage")
    names += ("casemate.model.cached_tokens", "gen_ai.client.operation.duration")
    names += ("http.client.request.duration",)
    assert {*names} <= {*receiver.metrics}

    assert len(answer) > 100
    for text in (answer[:40], "what happened", "lena.fischer", "Ana Analyst", "55555555-5555"):
        assert text.encode() not in receiver.raw, text


async def test_what_an_analyst_can_mend_is_no_failure_and_a_service_that_is_down_is(
    receiver: Receiver, tmp_path: Path
) -> None:
    await a_turn(receiver, tmp_path, "incident 99999")
    assert told(receiver.span("turn"))["error.type"] == "IncidentNotFound"
    assert told(receiver.span("turn"))["casemate.turn.outcome"] == "told"
    receiver.spans.clear()
    await a_turn(receiver, tmp_path, "incident 3177", ARM_ENDPOINT="http://127.0.0.1:1")
    assert told(receiver.span("turn"))["casemate.turn.outcome"] == "failed"
    assert receiver.span("turn").status.code == 2


async def test_the_first_text_is_what_teams_took_however_early_the_model_wrote(
    receiver: Receiver, tmp_path: Path
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    async with running(FakeClock(), tmp_path, **settings) as soc:
        soc.teams.refusals.append(Refusal(429, times=4, containing='"streamType": "streaming"'))
        await soc.chat().ask("what happened in incident 3177?")
    assert told(receiver.span("turn"))["casemate.turn.time_to_first_text"] > 4
    assert told(receiver.span("chat sandbox"))["gen_ai.response.time_to_first_chunk"] < 4


async def test_a_click_is_a_turn_and_an_announcement_a_trace(
    receiver: Receiver, tmp_path: Path
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    async with running(FakeClock(), tmp_path, **settings) as soc:
        chat = soc.chat()
        answer = await chat.ask("what happened in incident 3177?")
        await chat.click(answer, "Add as comment")
        group = await subscribed(soc)
        await hook(soc, arrives(soc, 5001))
        await soc.until(lambda: about(group, 5001))
    [click] = [s for s in receiver.spans if told(s).get("casemate.turn.kind") == "invoke"]
    assert (click.name, told(click)["casemate.turn.outcome"]) == ("turn", "ok")
    within = {span.name for span in receiver.spans if span.trace_id == click.trace_id}
    assert {"sentinel.add_comment", "PUT", "store.end_write"} <= within
    announce = receiver.span("announce")
    assert announce.parent_span_id == b""
    assert told(announce)["casemate.announce.outcome"] == "ok"
    within = {span.name for span in receiver.spans if span.trace_id == announce.trace_id}
    assert {"sentinel.get", "POST", "outbox.sent"} <= within
    assert "casemate.announce.duration" in receiver.metrics


@pytest.mark.parametrize(
    ("error", "outcome", "bad"),
    [
        (IncidentNotFound("no such incident"), "told", False),
        (Stopped("stop"), "stopped", False),
        (asyncio.CancelledError(), "stopped", False),
        (TimeoutError(), "timeout", True),
        (ModelDown("down"), "failed", True),
        (KeyError("a bug"), "failed", True),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, BaseException) else "",
)
async def test_how_a_turn_ended(error: BaseException, outcome: str, bad: bool) -> None:
    spans = InMemorySpanExporter()
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(spans))
    told = Told(traces.get_tracer("test"), MeterProvider(shutdown_on_exit=False).get_meter("test"))

    async def work(claim: Claim) -> str:
        if isinstance(error, Exception):
            return sentence(error, slow="slow", unexpected="unexpected")
        raise error

    claim = Claim("a:chat/1", "a:chat", {"type": "message"}, FakeClock().now())
    with suppress(asyncio.CancelledError):
        await told.turn(work)(claim)
    [span] = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["casemate.turn.outcome"] == outcome
    assert span.attributes["error.type"] == type(error).__name__
    assert span.status.is_ok is not bad


def test_where_nothing_is_configured_nothing_is_imported() -> None:
    code = (
        "import asyncio, sys, contextlib, app\n"
        "from bot.settings import Settings\n"
        "g = '0b0c2a3e-1d2f-4a5b-8c6d-7e8f90a1b2c3'\n"
        "async def main():\n"
        "    it = await app.application(Settings.from_env({\n"
        "        'AZURE_OPENAI_BASE_URL': 'http://127.0.0.1:1/v1/', 'STORE_URL': 'sqlite://',\n"
        "        'SENTINEL_SUBSCRIPTION_ID': g, 'SENTINEL_RESOURCE_GROUP': 'a',\n"
        "        'SENTINEL_WORKSPACE': 'a', 'SENTINEL_WORKSPACE_ID': g, 'KQL_CHECKERS': '0',\n"
        "        'STORE_URL': 'sqlite:///' + sys.argv[1]}))\n"
        "    await it.cleanup()\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'opentelemetry'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ":memory:"], capture_output=True, text=True, timeout=50
    )
    assert done.stdout.strip() == "[]", done.stderr


async def test_application_insights_gets_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "azure.monitor.opentelemetry.exporter", reason="requirements-azure-monitor.in"
    )
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    monkeypatch.setenv("APPLICATIONINSIGHTS_SDKSTATS_DISABLED", "true")
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED", "true")
    raw = bytearray()

    async def track(request: web.Request) -> web.Response:
        raw.extend(await request.read())  # aiohttp has unpacked it
        return web.json_response({"itemsReceived": 1, "itemsAccepted": 1, "errors": []})

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{path:.*}", track)
    server = TestServer(app)
    await server.start_server()
    key = "InstrumentationKey=0b0c2a3e-1d2f-4a5b-8c6d-7e8f90a1b2c3"
    connection = f"{key};IngestionEndpoint={server.make_url('')}"
    bot = running(FakeClock(), tmp_path, APPLICATIONINSIGHTS_CONNECTION_STRING=connection)
    async with bot as soc:
        answer = await soc.chat().ask("what happened in incident 3177?")
    await server.close()
    for name in ("turn", "chat sandbox", "casemate.claims.oldest_age"):
        assert f'"{name}"'.encode() in raw, name
    for text in (answer.text[:40], "what happened", "Ana Analyst"):
        assert text.encode() not in raw, text
