"""The sandbox's incident pages show the workspace as it is, and nothing that bites."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sandbox import portal, sentinel
from sandbox.world import PROVIDER_PATH, World, incident_name, load

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NAME = "0d2b6f5e-3c1a-4f7e-9a55-7f6d2c1b0a99"

Pages = TestClient[web.Request, web.Application]


@pytest.fixture
def world() -> World:
    return load(NOW, clock=lambda: NOW)


@pytest.fixture
async def pages(world: World) -> AsyncIterator[Pages]:
    application = sentinel.app(world)
    application.add_routes(portal.routes(world))
    async with TestClient(TestServer(application)) as client:
        yield client


async def text(pages: Pages, path: str, status: int = 200) -> str:
    async with pages.get(path) as answer:
        assert answer.status == status
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        return await answer.text()


async def put(pages: Pages, tail: str, properties: dict[str, str]) -> None:
    url = f"{PROVIDER_PATH}/incidents/{incident_name(3177)}{tail}?api-version=2025-09-01"
    async with pages.put(url, json={"properties": properties}) as answer:
        assert answer.status in (200, 201)


async def test_the_list_names_every_incident(pages: Pages, world: World) -> None:
    page = await text(pages, "/")
    for case in world.cases.values():
        assert f'href="incidents/{case.number}"' in page
    assert page.index("3179") < page.index("3164")
    assert "Unassigned" in page and "Jonas Keller" in page and "CredentialAccess" in page


async def test_every_incident_has_a_page(pages: Pages, world: World) -> None:
    for case in world.cases.values():
        page = await text(pages, f"/incidents/{case.number}")
        assert page.startswith("<!doctype html>")
        for part in [*case.alerts, *case.entities, *case.comments.values(), *case.tasks.values()]:
            assert part["name"] in page


async def test_what_is_written_shows_up_in_the_part_that_is_polled(pages: Pages) -> None:
    before = await text(pages, "/incidents/3177?part=main")
    assert "<html" not in before and "No tasks yet." in before
    await put(pages, f"/tasks/{NAME}", {"title": "Revoke <sessions>", "status": "New"})
    await put(pages, f"/comments/{NAME}", {"message": "Plain & simple\nsecond line"})
    await put(
        pages,
        "",
        {
            "title": "Still phishing",
            "severity": "Low",
            "status": "Closed",
            "classification": "Undetermined",
            "classificationComment": "<unsure>",
        },
    )
    after = await text(pages, "/incidents/3177?part=main")
    assert f'<details class="item" id="task-{NAME}">' in after
    assert "Revoke &lt;sessions&gt;" in after
    assert '<div class="written plain">Plain &amp; simple\nsecond line</div>' in after
    assert "Undetermined - &lt;unsure&gt;" in after


async def test_closed_incidents_say_why(pages: Pages) -> None:
    page = await text(pages, "/incidents/3164")
    assert "BenignPositive - SuspiciousButExpected - Nightly copy job." in page


async def test_an_owner_without_a_name_is_named_by_address(pages: Pages, world: World) -> None:
    case = world.by_number(3177)
    assert case is not None
    case.incident["properties"]["owner"]["userPrincipalName"] = "sam@contoso.com"
    assert "sam@contoso.com" in await text(pages, "/incidents/3177")


async def test_there_is_no_such_incident(pages: Pages) -> None:
    assert "There is no incident" in await text(pages, "/incidents/1", 404)


async def test_style_and_script_come_from_here(pages: Pages) -> None:
    page = await text(pages, "/incidents/3177")
    assert 'href="../portal.css"' in page and 'src="../portal.js"' in page
    assert "prefers-color-scheme" in await text(pages, "/portal.css")
    script = await text(pages, "/portal.js")
    assert "part=main" in script and "http" not in script


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<p>a <b>b</b> <em>c</em></p>", "<p>a <b>b</b> <em>c</em></p>"),
        ("<h3>h</h3><pre><code>x | y</code></pre>", "<h3>h</h3><pre><code>x | y</code></pre>"),
        ("<script>alert(1)</script>after", "after"),
        ("<img src=x onerror=alert(1)>", ""),
        ('<p onclick="x()" style="color:red">p</p>', "<p>p</p>"),
        ('<a href="javascript:alert(1)">a</a>', '<a rel="noopener noreferrer nofollow">a</a>'),
        (
            '<a href="https://example.org/" target="_blank">a</a>',
            '<a href="https://example.org/" target="_blank" rel="noopener noreferrer nofollow">'
            "a</a>",
        ),
        ("<iframe src='https://example.org'></iframe>", ""),
        ("<form action='https://example.org'><button>b</button></form>", "b"),
    ],
)
def test_html_is_cleaned(written: str, shown: str) -> None:
    assert portal.clean(written) == shown


async def test_hostile_values_stay_text(pages: Pages, world: World) -> None:
    case = world.by_number(3177)
    assert case is not None
    bad = '"><script>alert(1)</script>'
    case.incident["properties"] |= {"title": bad, "description": bad, "severity": bad}
    case.entities[0]["properties"] |= {"friendlyName": bad, bad: bad}
    case.entities[0]["kind"] = bad
    case.alerts[0]["properties"] |= {"alertDisplayName": bad, "tactics": [bad]}
    for path in ("/", "/incidents/3177"):
        assert "<script>" not in await text(pages, path)
