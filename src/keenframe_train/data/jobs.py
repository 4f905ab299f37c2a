"""One function over many items: in this process, in several, or on a Ray cluster, with the same results.

Results come as they are finished, each with its item, so a caller that files them by item gets the same folder
from one process, from eight, and from a cluster. Nothing random lives here: a function draws what it needs from
a generator seeded by its item.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import cv2

from keenframe_train.errors import TrainError
from keenframe_train.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")
# Items on their way for each worker: enough that none waits, few enough that an interrupt is quick.
AHEAD = 2

_function: Callable[[Any], Any]


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = 1,
    ray_address: str | None = None,
    *,
    label: str = "",
    done: int = 0,
) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` for every item, in the order in which they are finished.

    function: a module's function or a `functools.partial` of one; it is sent to each process once, so what it
    carries may be large. workers: processes; 1 stays in this one. ray_address: `HOST:PORT` or `ray://HOST:PORT` of
    a cluster, `auto` for the one of this machine, `local` for a new one here; its CPUs count then, not `workers`,
    and every node needs keenframe installed and the files that the function reads, under the same paths.
    label, done: of the progress bar, and how many items an earlier run has behind it.
    An exception of the function ends the run and is raised here. Raises TrainError for workers below 1, a worker
    that died, a missing `ray` and a cluster that can't be reached.
    """
    todo = list(items)
    if workers < 1:
        raise TrainError(f"at least 1 worker is needed; got {workers}")
    if not todo:
        return
    if ray_address is not None:
        results: Generator[tuple[Item, Result]] = _on_ray(function, todo, ray_address)
    elif workers == 1:
        results = ((item, function(item)) for item in todo)
    else:
        results = _in_processes(function, todo, workers)
    with closing(results), progress() as bar:
        task = bar.add_task(label, note="", total=done + len(todo), completed=done)
        for pair in results:
            yield pair
            bar.advance(task)


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """No OpenCV threads in this process meanwhile. A forked child inherits the pool but none of its threads, and waits
    for them for ever; so they have to be gone before the fork.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _receive(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    cv2.setNumThreads(1)  # a core a process, where it was started and not forked
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent can't say goodbye, and its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)


def _in_processes(
    function: Callable[[Item], Result], items: list[Item], workers: int
) -> Generator[tuple[Item, Result]]:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with (
        one_opencv_thread(),
        ProcessPoolExecutor(min(workers, len(items)), context, _receive, (function,)) as pool,
    ):
        waiting = iter(items)
        running: dict[Future[Result], Item] = {}
        try:
            while True:
                for item in waiting:
                    running[pool.submit(_call, item)] = item
                    if len(running) >= AHEAD * workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise TrainError(
                "a worker process died, most likely for want of memory; run again with fewer --workers"
            ) from error
        finally:
            # Waiting: otherwise Python's own farewell to the pool may meet one that is half closed, and says so.
            pool.shutdown(cancel_futures=True)


def _on_ray(
    function: Callable[[Item], Result], items: list[Item], address: str
) -> Generator[tuple[Item, Result]]:
    try:
        import ray
    except ImportError as error:
        raise TrainError("--ray needs Ray: pip install 'keenframe[cluster]'") from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise TrainError(f"cannot reach a Ray cluster at '{address}': {error}") from error
    try:
        task: Any = ray.remote(_apply)
        shared = ray.put(function)
        ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = iter(items)
        running: dict[Any, Item] = {}
        while True:
            for item in waiting:
                running[task.remote(shared, item)] = item
                if len(running) >= ahead:
                    break
            if not running:
                return
            (reference,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(reference), _fetch(ray, reference)
    finally:
        if ours:
            ray.shutdown()


def _apply(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _fetch(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, TrainError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise TrainError(f"the Ray cluster lost a task: {error}") from error
