"""The raters' page and its API, by Starlette and uvicorn: the extra `web`."""
