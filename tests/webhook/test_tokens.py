"""Who may post an incident, over HTTP: the rules of the platform facts, 2.3."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.teams.identity_provider import encode_unsigned, jwk, public_pem
from tests.webhook.conftest import (
    CALLER,
    CLIENT,
    REF,
    SECOND,
    STRANGER,
    TENANT,
    URI,
    V1,
    Hook,
    Start,
    seconds_from_now,
)

ARM = [
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"oid": SECOND},
        {"oid": CALLER.upper()},
        {"tid": TENANT.upper()},
        {"idtyp": None},
        {"nbf": None},
        {"roles": ["Incidents.Post"]},
    ],
    ids=str,
)
async def test_a_managed_identity_that_is_named_may(
    hook: Hook, version: int, changes: dict[str, Any]
) -> None:
    assert (await hook.post(hook.token(version, **changes)))[:2] == (202, None)
    assert hook.arrived == [REF]


async def test_a_clock_may_be_minutes_off(hook: Hook) -> None:
    for changes in ({"exp": seconds_from_now(-240)}, {"nbf": seconds_from_now(240)}):
        assert (await hook.post(hook.token(**changes)))[0] == 202


@pytest.mark.parametrize(
    ("audience", "named", "good"),
    [
        (URI, URI, True),
        (URI, CLIENT, True),
        (CLIENT, URI, True),
        (CLIENT.upper(), CLIENT, True),
        ("api://casemate", "api://casemate", True),
        ("api://casemate", "casemate", False),
        ("api://casemate", "api://casemate/", False),
        (URI, f"{URI}/", False),
        (URI, f"https://{CLIENT}", False),
        ("https://[", "https://[", True),
        *((each, each, False) for each in ARM),
        *((URI, each, False) for each in ARM),
    ],
)
async def test_the_audience_is_ours_and_never_azure_resource_managers(
    start: Start, audience: str, named: str, good: bool
) -> None:
    hook = await start(audience=audience)
    if good:
        assert (await hook.post(hook.token(aud=named)))[0] == 202
    else:
        await hook.refused(401, hook.token(aud=named))


def _hs256_with_the_public_key(hook: Hook) -> str:
    # By hand: PyJWT will not sign with a PEM as the secret.
    header = {"alg": "HS256", "typ": "JWT", "kid": "first"}
    unsigned = encode_unsigned(header, _claims(hook)).rpartition(".")[0]
    signature = hmac.digest(public_pem("first"), unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{jwt.utils.base64url_encode(signature).decode()}"


def _claims(hook: Hook) -> dict[str, Any]:
    return jwt.decode(hook.token(), options={"verify_signature": False})


def _tampered(hook: Hook) -> str:
    head, _, signature = hook.token(oid=STRANGER).split(".")
    return f"{head}.{hook.token().split('.')[1]}.{signature}"


NOT_AUTHENTICATED: dict[str, Callable[[Hook], str]] = {
    "expired": lambda h: h.token(exp=seconds_from_now(-400)),
    "no exp": lambda h: h.token(exp=None),
    "not yet valid": lambda h: h.token(nbf=seconds_from_now(400)),
    "claims of another token": _tampered,
    "signed with another key": lambda h: h.token(key="stranger", header={"kid": "first"}),
    "a key in the header": lambda h: h.token(key="stranger", header={"jwk": jwk("stranger")}),
    "alg none": lambda h: encode_unsigned({"alg": "none", "kid": "first"}, _claims(h)),
    "HS256 with the public key": _hs256_with_the_public_key,
    "RS512": lambda h: h.token(algorithm="RS512"),
    "unknown kid": lambda h: h.token(header={"kid": "unheard-of"}),
    "no kid": lambda h: h.token(header={"kid": None}),
    "no iss": lambda h: h.token(iss=None),
    "v1 of another tenant": lambda h: h.token(iss=V1.replace(TENANT, STRANGER), tid=STRANGER),
    "v2 of another tenant": lambda h: h.token(
        2, iss=f"{h.issuer.url}/{STRANGER}/v2.0", tid=STRANGER
    ),
    "another tenant's issuer, our tid": lambda h: h.token(iss=V1.replace(TENANT, STRANGER)),
    "v1 without the slash": lambda h: h.token(iss=V1.rstrip("/")),
    "v2 with a slash": lambda h: h.token(2, iss=f"{h.issuer.url}/{TENANT}/v2.0/"),
    "v2 of another authority": lambda h: h.token(
        2, iss=f"https://login.microsoftonline.com/{TENANT}/v2.0"
    ),
    "v1 of the authority": lambda h: h.token(iss=f"{h.issuer.url}/{TENANT}/"),
    "the Bot Framework's": lambda h: h.token(iss="https://api.botframework.com"),
    "aud of another application": lambda h: h.token(aud=f"api://{STRANGER}"),
    "aud is a list with us in it": lambda h: h.token(aud=[URI, f"api://{STRANGER}"]),
    "aud is a list of us": lambda h: h.token(aud=[URI]),
    "no aud": lambda h: h.token(aud=None),
    "not a token": lambda h: "hello",
}


@pytest.mark.parametrize("case", NOT_AUTHENTICATED)
async def test_a_token_that_is_not_our_tenants_for_us(hook: Hook, case: str) -> None:
    await hook.refused(401, NOT_AUTHENTICATED[case](hook))


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
async def test_without_a_bearer_token(hook: Hook, authorization: str) -> None:
    says = await hook.refused(401, headers={"Authorization": authorization}, data=b"{")
    assert says == "A bearer token is needed."


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"oid": STRANGER}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"oid": None}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"oid": None, "appid": CALLER, "azp": CALLER}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"oid": ""}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"oid": [CALLER]}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"oid": f"{CALLER} "}, "INCIDENT_WEBHOOK_CALLERS"),
        ({"tid": STRANGER}, "tenant"),
        ({"tid": None}, "tenant"),
        ({"tid": [TENANT]}, "tenant"),
        ({"idtyp": "user"}, "not a user"),
        ({"idtyp": "device"}, "not a user"),
        ({"scp": "user_impersonation"}, "not a user"),
        ({"idtyp": None, "scp": "user_impersonation"}, "not a user"),
    ],
    ids=str,
)
async def test_a_caller_that_is_known_and_may_not(
    hook: Hook, version: int, changes: dict[str, Any], says: str
) -> None:
    assert says in await hook.refused(403, hook.token(version, **changes))


async def test_a_webhook_that_is_not_set_up_lets_nobody_in(start: Start) -> None:
    hook = await start(audience="", callers=())
    for token in (None, hook.token(), hook.token(aud="")):
        assert "not set" in await hook.refused(403, token)
    assert hook.issuer.fetched == {}


# keys


async def test_a_rotated_key_works_within_ten_seconds(hook: Hook) -> None:
    assert (await hook.post(hook.token()))[0] == 202
    hook.issuer.keys = [jwk("second")]
    before = hook.clock.monotonic()
    while (await hook.post(hook.token(key="second")))[0] != 202:
        await hook.clock.advance(1)
    assert hook.clock.monotonic() - before <= 10
    # What Entra ID no longer publishes no longer counts.
    assert (await hook.post(hook.token()))[0] == 401


async def test_unknown_key_ids_cause_few_fetches(hook: Hook) -> None:
    for number in range(200):
        token = hook.token(header={"kid": f"made-up-{number}"})
        await hook.refused(401, token)
        await hook.clock.advance(0.05)
    assert hook.issuer.fetched["metadata"] <= 3
    assert (await hook.post(hook.token()))[0] == 202


async def test_without_keys_the_caller_is_asked_to_come_back(hook: Hook) -> None:
    hook.issuer.status = 500
    status, body, headers = await hook.post(hook.token())
    assert (status, body) == (503, {"error": "The signing keys cannot be read at the moment."})
    hook.issuer.status = 200
    await hook.clock.advance(int(headers["Retry-After"]))
    assert (await hook.post(hook.token()))[0] == 202
