"""How much a study's server takes, and the door that counts."""

from __future__ import annotations

from starlette.types import ASGIApp, Scope

from keenframe.serving.buckets import Buckets
from keenframe.serving.guard import Guard, page_headers
from keenframe.serving.requests import Refused, client_address

# A rater's page makes a request or two per answer, and fetches some media ahead.
RATER_RATE, RATER_BURST = 20.0, 80.0
# A laboratory or an office may have fifty raters behind one address.
ADDRESS_RATE, ADDRESS_BURST = 400.0, 1200.0
# Wrong links and secrets from one address: enough for typing errors, too few for guessing.
REFUSED_RATE, REFUSED_BURST = 0.5, 20.0
BODY_BYTES_MAX = 16 * 1024
BODY_S, REQUEST_S = 15.0, 300.0
CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS = 1000, 400
HEADERS = page_headers({"img-src": "'self' blob:", "media-src": "blob:"}, features=("fullscreen",)) | {
    "X-Robots-Tag": "noindex, nofollow"
}


class StudyGuard(Guard):
    """Limits on the requests of every address, and on their time."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, HEADERS, REQUEST_S)
        self._addresses = Buckets(ADDRESS_RATE, ADDRESS_BURST)

    def check(self, scope: Scope) -> None:
        if wait_s := self._addresses.take(client_address(scope)):
            raise Refused(429, "too-many", "too many requests from this network", wait_s)
