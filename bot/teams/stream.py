"""Shows an answer as it is written, the way Teams allows it.

In a personal chat: one informative line, then the text so far at most once a second, then the final
message (docs: streaming-ux). Each text begins with the one before it. When Teams' two minutes run
out the same activity is edited instead; when the analyst presses Stop, so does the model. In group
chats and channels Teams does not stream: a typing indicator, then the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .. import course, wire
from ..domain.people import Place
from ..domain.rendering import for_teams, stable_part
from ..errors import Stopped, Undelivered
from ..ports import Answered, Clock, JsonObject, Reply
from .connector import Connector, delivered_id
from .messages import FIRST_PART_CHARS, activities, addressed, streaminfo

log = logging.getLogger(__name__)

# Teams takes an update a second. Ours counts from Teams' answer to the last one, so that the ways
# there and back come on top; the rest is for a clock that runs fast.
PACE_SECONDS = 1.01
EDIT_PACE_SECONDS = 2.0
STREAMING, EDITING, SILENT = "streaming", "editing", "silent"

Note = Callable[[JsonObject], Awaitable[None]]


class Stream:
    """Carries one answer. `progress` is what an earlier attempt had sent; `note` keeps ours.

    `holds` says whether the answer is still ours to give.
    """

    def __init__(
        self,
        connector: Connector,
        clock: Clock,
        place: Place,
        *,
        progress: JsonObject,
        note: Note,
        holds: Callable[[], bool] = wire.always,
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._place = place
        self._note = note
        self._holds = holds
        self._answering: asyncio.Task[Answered] | None = None
        self._id = str(progress.get("activity", ""))
        self._parts = int(progress.get("parts", 0))
        # The ids of the finished messages.
        self.sent: list[str] = list(progress.get("sent", ()))
        # What an earlier process streamed can no longer be continued, only edited.
        self._mode = SILENT if self._id or not place.streams else STREAMING
        self._sequence = 0
        self._shown = ""
        self._text = ""
        self._sent_at = float("-inf")
        self._changed = asyncio.Event()
        self._pacer: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self.stopped = False

    async def working(self, text: str) -> None:
        """Say what is being done, once, before any text."""
        if self._sequence or self._id or self._shown:
            return
        self._sequence = 1
        if self._place.streams:
            await self._begin(text)
        else:
            with contextlib.suppress(Undelivered):
                await self._post({"type": "typing"}, retry=False)

    def write(self, text: str) -> None:
        """Show the answer so far with the next update. Raises Stopped."""
        if self.stopped:
            raise Stopped("The analyst pressed Stop.")
        if self._mode == SILENT:
            return
        self._text = text
        self._changed.set()
        if self._pacer is None:
            self._pacer = asyncio.create_task(self._pace())

    async def until_stopped(self, answering: Coroutine[Any, Any, Answered]) -> Answered:
        """Let an answer be worked out, and end that at once on a Stop, which raises Stopped."""
        self._answering = asyncio.create_task(answering)
        try:
            return await self._answering
        except asyncio.CancelledError:
            if self.stopped:
                raise Stopped("The analyst pressed Stop.") from None
            raise
        finally:
            # Not awaited twice: when we are cancelled from outside, the answer is as well.
            self._answering.cancel()

    async def finish(self, reply: Reply) -> None:
        """Send the final message, in several parts where it is long. Raises Undelivered."""
        await self.close()
        if self.stopped:
            return
        messages = activities(reply)
        for number, message in enumerate(messages):
            if number < self._parts:
                continue
            await self._keep_pace(PACE_SECONDS)
            if number == 0:
                await self._finish_first(message)
                self.sent.append(self._id)
            else:
                self.sent.append(delivered_id(await self._post(message)))
            course.shown(self._clock.now())
            self._sent_at = self._clock.monotonic()
            if len(messages) > 1:
                progress = {"parts": number + 1, "activity": self._id, "sent": self.sent}
                await self._note(progress)

    async def close(self) -> None:
        """End the updates: nothing more is sent but what `finish` sends."""
        if self._pacer is not None:
            async with self._sending:  # an update that is on its way arrives before the end does
                self._pacer.cancel()
            await asyncio.wait([self._pacer])
            self._pacer = None

    async def _begin(self, text: str) -> None:
        body = {"type": "typing", "text": text[:1000], **streaminfo("informative", sequence=1)}
        try:
            answer = await self._post(body, retry=False)
            self._wait_from_now(answer)
            self._id = delivered_id(answer)
        except Undelivered as error:
            log.info("no stream: %s", error.sentence)
        if self._id:
            await self._note({"activity": self._id})
        else:
            self._mode = SILENT

    async def _pace(self) -> None:
        while self._mode != SILENT:
            await self._changed.wait()
            self._changed.clear()
            await self._keep_pace(PACE_SECONDS if self._mode == STREAMING else EDIT_PACE_SECONDS)
            shown = for_teams(stable_part(self._text[:FIRST_PART_CHARS]))
            if len(shown) <= len(self._shown):
                continue
            async with self._sending:
                try:
                    await self._update(shown)
                except Undelivered as error:
                    self._sent_at = self._clock.monotonic()
                    log.info("an update was lost: %s", error.sentence)

    async def _keep_pace(self, seconds: float) -> None:
        wait = self._sent_at + seconds - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)

    def _wait_from_now(self, answer: wire.Answer) -> None:
        """The pace counts from an answer, and from later where that asks for more time."""
        asked = (wire.retry_after(answer.headers) or PACE_SECONDS) if answer.status == 429 else 0.0
        self._sent_at = self._clock.monotonic() + asked

    async def _update(self, shown: str) -> None:
        if self._mode == EDITING:
            answer = await self._put({"type": "message", "text": shown})
        else:
            body = {
                "type": "typing",
                "text": shown,
                **streaminfo("streaming", stream=self._id, sequence=self._sequence + 1),
            }
            answer = await self._post(body, retry=False)
        self._wait_from_now(answer)
        if answer.status == 429:
            self._changed.set()
        elif answer.status == 403:
            self._refused(answer)
        elif answer.status in (200, 201, 202):
            # 202 may carry ContentStreamSequenceOrderPreConditionFailed: Teams has a later one.
            course.shown(self._clock.now())
            self._sequence += 1
            self._shown = shown
            self._id = self._id or delivered_id(answer)

    def _refused(self, answer: wire.Answer) -> None:
        """Tell the 403s apart by their words; Teams gives them all one code (facts 4.2)."""
        _, message = answer.error
        words = message.lower()
        if "cancel" in words:
            self.stopped = True
            self._mode = SILENT
            if self._answering is not None:
                self._answering.cancel()
        elif "exceeded streaming time" in words:
            self._mode = EDITING
            self._changed.set()
        else:
            log.info("streaming ended: %s", message)
            self._mode = SILENT

    async def _finish_first(self, message: JsonObject) -> None:
        """Close the stream with the first part; where it cannot be closed, edit or send anew."""
        if self._mode == STREAMING and self._id and self._sequence:
            if message["text"] and message["text"].startswith(self._shown):
                final = {**message, "entities": [*message.get("entities", [])]}
                final["entities"].insert(0, streaminfo("final", stream=self._id)["entities"][0])
                answer = await self._post(final)
                if _taken(answer):
                    return
                if "cancel" in answer.error[1].lower():
                    self.stopped = True
                    return
                self._sent_at = self._clock.monotonic()
                await self._keep_pace(PACE_SECONDS)
            self._mode = SILENT
        if self._id:
            answer = await self._put(message)
            if _taken(answer):
                return
            log.info("an edit was refused (status %d); sending anew", answer.status)
            self._sent_at = self._clock.monotonic()
            await self._keep_pace(PACE_SECONDS)
        self._id = delivered_id(await self._post(message)) or self._id

    async def _post(self, activity: JsonObject, *, retry: bool = True) -> wire.Answer:
        return await self._connector.post(
            self._place.service_url,
            self._place.conversation,
            addressed(activity, self._place),
            retry=retry,
            holds=self._holds,
        )

    async def _put(self, activity: JsonObject) -> wire.Answer:
        return await self._connector.put(
            self._place.service_url,
            self._place.conversation,
            self._id,
            {**addressed(activity, self._place), "id": self._id},
            holds=self._holds,
        )


def _taken(answer: wire.Answer) -> bool:
    """Teams may answer 202 and yet say in the body that it did not take a message."""
    return answer.status in (200, 201, 202) and not answer.error[0]
