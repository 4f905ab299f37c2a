"""`/api/relay`: a browser's WebRTC offer goes to the relay, whose answer goes back."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keenframe.errors import InputError, KeenframeError
from keenframe.serving.requests import Refused, json_object, read_body
from keenframe.web.reading import sentence, strength_of
from keenframe.web.settings import Limits, Relay

# An offer with a hundred candidates has 20 kB.
_OFFER_BYTES_MAX = 100_000


def relay_routes(relay: Relay | None, no_relay: str, limits: Limits) -> list[Route]:
    """The routes to `relay`; without one they say `no_relay`."""

    def there() -> Relay:
        if relay is None:
            raise Refused(501, "no-relay", no_relay)
        return relay

    def known(found: bool) -> Response:
        if not found:
            raise Refused(404, "gone", "This call has ended. Start it again.")
        return Response(status_code=204)

    async def offer(request: Request) -> Response:
        """{"sdp": offer} in; {"id": name of the call, "sdp": answer} out."""
        sdp = _sdp(await read_body(request, _OFFER_BYTES_MAX, limits.idle))
        try:
            async with asyncio.timeout(limits.offer_seconds):
                id, answer = await there().connect(sdp)
        except TimeoutError:
            raise Refused(504, "too-long", "The relay did not answer in time. Try again.") from None
        except Refused:
            raise
        except KeenframeError as error:
            status = 422 if isinstance(error, InputError) else 503
            raise Refused(status, "relay", sentence(str(error))) from error
        return JSONResponse({"id": id, "sdp": answer})

    async def set_strength(request: Request) -> Response:
        """?strength= 0 to 2."""
        return known(there().set_strength(request.path_params["id"], strength_of(request)))

    async def measured(request: Request) -> Response:
        """What the page shows of a call."""
        numbers = there().stats()["participants"].get(request.path_params["id"])
        if numbers is None:
            return known(False)
        # A call that has just begun has no times yet.
        times_ms = numbers["processing_ms"]
        level = {"level": numbers["level_name"], "ready": numbers["ready"]}
        return JSONResponse(level | {"processing_ms": times_ms.get("p50")})

    async def leave(request: Request) -> Response:
        return known(await there().disconnect(request.path_params["id"]))

    return [
        Route("/api/relay/offer", offer, methods=["POST"]),
        Route("/api/relay/{id}/strength", set_strength, methods=["POST"]),
        Route("/api/relay/{id}", measured),
        Route("/api/relay/{id}", leave, methods=["DELETE"]),
    ]


def _sdp(body: bytes) -> str:
    sdp = (json_object(body) or {}).get("sdp")
    if isinstance(sdp, str) and sdp.startswith("v=0"):
        return sdp
    raise Refused(422, "offer", 'Expected JSON, {"sdp": …}, with the SDP of a WebRTC offer.')
