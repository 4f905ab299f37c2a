"""The WebRTC relay: a participant's video goes in and comes back sharpened, its sound untouched."""
