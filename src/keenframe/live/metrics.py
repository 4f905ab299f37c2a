"""A small HTTP server on this machine only: /metrics for Prometheus, /stats.json for everything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from keenframe.errors import OutputError
from keenframe.live.stats import prometheus

LOOPBACK = "127.0.0.1"
_NAMES = (LOOPBACK, "localhost")
# A client that says nothing for so long is sent away.
_SILENCE_S = 5.0


class MetricsServer:
    """Serves what `snapshot` gives at http://127.0.0.1:port. port: 0 takes a free one. OutputError when it is taken."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]], port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"snapshot": staticmethod(snapshot)})
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            raise OutputError(
                f"port {port} cannot be listened on: {(error.strerror or str(error)).lower()} — choose another one"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="keenframe-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    timeout = _SILENCE_S
    server_version = "keenframe"
    snapshot: Callable[[], dict[str, Any]]

    def do_GET(self) -> None:
        # A page elsewhere can point a name of its own at this address (DNS rebinding), but it cannot choose what the
        # browser sends as Host.
        name = self.headers.get("Host", "").lower().partition(":")[0]
        if name not in _NAMES:
            self.send_error(421, f"this server goes by {' and '.join(_NAMES)} only")
        elif self.path == "/metrics":
            self._answer("text/plain; version=0.0.4; charset=utf-8", prometheus(self.snapshot()))
        elif self.path == "/stats.json":
            self._answer("application/json", json.dumps(self.snapshot()) + "\n")
        else:
            self.send_error(404, "not here; try /metrics or /stats.json")

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal is the user's."""
