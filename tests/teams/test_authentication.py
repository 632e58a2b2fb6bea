"""Who may post an activity, over HTTP at the whole application with an identity of its own.

The rows are those of the platform facts, 6.2: what the SDK accepted or answered with a 500.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest

from bot.teams.activity import service_url_allowed
from tests.clock import FakeClock
from tests.teams.conftest import ANALYST, Edges, Start, bearer, kept, refused
from tests.teams.identity_provider import (
    APP_ID,
    ISSUER,
    TENANT,
    IdentityProvider,
    encode_unsigned,
    jwk,
    private_key,
    public_pem,
)

OTHER_TENANT = "99999999-9999-4999-8999-999999999999"
EVIL = "https://evil.example/"


async def test_a_good_token_gets_an_answer_and_no_token_in_the_clear(
    bot: Edges, issuer: IdentityProvider
) -> None:
    token = issuer.token(bot.service_url)
    status, body, _ = await bot.post(bot.activity(), bearer(token))
    assert (status, body) == (202, None)
    await bot.until(lambda: bot.messages)
    assert "Sentinel" in bot.messages[0].text
    assert bot.teams.tokens == [""]
    assert bot.teams.violations == []


async def test_the_scheme_is_read_in_any_case(bot: Edges, issuer: IdentityProvider) -> None:
    headers = {"Authorization": f"bearer {issuer.token(bot.service_url)}"}
    status, _, _ = await bot.post(bot.activity(), headers)
    assert status == 202


async def test_a_token_within_five_minutes_of_its_end_is_good(
    bot: Edges, issuer: IdentityProvider
) -> None:
    token = issuer.token(bot.service_url, exp=int(time.time()) - 240)
    status, _, _ = await bot.post(bot.activity(), bearer(token))
    assert status == 202


def _tampered(issuer: IdentityProvider, url: str) -> str:
    head, claims, signature = issuer.token(url).split(".")
    return f"{head}.{claims}.{signature[:-6]}AAAAAA"


def _other_claims(issuer: IdentityProvider, url: str) -> str:
    head, _, signature = issuer.token(url).split(".")
    _, claims, _ = issuer.token(url, exp=int(time.time()) + 9999).split(".")
    return f"{head}.{claims}.{signature}"


def _hs256_with_the_public_key(issuer: IdentityProvider, url: str) -> str:
    # By hand: PyJWT will not sign with a PEM as the secret.
    unsigned = encode_unsigned(
        {"alg": "HS256", "typ": "JWT", "kid": "first"}, issuer.claims(url)
    ).rpartition(".")[0]
    signature = hmac.digest(public_pem("first"), unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"


def _reflected(issuer: IdentityProvider, url: str) -> str:
    """The bot's own token for the connector, sent back to it."""
    return issuer.token(
        url,
        iss="https://sts.windows.net/d6d49420-f39b-4df7-a1dc-d59a935871db/",
        aud=ISSUER,
        appid=APP_ID,
        ver="1.0",
    )


TOKENS: dict[str, Callable[[IdentityProvider, str], str]] = {
    "expired": lambda p, url: p.token(url, exp=int(time.time()) - 400),
    "not yet valid": lambda p, url: p.token(url, nbf=int(time.time()) + 400),
    "issued in the future": lambda p, url: p.token(url, iat=int(time.time()) + 9000),
    "no exp": lambda p, url: p.token(url, exp=None),
    "exp is text": lambda p, url: p.token(url, exp="tomorrow"),
    "bad signature": _tampered,
    "claims of another token": _other_claims,
    "signed with another key": lambda p, url: p.token(url, key="stranger", header={"kid": "first"}),
    "no iss": lambda p, url: p.token(url, iss=None),
    "iss is a list": lambda p, url: encode_signed(p, url, iss=[ISSUER]),
    "iss with a slash": lambda p, url: p.token(url, iss=f"{ISSUER}/"),
    "AAD v1 of our tenant": lambda p, url: p.token(url, iss=f"https://sts.windows.net/{TENANT}/"),
    "AAD v2 of our tenant": lambda p, url: p.token(
        url, iss=f"https://login.microsoftonline.com/{TENANT}/v2.0", ver="2.0", azp=APP_ID
    ),
    "emulator": lambda p, url: p.token(
        url,
        iss="https://login.microsoftonline.com/f8cdef31-a31e-4b4a-93e4-5f571e91255a/v2.0",
        ver="2.0",
        azp=APP_ID,
    ),
    "our own token, reflected": _reflected,
    "our own token, of our tenant": lambda p, url: p.token(
        url, iss=f"https://sts.windows.net/{TENANT}/", aud=ISSUER, appid=APP_ID
    ),
    "alg none": lambda p, url: encode_unsigned({"alg": "none", "kid": "first"}, p.claims(url)),
    "alg NONE": lambda p, url: encode_unsigned({"alg": "NONE", "kid": "first"}, p.claims(url)),
    "no alg": lambda p, url: encode_unsigned({"typ": "JWT", "kid": "first"}, p.claims(url)),
    "HS256 with the public key": _hs256_with_the_public_key,
    "RS512": lambda p, url: p.token(url, algorithm="RS512"),
    "PS256": lambda p, url: p.token(url, algorithm="PS256"),
    "aud of another bot": lambda p, url: p.token(url, aud=OTHER_TENANT),
    "aud is the connector": lambda p, url: p.token(url, aud=ISSUER),
    "aud is a list with us in it": lambda p, url: p.token(url, aud=[APP_ID, OTHER_TENANT]),
    "no aud": lambda p, url: p.token(url, aud=None),
    "unknown kid": lambda p, url: p.token(url, header={"kid": "unheard-of"}),
    "no kid": lambda p, url: p.token(url, header={"kid": None}),
    "kid is a number": lambda p, url: encode_unsigned({"alg": "RS256", "kid": 7}, p.claims(url)),
    "kid is empty": lambda p, url: p.token(url, header={"kid": ""}),
    "a key in the header": lambda p, url: p.token(
        url, key="stranger", header={"jwk": jwk("stranger"), "jku": f"{p.url}/keys"}
    ),
    "a critical extension": lambda p, url: p.token(url, header={"crit": ["b64"], "b64": True}),
    "serviceurl missing": lambda p, url: p.token(url, serviceurl=None),
    "serviceurl of another host": lambda p, url: p.token("https://smba.trafficmanager.net/emea/"),
    "serviceurl without the slash": lambda p, url: p.token(url.rstrip("/")),
    "serviceurl in a list": lambda p, url: p.token(url, serviceurl=[url]),
    "not a token": lambda p, url: "hello",
    "two parts": lambda p, url: "e30.e30",
    "five parts": lambda p, url: f"{p.token(url)}.a.b",
    "not base64": lambda p, url: "%%%.%%%.%%%",
    "a header that is a list": lambda p, url: "W10.e30.AAAA",
    "claims that are a list": lambda p, url: jwt.api_jws.encode(
        b"[]", private_key("first"), "RS256", headers={"kid": "first"}
    ),
    "as long as a header can be": lambda p, url: p.token(url, exp=1, padding="x" * 5_000),
}


def encode_signed(issuer: IdentityProvider, url: str, **changes: Any) -> str:
    """Sign claims that `jwt.encode` itself would refuse."""
    claims = orjson.dumps({**issuer.claims(url), **changes})
    return jwt.api_jws.encode(claims, private_key("first"), "RS256", headers={"kid": "first"})


Row = tuple[str, Callable[[IdentityProvider, str], str], dict[str, Any] | bytes, int]


def _good(issuer: IdentityProvider, url: str) -> str:
    return issuer.token(url)


# The platform facts, 6.2, row by row: what was posted to the SDK, and what is answered here.
FACTS: list[Row] = [
    ("expired", TOKENS["expired"], {}, 401),
    ("bad signature", _tampered, {}, 401),
    ("malformed", TOKENS["not a token"], {}, 401),
    ("no iss", TOKENS["no iss"], {}, 401),
    ("alg none", TOKENS["alg none"], {}, 401),
    ("alg HS256", _hs256_with_the_public_key, {}, 401),
    ("bad endorsement", lambda p, url: p.token(url, key="webchat"), {}, 401),
    ("bad JSON", _good, b"{", 400),
    ("a JSON list", _good, b"[]", 400),
    ("no exp", TOKENS["no exp"], {}, 401),
    ("unknown kid", TOKENS["unknown kid"], {}, 401),
    ("no kid", TOKENS["no kid"], {}, 401),
    ("a key of after the rotation", lambda p, url: p.token(url, key="rotated"), {}, 202),
    ("a key of before the rotation", lambda p, url: p.token(url, key="retired"), {}, 401),
    ("no serviceUrl", _good, {"serviceUrl": None}, 400),
    ("no serviceUrl, a claim of another", lambda p, _: p.token(EVIL), {"serviceUrl": None}, 400),
    ("a serviceUrl that is not the claim's", _good, {"serviceUrl": EVIL}, 401),
    ("no channelId", _good, {"channelId": None}, 400),
    # Tokens carry no nonce. What is repeated is known by the activity's id, not the token.
    ("another type, with a token seen before", _good, {"type": "typing"}, 202),
    ("our own outbound token, to another host", _reflected, {"serviceUrl": EVIL}, 401),
    ("our own outbound token, to ours", _reflected, {}, 401),
    ("a token of our own tenant for us", TOKENS["our own token, of our tenant"], {}, 401),
    ("the emulator's issuer", TOKENS["emulator"], {}, 401),
]


@pytest.mark.parametrize("row", FACTS, ids=lambda row: row[0])
async def test_every_row_of_the_facts(bot: Edges, issuer: IdentityProvider, row: Row) -> None:
    _, token, changes, status = row
    issuer.keys = [jwk("first"), jwk("retired")]
    before = bearer(issuer.token(bot.service_url))
    assert (await bot.post(bot.activity(), before))[0] == 202  # the keys are known from here on
    issuer.keys = [jwk("first"), jwk("rotated"), jwk("webchat", endorsements=["webchat"])]
    await bot.clock.advance(10)
    unheard = bearer(issuer.token(bot.service_url, header={"kid": "unheard-of"}))
    assert (await bot.post(bot.activity(), unheard))[0] == 401  # which has them read again
    headers = bearer(token(issuer, bot.service_url))
    posted = {"data": changes} if isinstance(changes, bytes) else {"json": bot.activity(**changes)}
    got, body, _ = await bot.post(headers=headers, **posted)
    assert got == status
    assert body is None if status == 202 else list(body) == ["error"]


@pytest.mark.parametrize("case", TOKENS)
async def test_a_token_that_is_not_the_channels_is_refused(
    bot: Edges, issuer: IdentityProvider, case: str
) -> None:
    await refused(bot, 401, bearer(TOKENS[case](issuer, bot.service_url)))


async def test_a_token_longer_than_a_header_may_be(bot: Edges, issuer: IdentityProvider) -> None:
    token = issuer.token(bot.service_url, padding="x" * 20_000)
    url = f"{bot.url}/api/messages"
    async with bot.http.post(url, json=bot.activity(), headers=bearer(token)) as response:
        assert response.status == 400
    assert kept(bot) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "bearer\tx"},
    ],
    ids=str,
)
async def test_without_a_bearer_token_nothing_is_accepted(
    bot: Edges, headers: dict[str, str]
) -> None:
    await refused(bot, 401, headers)


@pytest.mark.parametrize("field", ["serviceUrl", "channelId"])
async def test_an_activity_without_what_the_token_speaks_of_is_refused(
    bot: Edges, issuer: IdentityProvider, field: str
) -> None:
    await refused(bot, 400, bearer(issuer.token(bot.service_url)), **{field: None})


async def test_a_key_that_may_not_sign_for_teams(bot: Edges, issuer: IdentityProvider) -> None:
    issuer.keys = [jwk("first", endorsements=["webchat"])]
    await refused(bot, 401, bearer(issuer.token(bot.service_url)))


async def test_another_channel_than_teams(bot: Edges, issuer: IdentityProvider) -> None:
    await refused(bot, 403, bearer(issuer.token(bot.service_url)), channelId="webchat")


async def test_a_stranger_learns_nothing_about_a_bad_body(bot: Edges) -> None:
    status, body, _ = await bot.post(data=b"{")
    assert (status, body) == (401, {"error": "A bearer token is needed."})


async def test_a_repeat_with_another_type_is_another_matter_of_the_same_token(
    bot: Edges, issuer: IdentityProvider
) -> None:
    """Tokens carry no nonce: a repeat of the activity is what the claim's key recognises."""
    headers = bearer(issuer.token(bot.service_url))
    body = bot.activity(id="twice")
    assert [(await bot.post(body, headers))[0] for _ in range(3)] == [202, 202, 202]
    await bot.until(lambda: bot.messages)
    await bot.settled()
    assert len(bot.messages) == 1


# keys


async def test_a_rotated_key_works_within_ten_seconds(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock
) -> None:
    assert (await bot.post(bot.activity(), bearer(issuer.token(bot.service_url))))[0] == 202
    issuer.keys = [jwk("second")]
    rotated = bearer(issuer.token(bot.service_url, key="second"))
    before = clock.monotonic()
    while (await bot.post(bot.activity(), rotated))[0] != 202:
        await clock.advance(1)
    assert clock.monotonic() - before <= 10
    # What the issuer no longer publishes no longer counts.
    assert (await bot.post(bot.activity(), bearer(issuer.token(bot.service_url))))[0] == 401


async def test_unknown_key_ids_cause_few_fetches(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock
) -> None:
    for number in range(200):
        token = issuer.token(bot.service_url, header={"kid": f"made-up-{number}"})
        assert (await bot.post(bot.activity(), bearer(token)))[0] == 401
        await clock.advance(0.05)
    assert issuer.fetched["metadata"] <= 3
    assert (await bot.post(bot.activity(), bearer(issuer.token(bot.service_url))))[0] == 202


async def test_known_keys_are_fetched_once_in_half_a_day(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock
) -> None:
    headers = bearer(issuer.token(bot.service_url))
    for _ in range(11):
        assert (await bot.post(bot.activity(), headers))[0] == 202
        await clock.advance(3600)
    assert issuer.fetched["keys"] == 1
    await clock.advance(2 * 3600)
    assert (await bot.post(bot.activity(), headers))[0] == 202
    assert issuer.fetched["keys"] == 2


async def test_old_keys_serve_on_while_the_issuer_is_down(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock
) -> None:
    headers = bearer(issuer.token(bot.service_url))
    assert (await bot.post(bot.activity(), headers))[0] == 202
    issuer.status = 500
    await clock.advance(13 * 3600)
    assert (await bot.post(bot.activity(), headers))[0] == 202


BROKEN: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "404": {"status": 404},
    "redirect": {"status": 302},
    "not JSON": {"body": b"<html>"},
    "a list": {"body": b"[]"},
    "no jwks_uri": {"body": b"{}"},
    "jwks_uri in the clear elsewhere": {"jwks_uri": "http://keys.example/keys"},
    "jwks_uri that is a file": {"jwks_uri": "file:///etc/passwd"},
    "no keys": {"keys": []},
    "keys are not a list": {"keys": {"first": 1}},
    "keys are a number": {"keys": 7},
    "keys are junk": {"keys": [None, 3, {}, {"kty": "RSA"}, {"kid": "first", "kty": "oct"}]},
    "a key without its parts": {"keys": [{"kid": "first", "kty": "RSA", "n": 5, "e": []}]},
    "a key whose parts are not base64": {
        "keys": [{"kid": "first", "kty": "RSA", "n": "%%%", "e": "A"}]
    },
    "an exponent of nothing": {"keys": [{"kid": "first", "kty": "RSA", "n": "", "e": ""}]},
}


@pytest.mark.parametrize("case", BROKEN)
async def test_without_keys_teams_is_asked_to_come_back_and_then_all_is_well(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock, case: str
) -> None:
    for name, value in BROKEN[case].items():
        setattr(issuer, name, value)
    headers = bearer(issuer.token(bot.service_url))
    status, body, answered = await bot.post(bot.activity(), headers)
    assert (status, body) == (503, {"error": "The signing keys cannot be read at the moment."})
    assert int(answered["Retry-After"]) > 0
    assert kept(bot) == 0

    issuer.status, issuer.body, issuer.jwks_uri, issuer.keys = 200, None, "", [jwk("first")]
    await clock.advance(int(answered["Retry-After"]))
    assert (await bot.post(bot.activity(), headers))[0] == 202


async def test_one_good_key_among_junk_is_found(bot: Edges, issuer: IdentityProvider) -> None:
    issuer.keys = [
        None,
        {"kid": "bad", "kty": "RSA", "n": 5, "e": []},
        {"kid": "huge", "kty": "RSA", "n": "AQ", "e": "AQAB"},
        {"kid": "elliptic", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        jwk("first"),
    ]
    assert (await bot.post(bot.activity(), bearer(issuer.token(bot.service_url))))[0] == 202


async def test_a_slow_issuer_does_not_stall_the_others(
    bot: Edges, issuer: IdentityProvider, clock: FakeClock
) -> None:
    good = bearer(issuer.token(bot.service_url))
    assert (await bot.post(bot.activity(), good))[0] == 202
    await clock.advance(13 * 3600)  # the keys are old now, too
    issuer.open.clear()
    issuer.asked.clear()
    strangers = [
        asyncio.create_task(
            bot.post(
                bot.activity(), bearer(issuer.token(bot.service_url, header={"kid": f"k{number}"}))
            )
        )
        for number in range(5)
    ]
    await issuer.asked.wait()
    assert (await bot.post(bot.activity(), good))[0] == 202
    assert not any(each.done() for each in strangers)

    await clock.advance(30)  # as long as it takes: those who wait share this one fetch
    issuer.open.set()
    assert [(await each)[0] for each in strangers] == [401] * 5
    assert issuer.fetched["metadata"] == 2


# tenants and people


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"channelData": {"tenant": {"id": OTHER_TENANT}}, "conversation": {}}, "tenant"),
        ({"channelData": {}, "conversation": {}}, "tenant"),
        ({"channelData": None, "conversation": {}}, "tenant"),
        ({"channelData": {"tenant": TENANT}, "conversation": {}}, "tenant"),
        ({"channelData": {"tenant": {"id": [TENANT]}}, "conversation": {}}, "tenant"),
        ({"channelData": {"tenant": {"id": OTHER_TENANT}}}, "two tenants"),
        (
            {
                "channelData": {"tenant": {"id": TENANT}},
                "conversation": {"tenantId": OTHER_TENANT},
            },
            "two tenants",
        ),
        ({"channelData": {"tenant": {"id": f"{TENANT}x"}}, "conversation": {}}, "tenant"),
        ({"from": {"id": f"29:{ANALYST}", "name": "Guest"}}, "members"),
        ({"from": {"id": f"29:{ANALYST}", "aadObjectId": ""}}, "members"),
        ({"from": {"id": f"29:{ANALYST}", "aadObjectId": {"id": ANALYST}}}, "members"),
        ({"from": {"id": f"29:{ANALYST}", "aadObjectId": "  "}}, "members"),
        ({"type": "invoke", "name": "adaptiveCard/action", "from": {"id": "29:x"}}, "members"),
        ({"type": "conversationUpdate", "channelData": {}, "conversation": {}}, "tenant"),
        ({"type": "installationUpdate", "channelData": {}, "conversation": {}}, "tenant"),
    ],
    ids=str,
)
async def test_only_members_of_the_tenant_get_in(
    bot: Edges, issuer: IdentityProvider, fields: dict[str, Any], says: str
) -> None:
    if "conversation" in fields:
        fields = {**fields, "conversation": {"id": "a:chat", **fields["conversation"]}}
    assert says in await refused(bot, 403, bearer(issuer.token(bot.service_url)), **fields)


@pytest.mark.parametrize("tenant", [TENANT, TENANT.upper()])
@pytest.mark.parametrize("where", ["channelData", "conversation"])
async def test_the_tenant_is_read_where_teams_puts_it(
    bot: Edges, issuer: IdentityProvider, where: str, tenant: str
) -> None:
    fields: dict[str, Any] = {"conversation": {"id": "a:chat"}, "channelData": {}}
    if where == "channelData":
        fields["channelData"] = {"tenant": {"id": tenant}}
    else:
        fields["conversation"]["tenantId"] = tenant
    body = bot.activity(**fields)
    assert (await bot.post(body, bearer(issuer.token(bot.service_url))))[0] == 202


async def test_other_tenants_can_be_let_in_and_then_only_those(
    start: Start, issuer: IdentityProvider
) -> None:
    bot = await start(ALLOWED_TENANT_IDS=f" {OTHER_TENANT.upper()} , ")
    headers = bearer(issuer.token(bot.service_url))
    await refused(bot, 403, headers)
    conversation = {"id": "a:chat", "tenantId": OTHER_TENANT}
    body = bot.activity(channelData={"tenant": {"id": OTHER_TENANT}}, conversation=conversation)
    assert (await bot.post(body, headers))[0] == 202


# where answers go


async def test_a_service_url_that_is_not_teams_is_refused_whatever_the_token_says(
    bot: Edges, issuer: IdentityProvider
) -> None:
    evil = "https://evil.example/"
    await refused(bot, 403, bearer(issuer.token(evil)), serviceUrl=evil)


ALLOWED = [
    "https://smba.trafficmanager.net/emea/",
    "https://smba.trafficmanager.net/amer/33333333-3333-4333-8333-333333333333/",
    "https://SMBA.TrafficManager.net/teams",
    "https://smba.trafficmanager.net:443/de/",
    "https://smba.infra.gcc.teams.microsoft.com/teams",
    "https://smba.infra.gov.teams.microsoft.us/",
    "https://smba.infra.dod.teams.microsoft.us/",
    "https://frontend.botapi.msg.infra.teams.microsoftonline.cn/",
]
REFUSED = [
    "",
    "smba.trafficmanager.net",
    "//smba.trafficmanager.net/",
    "http://smba.trafficmanager.net/emea/",
    "ftp://smba.trafficmanager.net/",
    "javascript:alert(1)",
    "https://",
    "https:///emea/",
    "https://evil.example/",
    "https://smba.trafficmanager.net.evil.example/",
    "https://evil-smba.trafficmanager.net/",
    "https://evil.trafficmanager.net/",
    "https://smba.trafficmanager.net./",
    "https://trafficmanager.net/",
    "https://evil.example/smba.trafficmanager.net/",
    "https://evil.example#smba.trafficmanager.net/",
    "https://evil.example?smba.trafficmanager.net/",
    "https://smba.trafficmanager.net@evil.example/",
    "https://user:secret@smba.trafficmanager.net/",
    "https://user@smba.trafficmanager.net/",
    "https://:secret@smba.trafficmanager.net/",
    "https://@smba.trafficmanager.net/",
    "https://smba.trafficmanager.net\\@evil.example/",
    "https://evil.example\\.smba.trafficmanager.net/",
    "https://evil.example%2f.smba.trafficmanager.net/",
    "https://smba.trafficmanager.net:8443/",
    "https://smba.trafficmanager.net:80/",
    "https://smba.trafficmanager.net:99999/",
    "https://smba.trafficmanager.net:x/",
    "https://smba.traffic\tmanager.net/",
    "https://smba.trafficmanager.net/\r\nHost: evil.example/",
    " https://smba.trafficmanager.net/",
    "https://smba.trafficmanager.net/?x=",
    "https://smba.trafficmanager.net/#x",
    "https://smba.trafficmanager.net /",
    "https://\u0455mba.trafficmanager.net/",
    "https://smba\u3002trafficmanager\u3002net.evil.example/",
    "https://[::1",
    "https://[smba.trafficmanager.net]/",
    "https://169.254.169.254/",
    "http://169.254.169.254/",
]
LOOPBACK = [
    "http://127.0.0.1:3980/",
    "http://127.0.0.1/",
    "http://localhost:3980",
    "http://[::1]:3980/",
    "https://127.0.0.1:3980/",
]
NEVER_LOOPBACK = [
    "http://user@127.0.0.1:3980/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1@evil.example/",
    "http://0.0.0.0:3980/",
    "http://10.0.0.1/",
    "http://localhost.evil.example/",
    "ftp://127.0.0.1/",
]


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        *((url, (True, True)) for url in ALLOWED),
        *((url, (False, False)) for url in [*REFUSED, *NEVER_LOOPBACK]),
        *((url, (True, False)) for url in LOOPBACK),
    ],
)
def test_service_urls(url: str, allowed: tuple[bool, bool], loopback: bool) -> None:
    assert service_url_allowed(url, loopback=loopback) is allowed[0 if loopback else 1]


async def test_with_a_public_issuer_a_service_url_on_loopback_is_refused(
    start: Start, issuer: IdentityProvider
) -> None:
    bot = await start(BOT_OPENID_METADATA="https://login.botframework.com/v1/.well-known/x")
    status, _, _ = await bot.post(bot.activity())
    assert status == 401  # without a token nothing is even fetched
    assert service_url_allowed(bot.service_url, loopback=True)
    assert not service_url_allowed(bot.service_url, loopback=False)
