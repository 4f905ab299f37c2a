"""Where servers listen, by which addresses they are reached, and whom they let in there."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from keenframe.errors import InputError, OutputError
from keenframe.serving.access import Access
from keenframe.serving.listener import addresses, is_private, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_this_computer_needs_no_token(host: str) -> None:
    try:
        listener = listen(host, 0)
    except OutputError:
        pytest.skip(f"{host} is not there")
    with listener:
        access = Access.to(listener, host)
        assert is_private(listener) and access.token is None and not access.any_address
        (url,) = addresses(listener)
        assert url.startswith("http://[::1]:" if ":" in listener.getsockname()[0] else "http://127.")
        assert Access.to(listener, host, "a token").token == "a token"


def test_everyone_else_does() -> None:
    with listen("0.0.0.0", 0) as listener:
        first, second = Access.to(listener, "0.0.0.0"), Access.to(listener, "0.0.0.0")
        assert not is_private(listener) and first.any_address
        assert first.token and len(first.token) >= 32 and first.token != second.token
        urls = addresses(listener, first.token)
        assert urls[-1].startswith("http://127.0.0.1:")
        assert all(url.endswith(f"/?token={first.token}") and "0.0.0.0" not in url for url in urls)
        assert Access.to(listener, "0.0.0.0", "a token").token == "a token"


@pytest.mark.parametrize("token", ["a&b", "a#b", "a+b", "100%", "two words", "a/b?c=ü"])
def test_any_token_can_be_part_of_an_address(token: str) -> None:
    with listen("127.0.0.1", 0) as listener:
        (url,) = addresses(listener, token)
    parts = urlsplit(url)
    assert parse_qs(parts.query) == {"token": [token]} and not parts.fragment and " " not in url


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OutputError, match=f"127.0.0.1 port {port}.*choose another port with --port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no such name", "nowhere.invalid", "x" * 100])
def test_names_that_are_none(host: str) -> None:
    with pytest.raises(InputError, match="no address of a computer"):
        listen(host, 0)
