"""Take the pictures of the README and the guide: the real client and bot, the sandbox's incidents.

Start `make run`, then:

    python docs/screenshots.py http://127.0.0.1:56150 docs/images --sandbox http://127.0.0.1:3978

Needs Chromium on the PATH. Each scene opens the client anew, so scenes do not depend on each other;
the bot's own memory stays, which is why scenes begin by naming their incident, and why those that
subscribe come last. A scene is played once and photographed in each of its looks. The client
(0.2.28) has no dark theme: Chromium darkens it. Its columns are no narrower than 600 pixels: for a
phone they are told to give way, and the client's own tools are hidden.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Page, Route, sync_playwright

BOT = "Casemate"
PERSONAL, GROUP, CHANNEL = "Personal Chat", "Night shift", "SOC - incidents"
DESKTOP, PHONE = (1280, 640), (390, 844)
LIGHT, DARK, SMALL = "", "-dark", "-phone"  # what a look adds to the picture's name

_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
_NARROW = """
div { min-width: 0 !important }
div:has(> .ac-preview-panel) { width: auto !important; padding: 0 !important; border: 0 !important }
.fai-OutputCard { padding: 4px !important; margin-left: 8px !important }
.fui-Toolbar { display: none !important }
"""
# How far the longest list of messages is from being shown as a whole, in pixels.
_HIDDEN = """() => Math.max(0, ...[...document.querySelectorAll('div')]
  .filter(each => /auto|scroll/.test(getComputedStyle(each).overflowY) && each.clientHeight > 300)
  .map(each => each.scrollHeight - each.clientHeight))"""
# The messages of the chat, oldest first; the list of chats has such pictures as well.
_ROWS = """() => {
  const scrolls = each => each && /auto|scroll/.test(getComputedStyle(each).overflowY);
  for (let row of document.querySelectorAll('[role=img][aria-label=Casemate]')) {
    while (row && !scrolls(row.parentElement)) row = row.parentElement;
    if (row && !row.querySelector('[role=treeitem]') && !row.closest('[role=tree]'))
      return [...row.parentElement.children].filter(each => each.innerText);
  }
  return [];
}"""
_COUNT = f"() => ({_ROWS})().length"
_HIDE = f"([from, to]) => ({_ROWS})().slice(from, to).forEach(each => each.style.display = 'none')"
# Height of the bar under a message that is still being streamed; 0 once it is final.
_STREAMING = "() => [...document.querySelectorAll('[role=progressbar]')].some(b => b.offsetHeight)"


@dataclass(frozen=True)
class Say:
    """A message of the analyst; in a group or channel it mentions the bot, or the bot is deaf."""

    text: str
    mention: bool = False


@dataclass(frozen=True)
class Press:
    """A click on a card's button, by its title; on the last card that has it."""

    title: str


@dataclass(frozen=True)
class Arrive:
    """So many new incidents in the sandbox, one after the other."""

    count: int = 1


@dataclass(frozen=True)
class Scene:
    """One picture: where it is taken, what happens before, and in which looks."""

    name: str
    chat: str
    steps: tuple[Say | Press | Arrive, ...]
    looks: tuple[str, ...] = (LIGHT,)
    last: int = 0  # how many messages are shown; 0 is all of this scene


_ASK = Say("what happened in incident 3177?")
_OPEN = Say("incident 3177")
_QUERY = Say("which other accounts signed in from that address this week?")
_FOLLOW_UP = Say("and which accounts should I reset first?")

_ALL = (LIGHT, DARK, SMALL)

SCENES = (
    Scene("help", PERSONAL, (Say("help"),), (SMALL,)),
    Scene("incidents", PERSONAL, (Say("incidents"),)),
    Scene("incident", PERSONAL, (Say("incident 3177"),), _ALL),
    Scene("added", PERSONAL, (_ASK, _FOLLOW_UP, Press("Add as task")), _ALL),
    Scene("tasks", PERSONAL, (Say("tasks 3177"), Press("Add task"))),
    Scene("close", PERSONAL, (_OPEN, Press("Close")), last=1),
    Scene("handover", PERSONAL, (Say("handover 3177"),)),
    Scene("history", PERSONAL, (_OPEN, Say("history")), last=2),
    Scene("forget", PERSONAL, (_OPEN, Say("forget me")), last=2),
    Scene("warning", PERSONAL, (Say("incident 3179"),), (LIGHT, DARK)),
    Scene("down", PERSONAL, (Say("sandbox:down what happened in incident 3177?"),)),
    Scene("query", PERSONAL, (_OPEN, _QUERY), _ALL, last=3),
    Scene(
        "explained", PERSONAL, (_OPEN, _QUERY, Press("Run"), Press("Explain these rows")), last=2
    ),
    Scene("channel", CHANNEL, (Say("what happened in incident 3177?", mention=True),)),
    Scene("announced", PERSONAL, (Say("subscribe"), Arrive()), _ALL),
    Scene("digest", GROUP, (Say("subscribe", mention=True), Arrive(16)), last=1),
)


@contextmanager
def opened(url: str) -> Generator[Page]:
    """The client in a browser, its log panel hidden.

    Nothing is fetched from elsewhere, so that pictures are the same with and without a network
    (the client asks a Microsoft CDN for fonts).
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_BROWSER, args=_FLAGS.split())
        page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
        page.route("**/*", _local_only)
        page.goto(url)
        page.get_by_role("button", name="Hide log panel").click()
        yield page
        browser.close()


def _local_only(route: Route) -> None:
    if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", "::1"):
        route.continue_()
    else:
        route.abort()


def choose(page: Page, chat: str) -> None:
    """Open a chat or channel by its name."""
    page.get_by_role("treeitem", name=chat, exact=True).click()
    page.get_by_role("textbox").first.wait_for()
    settle(page)


def say(page: Page, text: str, *, mention: bool = False) -> None:
    """Type a message into the chat, or a new post into a channel, and send it."""
    box = page.get_by_role("textbox").first
    box.click()
    if mention:
        page.keyboard.type(f"@{BOT}")
        menu = page.get_by_role("listbox", name="Typeahead menu")
        menu.get_by_role("menuitem", name=BOT).first.click()
        page.keyboard.type(" ")
    page.keyboard.type(text)
    post = page.get_by_role("button", name="Post", exact=True)
    if post.count():
        post.click()
    else:
        page.keyboard.press("Enter")


def ask(page: Page, text: str, *, mention: bool = False) -> None:
    """Say something and wait for the bot's final answer. Raises TimeoutError after 90 s."""
    answers = page.get_by_role("img", name=BOT, exact=True)
    before = answers.count()
    say(page, text, mention=mention)
    deadline = time.monotonic() + 90
    while answers.count() == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer to {text!r}")
        page.wait_for_timeout(250)
    settle(page)


def press(page: Page, title: str) -> None:
    """Click the last button of this title and wait for what it changes."""
    page.get_by_role("button", name=title, exact=True).last.click()
    settle(page)


def arrive(page: Page, sandbox: str, count: int) -> None:
    """Have incidents arrive, and wait until they are announced and what is prepared is shown."""
    for _ in range(count):
        with urlopen(Request(f"{sandbox}/incidents", method="POST")):  # noqa: S310 - our own
            pass
    settle(page, quiet=10)


def settle(page: Page, quiet: float = 2.5, limit: float = 90) -> None:
    """Wait until nothing streams and the page has been still for `quiet` seconds.

    Raises TimeoutError after `limit` seconds.
    """
    start = still_since = time.monotonic()
    shown = ""
    while (now := time.monotonic()) - still_since < quiet:
        if now - start > limit:
            raise TimeoutError(f"the page was not still within {limit:.0f} s")
        current = page.locator("body").inner_text()
        if current != shown or page.evaluate(_STREAMING):
            shown, still_since = current, now
        page.wait_for_timeout(250)


def take(url: str, scene: Scene, folder: Path, sandbox: str) -> list[Path]:
    """Play one scene and save its pictures: `folder/NAME.png`, `NAME-dark.png` and the like."""
    with opened(url) as page:
        choose(page, scene.chat)
        before = page.evaluate(_COUNT)
        for step in scene.steps:
            if isinstance(step, Say):
                ask(page, step.text, mention=step.mention)
            elif isinstance(step, Press):
                press(page, step.title)
            else:
                arrive(page, sandbox, step.count)
        page.mouse.move(0, 0)
        if scene.chat != CHANNEL:  # where the newest post is on top
            page.evaluate(_HIDE, [0, -scene.last if scene.last else before])
        return [_photograph(page, look, folder / f"{scene.name}{look}.png") for look in scene.looks]


def _photograph(page: Page, look: str, picture: Path) -> Path:
    """Save what the page shows, as high as it takes to show all of the chat."""
    dark = page.context.new_cdp_session(page)
    dark.send("Emulation.setAutoDarkModeOverride", {"enabled": look == DARK})
    width, height = PHONE if look == SMALL else DESKTOP
    if look == SMALL:
        page.add_style_tag(content=_NARROW)
    for _ in range(3):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(700)
        height += int(page.evaluate(_HIDDEN))
    shot = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide")))
    # A palette makes a third of the bytes; the client uses few colours.
    shot.convert("RGB").quantize(256).save(picture, optimize=True)
    return picture


def main(argv: Sequence[str] | None = None) -> int:
    """Take all pictures, or those named."""
    parser = argparse.ArgumentParser(description="Take the pictures of README and guide.")
    parser.add_argument("url", help="the client's address, as `make run` prints it")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sandbox", default="http://127.0.0.1:3978", help="where incidents arrive")
    parser.add_argument("--only", help="a pattern of scene names")
    options = parser.parse_args(argv)
    if _BROWSER is None:
        print("Chromium is not installed.")
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    for scene in SCENES:
        if re.fullmatch(options.only or ".*", scene.name):
            print(*take(options.url, scene, options.folder, options.sandbox), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
