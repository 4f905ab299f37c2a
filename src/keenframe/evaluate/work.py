"""All items of a run, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection

from keenframe.errors import EngineError, KeenframeError
from keenframe.evaluate.clips import measure_clip
from keenframe.evaluate.material import File
from keenframe.evaluate.presets import Preset
from keenframe.evaluate.stills import Plan, Record, Runner, measure_picture

# Stands for the folder of degraded twins, which no preset made.
GIVEN = Preset("given", "degraded already")
# Tasks that wait for each worker: enough to keep it busy, few enough to forget.
_WAITING = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One file under some presets. A picture keeps them together: an engine compiles once for its size."""

    file: File
    presets: tuple[str, ...]
    digest: str


def fits(file: File, preset: Preset) -> bool:
    """Whether a preset damages files of this kind."""
    return preset is GIVEN or preset.picture is not None or (file.clip and preset.clip is not None)


def run_tasks(
    tasks: Sequence[Task], plan: Plan, workers: int, check: Callable[[], None] = lambda: None
) -> Iterator[Record]:
    """Records of all tasks as they get done. check: called often; may raise to stop everything.

    EngineError when a worker dies, as it does when memory runs out.
    """
    if workers == 1 or len(tasks) <= 1:
        runner = Runner(plan)
        try:
            for task in tasks:
                for name in task.presets:
                    check()
                    yield measure(task, name, runner)
        finally:
            runner.close()
        return
    context = multiprocessing.get_context("spawn")
    # Closed, it tells the workers to end. An event would wait for each of them to notice, and for ever for a dead one.
    end, stop = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start, (plan, end))
    try:
        yield from _collect(pool, iter(tasks), _WAITING * workers, check)
    except BrokenProcessPool as error:
        raise EngineError(
            "a worker ended unexpectedly, perhaps because memory ran out; run the same command again to go on, with "
            "fewer --workers"
        ) from error
    finally:
        stop.close()
        pool.shutdown(wait=False, cancel_futures=True)


def _collect(
    pool: ProcessPoolExecutor, tasks: Iterator[Task], at_once: int, check: Callable[[], None]
) -> Iterator[Record]:
    running: set[Future[list[Record]]] = {pool.submit(_work, task) for task in islice(tasks, at_once)}
    while running:
        check()
        done, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in done:
            yield from future.result()
        running |= {pool.submit(_work, task) for task in islice(tasks, len(done))}


_runner: Runner | None = None


def _start(plan: Plan, end: Connection) -> None:
    """In a worker, first of all. It ends with its parent, however that ends, and leaves Ctrl-C to it."""
    global _runner
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        end.poll(None)  # until the parent closes its side, or is gone
        time.sleep(0.2)  # the last results are on their way
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    _runner = Runner(plan)


def _work(task: Task) -> list[Record]:
    assert _runner is not None
    return [measure(task, name, _runner) for name in task.presets]


def measure(task: Task, preset: str, runner: Runner) -> Record:
    """The record of one item; whatever is wrong with it stands in its `error`."""
    file = task.file
    record: Record = {
        "preset": preset, "name": file.name, "category": file.category, "digest": task.digest,
    }  # fmt: skip
    try:
        chosen = GIVEN if preset == GIVEN.name else runner.preset(preset)
        record |= (measure_clip if file.clip else measure_picture)(file, chosen, runner)
        if not record["failed"]:
            del record["failed"]
    except KeenframeError as error:
        record["error"] = str(error)
    except Exception as error:
        # A preset is somebody else's code, and one item must not end a run of thousands.
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def make_tasks(
    files: Iterable[File], presets: Sequence[Preset], known: Callable[[str, str, str], bool]
) -> tuple[list[Task], list[Record]]:
    """(what is left to do, records of files that cannot even be read). known: whether (preset, name, digest) is
    done."""
    tasks: list[Task] = []
    unreadable: list[Record] = []
    for file in files:
        names = [preset.name for preset in presets if fits(file, preset)]
        try:
            digest = file.digest()
        except KeenframeError as error:
            unreadable += [
                {
                    "preset": name,
                    "name": file.name,
                    "category": file.category,
                    "digest": "",
                    "error": str(error),
                }
                for name in names
            ]
            continue
        left = [name for name in names if not known(name, file.name, digest)]
        groups = [(name,) for name in left] if file.clip else [tuple(left)]
        tasks += [Task(file, group, digest) for group in groups if group]
    return tasks, unreadable
