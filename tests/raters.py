"""Simulated raters for the opinion study: programs with known preferences, over real HTTP, and a server to kill.

They use links made with `--simulated`, so what they answer is flagged and never reported as an opinion.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import commands
from keenframe.study.database import Database
from keenframe.study.design import RUINED, Study, read_study
from keenframe.study.plan import Step

DEADLINE_S = 120.0


@dataclass
class Server:
    """`keenframe study serve` as a process of its own."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, on the port of the time before if there was one; returns when it listens."""
        self.process = commands.start(
            self.folder, "study", "serve", self.folder, "--port", self.port, *self.options
        )
        self.port = int(commands.url_of(self.process).split(":")[2].rstrip("/"))

    def kill(self) -> None:
        """kill -9, without a chance to finish anything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        self.process.communicate(timeout=30)
        return self.process.returncode


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A running server, stopped at the end."""
    server = Server(folder, options)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


@dataclass
class Taste:
    """What a rater thinks: quality of each condition on the five-grade scale, own bias and noise, and habits."""

    quality: dict[str, float]
    bias: float = 0.0
    noise: float = 0.5
    random: np.random.Generator = field(default_factory=np.random.default_rng)
    careless: bool = False

    def acr(self, condition: str) -> int:
        if self.careless:
            return int(self.random.integers(1, 6))
        seen = self.quality[condition] + self.bias + self.random.normal(0, self.noise)
        return int(np.clip(round(seen), 1, 5))

    def ccr(self, first: str, second: str) -> int:
        if self.careless:
            return int(self.random.integers(-3, 4))
        seen = self.quality[second] - self.quality[first] + self.random.normal(0, self.noise)
        return int(np.clip(round(seen), -3, 3))


def reply(study: Study, step: Step, taste: Taste) -> dict[str, Any]:
    """What a rater of that taste answers to a step."""
    kind = step["kind"]
    if kind == "about":
        return {"value": {question.id: question.choices[0] for question in study.questions}, "ms": 4000}
    if kind == "screen":
        sizes = {"width": 1280, "height": 720, "screen_width": 1280, "screen_height": 800}
        return {"value": {**sizes, "ratio": 1.0, "full_screen": True}, "ms": 3000}
    if kind in ("ramp", "plate"):
        return {"value": study.sheets[step["sheet"]].answer, "ms": 3000}
    if kind == "acuity":
        return {"value": list(step["turns"]), "ms": 9000}
    if kind in ("intro", "ready"):
        return {"value": None, "ms": 2000}
    items = [study.stimulus(id) for id in step["items"]]
    told = next((item.instructs for item in items if item.instructs), None)
    if told and not taste.careless:
        value = told[1]
    elif kind == "acr":
        value = taste.acr(items[0].condition)
    else:
        value = taste.ccr(items[0].condition, items[1].condition)
    least = sum(max(700, round(1000 * item.seconds)) for item in items) + 250 * (len(items) - 1)
    ms = least + int(taste.random.integers(900, 4000))
    return {"value": value, "ms": ms, "first_ms": ms - 200, "hidden_ms": 0, "replays": 0, "scale": 1.0}


@dataclass
class Acknowledged:
    """An answer that the server said it has."""

    step: int
    id: str
    value: Any


class RemoteRater:
    """A rater over HTTP who repeats each request until it is answered, as the page does."""

    def __init__(self, url: str, study: Study, token: str, taste: Taste) -> None:
        self.url, self.study, self.token, self.taste = url, study, token, taste
        self.secret = secrets.token_hex(32)
        self.acknowledged: list[Acknowledged] = []
        self.retries = 0
        self._names = {item.file: item for item in study.stimuli}
        self._sheets = {sheet.file: index for index, sheet in enumerate(study.sheets)}

    async def run(
        self, client: httpx.AsyncClient, acknowledged: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """The whole session. acknowledged: awaited after each answer that the server said it has."""
        body = {"token": self.token, "secret": self.secret, "agreed": True}
        state = await self._ask(client, "POST", "/api/start", body)
        while state["step"] is not None:
            step = state["step"]
            id = secrets.token_hex(16)
            answer = {"id": id, "step": step["number"], **reply(self.study, self._known(step), self.taste)}
            state = await self._ask(client, "POST", "/api/answers", answer)
            self.acknowledged.append(Acknowledged(step["number"], id, answer["value"]))
            if acknowledged is not None:
                await acknowledged()

    def _known(self, seen: dict[str, Any]) -> Step:
        """The step as the page shows it, with what only an insider knows about its files."""
        step = Step(kind=seen["kind"], role="rated")
        if seen["kind"] in ("ramp", "plate"):
            step["sheet"] = self._sheets[seen["media"][0]]
        elif seen["kind"] == "acuity":
            step["turns"] = seen["turns"]
        elif seen["media"]:
            step["items"] = [self._names[name].id for name in seen["media"]]
        return step

    async def _ask(
        self, client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Any:
        headers = {} if path == "/api/start" else {"Authorization": f"Bearer {self.secret}"}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    response = await client.request(method, self.url + path, json=body, headers=headers)
                except httpx.TransportError:
                    self.retries += 1
                    await asyncio.sleep(0.05)
                    continue
                if response.status_code in (429, 503):
                    await asyncio.sleep(0.2)
                    continue
                assert response.status_code == 200, response.text
                return response.json()


def taste(index: int, quality: dict[str, float], seed: int = 1, careless: bool = False) -> Taste:
    """The taste of rater number `index`, with a bias of his own."""
    random = np.random.default_rng([seed, index])
    return Taste({RUINED: 1.0, **quality}, float(random.normal(0, 0.3)), 0.5, random, careless)


def fill(folder: Path, tastes: list[Taste], simulated: bool = True) -> None:
    """Answer a whole study without a server, straight into its database."""
    study = read_study(folder)
    database = Database(folder, study)
    for token, own in zip(database.invite(len(tastes), simulated), tastes, strict=True):
        started = database.start(token, secrets.token_hex(32))
        for number, step in enumerate(started.steps):
            database.answer(started.rater, number, secrets.token_hex(16), reply(study, step, own))
    database.close()
