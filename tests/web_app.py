"""The web app for tests: called in this process, or on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from keenframe.web.app import create_app
from keenframe.web.settings import Limits, Relay, Settings
from servers import running

HERE = "http://127.0.0.1"


def settings(model: Path | str, limits: Limits | None = None, **more: Any) -> Settings:
    """A small model on the engine that starts fastest."""
    return Settings(str(model), "onnxruntime", 1, limits=limits or Limits(free_disk=0), **more)


@contextmanager
def client(model: Path | str, base: Path, limits: Limits | None = None, **more: Any) -> Iterator[TestClient]:
    """The app with its lifespan running; its folder is made in `base`."""
    app = create_app(settings(model, limits, **more), base=base)
    with TestClient(app, base_url=HERE) as caller:
        yield caller


@contextmanager
def server(
    model: Path | str,
    base: Path,
    limits: Limits | None = None,
    relay: Relay | None = None,
    no_relay: str = "no relay here",
) -> Iterator[str]:
    """The app on a free port of this computer; gives its address."""
    given = settings(model, limits)
    with running(create_app(given, relay, no_relay, base), given.limits.connections) as url:
        yield url
