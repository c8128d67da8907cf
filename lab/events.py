"""What the server says over its websocket, collected in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True)
class Event:
    """One message: kind ("progress", "executing", "attention_director.status", ...) and its data."""

    kind: str
    data: dict[str, Any]


class Listener:
    """Keeps every text message of one websocket. Previews (binary) are counted, not kept."""

    def __init__(self, url: str) -> None:
        self.events: list[Event] = []
        self.previews = 0
        self.changed = threading.Condition()
        self.open = True
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(url,), daemon=True)
        self.thread.start()
        if self.wait(lambda e: e.kind == "status", 30) is None:  # the server's greeting
            raise ConnectionError(f"no greeting on {url}")

    def _run(self, url: str) -> None:
        asyncio.set_event_loop(self.loop)
        self.task = self.loop.create_task(self._listen(url))
        try:
            self.loop.run_until_complete(self.task)
        except (asyncio.CancelledError, aiohttp.ClientError):
            pass
        finally:
            self.loop.close()
            with self.changed:
                self.open = False
                self.changed.notify_all()

    async def _listen(self, url: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            async for message in socket:
                with self.changed:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        value = json.loads(message.data)
                        self.events.append(Event(value["type"], value.get("data") or {}))
                    else:
                        self.previews += 1
                    self.changed.notify_all()

    def wait(self, wanted: Callable[[Event], bool], timeout: float) -> Event | None:
        """The first event, old or new, that is wanted; None after the timeout or when the server is gone."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self.changed:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self.events)
                left = deadline - time.monotonic()
                if left <= 0 or not self.open:
                    return None
                self.changed.wait(left)

    def during(self, prompt_id: str) -> tuple[Event, ...]:
        """Events from a run's start to its end; the server runs one graph at a time."""
        with self.changed:
            own = [i for i, e in enumerate(self.events) if e.data.get("prompt_id") == prompt_id]
            return tuple(self.events[own[0]:own[-1] + 1]) if own else ()

    def close(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.task.cancel)
            self.thread.join(10)
