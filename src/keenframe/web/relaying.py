"""`/api/relay/offer`: a browser's WebRTC offer goes to the relay, whose answer goes back."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keenframe.errors import KeenframeError
from keenframe.web.settings import Limits, Refused, Relay
from keenframe.web.uploads import Uploads

# An offer with a hundred candidates has 20 kB.
_OFFER_BYTES_MAX = 100_000


def relay_routes(relay: Relay | None, no_relay: str, limits: Limits, uploads: Uploads) -> list[Route]:
    """The route of `relay`; without one it says `no_relay`."""

    async def offer(request: Request) -> Response:
        """{"sdp": offer} in, {"sdp": answer} out."""
        sdp = _sdp(await uploads.read(request, _OFFER_BYTES_MAX))
        if relay is None:
            raise Refused(501, "no-relay", no_relay)
        try:
            async with asyncio.timeout(limits.offer_seconds):
                return JSONResponse({"sdp": await relay.answer(sdp)})
        except TimeoutError:
            raise Refused(504, "too-long", "The relay did not answer in time. Try again.") from None
        except Refused:
            raise
        except KeenframeError as error:
            raise Refused(503, "relay", str(error)) from error

    return [Route("/api/relay/offer", offer, methods=["POST"])]


def _sdp(body: bytes) -> str:
    try:
        sdp = json.loads(body)["sdp"]
        if isinstance(sdp, str) and sdp.startswith("v=0"):
            return sdp
    except (ValueError, KeyError, TypeError):
        pass
    raise Refused(422, "offer", 'Expected JSON, {"sdp": …}, with the SDP of a WebRTC offer.')
