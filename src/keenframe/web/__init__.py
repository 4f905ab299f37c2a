"""`keenframe serve`: a local web app for pictures, videos and live video."""
