"""From what blocks to the event loop: batches read in one thread, a few ahead of their consumer.

thread:  batches ──▶ pending (up to a window) ──▶ next_batch()  :event loop
                        ◀── room again ──
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol, cast

from fetchpool.model.asking import PLAIN, Ask, problem_in_ask, problem_in_baggage
from fetchpool.model.reading import AS_LINES, Reading
from fetchpool.model.urls import text_of_line
from fetchpool.model.urls.completing import completed
from fetchpool.model.values import Request
from fetchpool.sources.codec import asked
from fetchpool.sources.lines import BATCH, BLANKS, Batch, problem_in

WINDOW = 2 * BATCH
"""Requests read ahead of the consumer: two batches, one to work on while one is read."""

_WEIGHT = 4 << 20
"""Bytes that requests read ahead may bring along: rows can be long."""

_ENDS = BLANKS + "\n"


class RequestReader(Protocol):
    """Where a pool gets its requests from."""

    async def next_batch(self) -> Batch | None:
        """Return the next requests as soon as there are any, or None at the end.

        A batch may hold no request (a stretch of comments). One caller at a time. What goes wrong
        in the source is raised here, after all requests read before it were handed out, and again
        by every later call.
        """

    async def aclose(self) -> None:
        """Stop reading."""


class Reader:
    """Runs a blocking iterator of batches in one daemon thread, a window ahead of its consumer.

    The thread starts with the first `next_batch`, sleeps while *window* requests wait to be taken,
    and never keeps the interpreter from ending: not even while it is blocked in a read. What came
    since the last `next_batch` is handed over as one batch. A cancelled `next_batch` loses nothing.
    """

    def __init__(self, batches: Iterator[Batch], window: int = WINDOW) -> None:
        self._batches = batches
        self._window = window
        self._loop: asyncio.AbstractEventLoop | None = None
        # Guards what follows; held for a few instructions, never while something blocks.
        self._changed = threading.Condition()
        self._pending: Batch | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None

    async def next_batch(self) -> Batch | None:
        """Return the next requests as soon as there are any, or None at the end."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            # A daemon: a read from a silent pipe can't be interrupted, and must not be waited for.
            threading.Thread(target=self._run, name="fetchpool-reader", daemon=True).start()
        while True:
            with self._changed:
                batch, self._pending = self._pending, None
                if batch is not None:
                    self._changed.notify()
                    return batch
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                waiter = self._waiter = loop.create_future()
            await waiter

    async def aclose(self) -> None:
        """Stop at once; the thread ends as soon as it returns from the read it may be blocked in.

        A `next_batch` that waits returns None.
        """
        with self._changed:
            self._ended = True
            self._pending = self._error = None
            waiter, self._waiter = self._waiter, None
            self._changed.notify()
        if waiter is not None:
            _release(waiter)

    def _run(self) -> None:
        """Read until the end, an error or `aclose`: the body of the thread."""
        error = None
        try:
            for batch in self._batches:
                if not self._put(batch):
                    break
            if isinstance(self._batches, Generator):
                self._batches.close()
        except BaseException as caught:  # noqa: BLE001 - raised again in next_batch
            error = caught
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            waiter, self._waiter = self._waiter, None
        self._wake(waiter)

    def _put(self, batch: Batch) -> bool:
        """Leave *batch* for the consumer, then wait for room; False when nobody wants more."""
        with self._changed:
            if self._pending is None:
                self._pending = batch
            else:
                self._pending.requests += batch.requests
                self._pending.skipped += batch.skipped
                self._pending.weight += batch.weight
                self._pending.lines = batch.lines
            waiter, self._waiter = self._waiter, None
        self._wake(waiter)
        with self._changed:
            self._changed.wait_for(self._has_room)
            return not self._ended

    def _has_room(self) -> bool:
        if self._ended or self._pending is None:
            return True
        return len(self._pending.requests) < self._window and self._pending.weight < _WEIGHT

    def _wake(self, waiter: asyncio.Future[None] | None) -> None:
        """Let the waiting `next_batch` go on; called in the thread."""
        if waiter is not None and self._loop is not None:
            # The loop may have been closed meanwhile (RuntimeError): nobody waits any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_release, waiter)


class AsyncReader:
    """Takes one item after another from an asynchronous iterable, each as a batch of its own.

    Cancelling `next_batch` cancels what the iterable is waiting for: a generator ends by that.
    """

    def __init__(
        self, items: AsyncIterable[str | Request], ask: Ask = PLAIN, reading: Reading = AS_LINES
    ) -> None:
        self._items = aiter(items)
        self._ask = ask
        self._reading = reading
        self._taken = 0
        self._error: Exception | None = None

    async def next_batch(self) -> Batch | None:
        """Return the next item as soon as it is there, or None at the end."""
        if self._error is not None:
            raise self._error
        try:
            item = await anext(self._items)
            self._taken += 1
            return _batch_of(item, self._taken, self._ask, self._reading)
        except StopAsyncIteration:
            return None
        except Exception as error:
            self._error = error
            raise

    async def aclose(self) -> None:
        """Close the iterable, if it is a generator; no `next_batch` may be waiting."""
        if isinstance(self._items, AsyncGenerator):
            await self._items.aclose()


def requests_from(
    items: Iterable[str | Request] | AsyncIterable[str | Request],
    ask: Ask = PLAIN,
    reading: Reading = AS_LINES,
) -> RequestReader:
    """Return a reader of *items*, each one request, numbered from 1 if it has no number yet.

    Strings are taken as lines of a list are, so those of an open file will do: blanks and line ends
    around a URL are stripped, what is then empty or begins with `#` is skipped, but has its number.
    They are asked for as *ask* says. A `Request` says itself how it is asked for, and is never
    skipped. An asynchronous iterable is read in the loop, any other in a thread of its own, as it
    may block: what must stay in the caller's thread (a database cursor) goes in as a list or an
    asynchronous generator.

    Raises TypeError for a single URL; `next_batch` does for an item of another type.
    """
    if isinstance(items, str | bytes | Request):
        raise TypeError("URLs are given as an iterable: put a single one into a list")
    if isinstance(items, AsyncIterable):
        return AsyncReader(items, ask, reading)
    return Reader(_batches_of(iter(items), ask, reading))


def _batches_of(items: Iterator[str | Request], ask: Ask, reading: Reading) -> Iterator[Batch]:
    for seq, item in enumerate(items, 1):
        yield _batch_of(item, seq, ask, reading)


def _batch_of(item: str | Request, seq: int, ask: Ask, reading: Reading) -> Batch:
    """Return *item*, the *seq*-th of its iterable, as a batch of its own."""
    if isinstance(item, str):
        url = _url_of(item)
        if not url or url[0] == "#":
            return Batch([], 1, seq)
        if reading.completes:
            url = completed(url, reading.scheme, reading.base)
        request = Request(url, seq, None, None, problem_in(url))
        return Batch([request if ask is PLAIN else asked(request, ask)], 0, seq)
    if isinstance(item, Request):
        return Batch([_checked(item, seq)], 0, seq)
    raise TypeError(f"item {seq} is of type {type(item).__name__}, not str or Request")


def _checked(request: Request, seq: int) -> Request:
    """Return a program's *request* as all others are; what can't be sent is its problem."""
    url = _url_of(request.url)
    method, body = request.method, request.body
    headers: object = request.headers
    problem = request.problem or problem_in(url)
    if isinstance(headers, Mapping):
        headers = tuple(headers.items())
    name, checksum, row = request.name, request.checksum, request.row
    wrong = problem_in_ask(method, headers, body) or problem_in_baggage(name, checksum, row)
    if wrong is not None:
        return Request(url, request.seq or seq, request.source, request.line, problem or wrong)
    fields = tuple((name, value) for name, value in cast("Iterable[tuple[str, str]]", headers))
    return Request(
        url,
        request.seq or seq,
        request.source,
        request.line,
        problem,
        method.upper(),
        fields,
        body,
        name,
        checksum,
        row,
    )


def _url_of(text: str) -> str:
    """Return *text* stripped, as valid Unicode: a lone surrogate becomes the byte it stands for."""
    url = text.strip(_ENDS)
    try:
        url.encode()
    except UnicodeEncodeError:
        try:
            return text_of_line(url.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            return text_of_line(url.encode("utf-8", "surrogatepass"))
    return url


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
