import asyncio
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.wire import NEVER, Answer, Retries, Unreachable, request, retry_after
from tests.clock import FakeClock, ImpatientClock

PATIENT = Retries(statuses=(429, 503), attempts=4, first_wait=1, longest_wait=10, total_wait=30)


class Service:
    """Answers with (status, headers, body) in turn, the last one for ever; None hangs up."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes] | None] = [(200, {}, b"{}")]
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.gate: asyncio.Event | None = None

    async def serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, dict(request.headers), await request.read()))
        if self.gate:
            await self.gate.wait()
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said is None:
            assert request.transport
            request.transport.abort()
            return web.Response()
        status, headers, body = said
        return web.Response(status=status, headers=headers, body=body)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.serve)
    async with TestServer(app) as server:
        yield str(server.make_url("/x"))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> ImpatientClock:
    return ImpatientClock()


async def test_json_goes_out_and_comes_back(session, url, service, clock):
    service.answers = [(201, {"X-A": "b"}, b'{"a": [1]}')]
    answer = await request(session, "PUT", url, clock=clock, json={"q": "ä"}, headers={"X-H": "1"})
    assert (answer.status, answer.headers["x-a"], answer.json) == (201, "b", {"a": [1]})
    [(method, headers, body)] = service.requests
    assert (method, headers["X-H"], headers["Content-Type"]) == ("PUT", "1", "application/json")
    assert orjson.loads(body) == {"q": "ä"}


async def test_without_a_body_no_content_type_is_claimed(session, url, service, clock):
    await request(session, "POST", url, clock=clock)
    [(_, headers, body)] = service.requests
    assert (headers.get("Content-Type", ""), headers["Content-Length"], body) != ("", "0", b"{}")
    assert "json" not in headers.get("Content-Type", "")


async def test_a_redirect_is_an_answer_and_not_followed(session, url, service, clock):
    service.answers = [(307, {"Location": "http://127.0.0.1:1/"}, b"")]
    answer = await request(session, "GET", url, clock=clock, headers={"Authorization": "Bearer t"})
    assert (answer.status, len(service.requests)) == (307, 1)


# --- trying again --------------------------------------------------------------------------------


async def test_what_is_not_worth_another_try_comes_back_at_once(session, url, service, clock):
    for status in (200, 400, 404, 500):
        service.answers = [(status, {}, b"")]
        answer = await request(session, "GET", url, clock=clock, retries=PATIENT)
        assert answer.status == status
    assert clock.slept == []


async def test_without_being_told_nothing_is_tried_again(session, url, service, clock):
    service.answers = [(503, {}, b"")]
    assert (await request(session, "GET", url, clock=clock)).status == 503
    service.answers = [None]
    with pytest.raises(Unreachable):
        await request(session, "POST", url, clock=clock, retries=NEVER)
    assert (len(service.requests), clock.slept) == (2, [])


async def test_it_waits_as_the_service_asks(session, url, service, clock):
    service.answers = [
        (429, {"Retry-After": "7"}, b""),
        (503, {"retry-after-ms": "1500", "Retry-After": "9"}, b""),
        (200, {}, b""),
    ]
    assert (await request(session, "GET", url, clock=clock, retries=PATIENT)).status == 200
    assert clock.slept == [7, 1.5]


async def test_unasked_the_waits_grow_and_are_jittered(session, url, service, clock):
    service.answers = [(503, {}, b"last")]
    answer = await request(session, "GET", url, clock=clock, retries=PATIENT)
    assert (answer.body, len(service.requests)) == (b"last", 4)
    for waited, usual in zip(clock.slept, (1, 2, 4), strict=True):
        assert 0.75 * usual <= waited <= 1.5 * usual


@pytest.mark.parametrize("asked", ["11", "86400"])
async def test_a_wait_longer_than_allowed_is_left_to_the_caller(
    session, url, service, clock, asked
):
    service.answers = [(429, {"Retry-After": asked}, b"")]
    answer = await request(session, "GET", url, clock=clock, retries=PATIENT)
    assert (answer.status, retry_after(answer.headers)) == (429, float(asked))
    assert clock.slept == []


async def test_the_waits_together_stay_within_the_total(session, url, service, clock):
    service.answers = [(429, {"Retry-After": "8"}, b"")]
    patience = Retries(statuses=(429,), attempts=9, total_wait=20)
    await request(session, "GET", url, clock=clock, retries=patience)
    assert clock.slept == [8, 8]


async def test_slow_attempts_count_towards_the_total(session, url, service):
    clock = FakeClock()
    service.gate = asyncio.Event()
    service.answers = [(503, {"Retry-After": "1"}, b"")]
    asking = asyncio.create_task(request(session, "GET", url, clock=clock, retries=PATIENT))
    await clock.advance(31)
    service.gate.set()
    assert (await asking).status == 503
    assert (clock.slept, len(service.requests)) == ([], 1)


async def test_a_lost_connection_is_tried_again(session, url, service, clock):
    service.answers = [None, (200, {}, b"{}")]
    answer = await request(session, "POST", url, clock=clock, json={}, retries=PATIENT)
    assert (answer.status, len(clock.slept)) == (200, 1)


async def test_a_lost_connection_is_not_tried_again_where_that_could_repeat_a_write(
    session, url, service, clock
):
    service.answers = [None]
    once = Retries(statuses=(429,), connection_errors=False)
    with pytest.raises(Unreachable):
        await request(session, "POST", url, clock=clock, json={}, retries=once)
    assert len(service.requests) == 1


async def test_a_service_that_is_not_there_is_unreachable(session, clock, unused_tcp_port):
    at = f"http://127.0.0.1:{unused_tcp_port}/"
    with pytest.raises(Unreachable):
        await request(session, "GET", at, clock=clock, retries=PATIENT)
    assert len(clock.slept) == 3
    impatient = Retries(statuses=(), first_wait=100)
    with pytest.raises(Unreachable, match="within the time"):
        await request(session, "GET", at, clock=clock, retries=impatient)


async def test_a_silent_service_is_unreachable(session, url, service, clock):
    service.gate = asyncio.Event()
    with pytest.raises(Unreachable):
        await request(session, "GET", url, clock=clock, timeout=0.05)
    service.gate.set()


async def test_an_answer_without_end_is_not_read_to_its_end(session, url, service, clock):
    service.answers = [(200, {}, bytes(33 * 1024 * 1024))]
    with pytest.raises(Unreachable, match="too large"):
        await request(session, "GET", url, clock=clock, retries=PATIENT)


# --- what a service says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "x", "Retry-After": "2"}, 2.0),
    ],
)
def test_how_long_a_service_asks_to_wait(headers, seconds):
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": {"code": "Conflict", "message": "New version"}}', ("Conflict", "New version")),
        (b'{"code": "A", "message": "B"}', ("A", "B")),
        (b'{"errorCode": 209, "message": "B"}', ("209", "B")),
        (b'{"error": {"subCode": "MessageWritesBlocked"}}', ("MessageWritesBlocked", "")),
        (
            b'{"error": "invalid_client", "error_description": "AADSTS1: no"}',
            ("invalid_client", "AADSTS1: no"),
        ),
        (b'{"error": "text"}', ("text", "text")),
        (b'{"error": null}', ("", "")),
        (b'{"error": [1]}', ("", "")),
        (b'{"error": {"code": null, "message": null}}', ("", "")),
        (b"[]", ("", "")),
        (b"<html>", ("", "")),
        (b"", ("", "")),
    ],
)
def test_a_services_own_error_is_read_in_each_known_shape(body, error):
    assert Answer(400, {}, body).error == error


def test_a_services_own_error_is_capped():
    code, message = Answer(400, {}, orjson.dumps({"code": "c" * 999, "message": "m" * 999})).error
    assert (len(code), len(message)) == (100, 500)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5000])
def test_what_is_not_json_is_none(body):
    assert Answer(200, {}, body).json is None
