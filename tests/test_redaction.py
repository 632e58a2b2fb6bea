"""No token and no secret is in a log line, wherever in a record it stands."""

import base64
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bot import redaction
from bot.redaction import GONE, redacted

PARTS = [base64.urlsafe_b64encode(json.dumps({"oid": "x" * 36}).encode()).decode().strip("=")] * 2
JWT = ".".join([*PARTS, "c2lnbmF0dXJl"])
JWE = ".".join([*PARTS, "a1", "b2", "c3"])
SECRET = "Zq8~w.V7rXn1-secret_of_the_bot"


@pytest.mark.parametrize(
    ("before", "secret", "after"),
    [
        ("Authorization: Bearer ", JWT, ""),
        ("{'Authorization': 'Bearer ", "opaque-token-0123456789", "'}"),
        ("authorization=basic ", "dXNlcjpwYXNzd29yZA==", ""),
        ("the token ", JWT, " was refused"),
        ("the token '", JWE, "'"),
        ("GET https://acc.blob.core.windows.net/x?sv=2024&", f"sig={SECRET}%3D", "&se=2026"),
        ("https://prod.logic.azure.com/x?sp=%2Ftriggers&", f"sig={SECRET}", ""),
        ("grant_type=client_credentials&client_secret=", SECRET, "&scope=x"),
        ("client_assertion=", JWT, "&x=1"),
        ('{"client_secret": "', SECRET, '"}'),
        ("{'api-key': '", SECRET, "'}"),
        ("<CIMultiDict('api-key': '", SECRET, "', 'Accept': '*/*')>"),
        ("Ocp-Apim x-api-key: ", SECRET, ""),
        ("AZURE_OPENAI_API_KEY=", SECRET, ""),
        ("BOT_APP_PASSWORD=", SECRET, ""),
        ("AccountEndpoint=https://x/;AccountKey=", "abcd1234==", ";"),
        ("SharedAccessSignature ", "sr=x&sig=y%2Bz&se=1", ""),
        ('{"access_token":"', "opaque-0123456789", '","expires_in":3599}'),
        ('"refreshToken": "', "0.ARoAv4j5cvGGr0GRqy180BHbR", '"'),
        ("/api/usertoken/GetToken?userId=29:x&code=", "483920", "&channelId=msteams"),
    ],
)
def test_what_is_secret_is_gone_and_the_rest_stays(before: str, secret: str, after: str) -> None:
    said = redacted(before + secret + after)
    value = secret.removeprefix("sig=")
    assert value not in said and GONE in said
    assert said.startswith(before) and said.endswith(after)


@pytest.mark.parametrize(
    "line",
    [
        "listening on http://127.0.0.1:3978",
        "answered with SentinelForbidden: The role Sentinel Reader is missing (code 403).",
        "the token service refuses (status 404, NotFound)",
        "signal=15 design: done, bearer of news",
        "1,234 prompt tokens; the password spray of incident 3175",
        "https://portal.azure.com/#view/x?code",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redacted(line) == line


@pytest.mark.parametrize("line", ["eyJ" + "a" * 200_000, "bearer " * 30_000, "sig=" * 50_000])
def test_a_long_line_takes_no_time(line: str) -> None:
    began = time.perf_counter()
    redacted(line)
    assert time.perf_counter() - began < 2.0


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger below the root, and what the root's handler writes of it."""
    written, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(written)
    handler.setFormatter(
        logging.Formatter("%(levelname)s %(message)s %(request)s", defaults={"request": ""})
    )
    root.addHandler(handler)
    redaction.install()
    yield logging.getLogger("a.library.of.somebody"), written
    root.removeHandler(handler)
    for each in root.handlers:
        each.filters = [one for one in each.filters if not isinstance(one, redaction.Redacting)]


class Failed(Exception):
    """What a library raises, with its request in it."""


def fail() -> None:
    try:
        raise Failed(f"401 for client_secret={SECRET}")
    except Failed as error:
        raise ValueError(f"sent Bearer {JWT}") from error


LINES: dict[str, dict[str, Any]] = {
    "message": {"msg": f"sent Bearer {JWT}"},
    "arguments": {"msg": "sent %s to %d", "args": (f"Bearer {JWT}", 3)},
    "named arguments": {"msg": "sent %(what)s", "args": ({"what": f"Bearer {JWT}"},)},
    "an object": {"msg": {"api-key": SECRET, "sent": f"Bearer {JWT}"}},
    "an object as an argument": {"msg": "%r", "args": ([f"client_secret={SECRET}"],)},
    "arguments that do not fit": {"msg": f"%d Bearer {JWT}", "args": ("many",)},
    "extra": {"msg": "a request", "extra": {"request": {"api-key": SECRET}}},
    "extra text": {"msg": "a request", "extra": {"request": f"Bearer {JWT}"}},
}


@pytest.mark.parametrize("where", LINES)
def test_no_part_of_a_record_shows_a_secret(where: str, log) -> None:  # type: ignore[no-untyped-def]
    logger, written = log
    line = dict(LINES[where])
    logger.warning(line.pop("msg"), *line.pop("args", ()), **line)
    said = written.getvalue()
    assert said.startswith("WARNING ") and GONE in said
    assert JWT not in said and SECRET not in said


def test_nor_do_an_exception_its_cause_and_a_stack(log) -> None:  # type: ignore[no-untyped-def]
    logger, written = log
    try:
        fail()
    except ValueError:
        logger.exception("a turn failed", stack_info=True)
    said = written.getvalue()
    assert "Traceback" in said and "Failed" in said and "ValueError" in said and "Stack" in said
    assert JWT not in said and SECRET not in said
    assert said.count(GONE) >= 2
