"""keenframe: real-time sharpening for video calls on an ordinary CPU."""
