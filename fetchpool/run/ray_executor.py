"""`RayExecutor`: calls as tasks of a Ray cluster, for `run_shards`. Ray is imported for it only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from fetchpool.config import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


class RayExecutor(Executor):
    """Runs each call as a task of the Ray that this program is connected to.

    Call `ray.init` first. *options* are those of `ray.remote`, such as `num_cpus` for a task (1);
    as many run at once as the cluster has room for. A call that is cancelled is interrupted, as
    by Ctrl-C, and a task whose worker or node is lost raises Ray's error. Raises `ConfigError`
    where Ray is not installed.
    """

    def __init__(self, **options: Any) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigError("Ray is not installed: pip install 'fetchpool[ray]'") from None
        self._ray: Any = ray
        # Who submits decides what is begun again.
        self._remote: Any = ray.remote(max_retries=0, **options)(_call)
        self._open: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a task call *fn*."""
        reference = self._remote.remote(partial(fn, *args, **kwargs))
        future: Future[T] = Future()
        self._open[future] = reference
        future.add_done_callback(self._ended)
        reference.future().add_done_callback(partial(_hand_on, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait until all calls have ended; with *cancel_futures* interrupt them."""
        if cancel_futures:
            for future in list(self._open):
                future.cancel()
        if wait:
            _wait(list(self._open))

    def _ended(self, future: Future[Any]) -> None:
        reference = self._open.pop(future)
        if future.cancelled():
            self._ray.cancel(reference)


_wait = wait
"""`Executor.shutdown` has an argument of that name."""


def _call(call: Callable[[], T]) -> T:
    return call()


def _hand_on(future: Future[Any], done: Future[Any]) -> None:
    """Have *future* come to what *done* has come to, unless nobody wants it any more."""
    with suppress(InvalidStateError):
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(error)
