"""What parent and workers say to each other, as bytes.

    parent ──▶ worker    Requests · Hop · Park · Alive · NoMore · Finish · Stop · Abort
    worker ──▶ parent    Hello · Want · Outcomes · Away · Park · Tick · Logged · Failed ·
                         Cookies · Bye

MessagePack, each message an array that starts with its name: both ends are the same program, so
there are no versions. Times are durations: another machine has another monotonic clock.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from fetchpool.model.cookies import Cookie
from fetchpool.model.exchanges import ExchangedState
from fetchpool.model.hosts import Found
from fetchpool.model.robots import RobotsRead
from fetchpool.model.slot_time import SlotTime
from fetchpool.model.values import Outcome, Request, Target
from fetchpool.scheduling.job import BodyProgress, Job
from fetchpool.scheduling.scheduler import HostState
from fetchpool.sources import Codec

_plain = Codec()


class Message(msgspec.Struct, array_like=True, tag=True):
    """The base of all of them."""


# -- a job that goes from one worker to another --------------------------------------------------


class JobState(msgspec.Struct, array_like=True):
    """Everything a `Job` holds, and when it goes on: a redirect may lead to another worker's host.

    Durations count from when it was packed.
    """

    request: Request
    """As `Codec.lean` leaves it."""
    first: Target
    target: Target
    attempts: int
    uncounted_attempts: int
    refused: bool
    unanswered: bool
    redirects: int
    seen: list[str] | None
    wait_s: float
    """How long it has to wait before it goes on."""
    age_s: float | None
    """How long ago its first attempt began."""
    started_at: float | None
    """The same in seconds since the epoch, for its record."""
    budget_left_s: float | None
    public_only: bool
    insecure: bool
    status: int | None
    first_byte_s: float | None
    progress: BodyProgress | None
    turned_get: bool = False
    hops: list[ExchangedState] = []

    @classmethod
    def of(cls, job: Job, at: float, now: float, codec: Codec = _plain) -> JobState:
        """Return the state of *job*, which goes on at *at* by the clock that says *now*."""
        return cls(
            codec.lean(job.request),
            job.first,
            job.target,
            job.attempts,
            job.uncounted_attempts,
            job.refused,
            job.unanswered,
            job.redirects,
            None if job.seen is None else sorted(job.seen),
            at - now,
            None if job.began is None else now - job.began,
            job.started_at,
            job.budget_left_s,
            job.public_only,
            job.insecure,
            job.status,
            job.first_byte_s,
            job.progress,
            job.turned_get,
            [ExchangedState.of(each) for each in job.hops],
        )

    def job(self, packed: float, codec: Codec = _plain) -> Job:
        """Return the job again; it was packed at *packed*, by the clock of this process."""
        job = Job(codec.full(self.request), self.first)
        # Where it is at its first URL still, it is the same object: what headers go by.
        job.target = self.first if self.target == self.first else self.target
        job.attempts = self.attempts
        job.uncounted_attempts = self.uncounted_attempts
        job.refused = self.refused
        job.unanswered = self.unanswered
        job.redirects = self.redirects
        job.seen = None if self.seen is None else set(self.seen)
        job.began = None if self.age_s is None else packed - self.age_s
        job.started_at = self.started_at
        job.budget_left_s = self.budget_left_s
        job.public_only = self.public_only
        job.insecure = self.insecure
        job.status = self.status
        job.first_byte_s = self.first_byte_s
        job.progress = self.progress
        job.turned_get = self.turned_get
        job.hops = tuple(each.exchanged() for each in self.hops)
        return job


# -- from the parent -----------------------------------------------------------------------------


class Requests(Message):
    """Requests to be made, encoded as `Outbox.next_batch` does: once, for the disk and the wire."""

    batch: msgspec.Raw

    def requests(self, codec: Codec = _plain) -> list[Request]:
        """Return the requests (0.2 µs each)."""
        return codec.unpack_all(self.batch)


class Hop(Message):
    """A job under way that goes on at one of the worker's hosts."""

    job: msgspec.Raw
    """The `JobState`, as `Away` brought it."""
    kept_s: float
    """How long the parent has kept it since."""

    def unpack(self, now: float, codec: Codec = _plain) -> tuple[Job, float]:
        """Return the job, and when it may go on by the clock that says *now*."""
        state, packed = _job_state(self.job), now - self.kept_s
        return state.job(packed, codec), packed + state.wait_s


class Park(Message):
    """A request to *host* was answered *status*: leave it alone for so many seconds from now on.

    Goes both ways, at once: several workers may ask one host, and a worker may be replaced.
    """

    host: str
    seconds: float
    status: int


class Alive(Message):
    """A host that answered another worker: where to look whether the network is there."""

    target: Target


class NoMore(Message):
    """The list is at its end; hops may still come."""


class Finish(Message):
    """Everything has its outcome: end."""


class Stop(Message):
    """Start nothing more, let end what runs, and end."""


class Abort(Message):
    """Cut off what runs, and end."""


# -- from a worker -------------------------------------------------------------------------------


class Hello(Message):
    """The worker is there; nothing is sent to it before."""


class Want(Message):
    """There is room for *count* requests more."""

    count: int


class Parked(msgspec.Struct, array_like=True):
    """A host is left alone for a while."""

    host: str
    seconds: float
    why: str


class Outcomes(Message):
    """Requests that have ended."""

    outcomes: list[Outcome]

    @classmethod
    def of(cls, outcomes: list[Outcome], codec: Codec) -> Outcomes:
        """Return the message of *outcomes*, without what all requests share."""
        if not codec.is_plain:
            outcomes = [replace(each, request=codec.lean(each.request)) for each in outcomes]
        return cls(outcomes)

    def full(self, codec: Codec) -> list[Outcome]:
        """Return the outcomes as they were."""
        if codec.is_plain:
            return self.outcomes
        return [replace(each, request=codec.full(each.request)) for each in self.outcomes]


class Away(Message):
    """A job that goes on at a host which isn't the worker's."""

    seq: int
    """The number of its request."""
    host: str
    """The key of the host."""
    job: msgspec.Raw
    """Its `JobState`, which the parent passes on as it is."""

    @classmethod
    def of(cls, job: Job, at: float, now: float, codec: Codec = _plain) -> Away:
        """Return the message of *job*, which goes on at *at* by the clock that says *now*."""
        state = msgspec.Raw(encode(JobState.of(job, at, now, codec)))
        return cls(job.request.seq, job.target.host_key, state)


class Tick(Message):
    """How things stand; sent a few times a second, and last. Counts are since the one before."""

    running: int = 0
    requests: int = 0
    reused: int = 0
    retries: int = 0
    connections: int = 0
    received: int = 0
    parked: list[Parked] = []
    rested: list[Parked] = []
    """The same of proxies."""
    busiest: list[HostState] = []
    network_down: bool = False
    lowered_to: int | None = None
    found: Found = Found()
    """Of limits that are found while running: once it has ended."""
    alive: Target | None = None
    """A host that answered lately."""
    robots: list[RobotsRead] = []
    """What was fetched of them."""
    time: SlotTime | None = None
    """Where the worker's time went so far; with some of the ticks, and the last."""


class Logged(Message):
    """Something for the program's log: a bug of ours comes with its traceback."""

    level: int
    text: str
    error: str | None
    """Name and text of the exception, if it is about one."""
    traceback: str | None


class Failed(Message):
    """The worker can't go on: our side's trouble."""

    error: bytes
    """The exception, pickled."""


class Cookies(Message):
    """The cookies of the sites that the worker owns; before its last word, where they are saved."""

    cookies: list[Cookie]

    def __repr__(self) -> str:
        return "Cookies()"


class Bye(Message):
    """All is said; the worker ends in good order, as soon as the parent hangs up."""


FromParent: TypeAlias = Requests | Hop | Park | Alive | NoMore | Finish | Stop | Abort
FromWorker: TypeAlias = (
    Hello | Want | Outcomes | Away | Park | Tick | Logged | Failed | Cookies | Bye
)

encode = msgspec.msgpack.Encoder().encode
_job_state = msgspec.msgpack.Decoder(JobState).decode
from_parent = msgspec.msgpack.Decoder(FromParent).decode
from_worker = msgspec.msgpack.Decoder(FromWorker).decode
