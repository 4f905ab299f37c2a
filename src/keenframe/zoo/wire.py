"""Protobuf's wire format, as far as ONNX files need it: no ONNX package at run time."""

from __future__ import annotations

from collections.abc import Iterator


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of each field of a message: an int for a variable-length number, else the payload.

    Raises ValueError or IndexError for what is no whole message.
    """
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {at}")
        if kind == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {at} of {len(data)}")
        yield number, data[at : at + size]
        at += size


def payloads(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Those of `fields` that are no variable-length numbers: texts, messages, arrays."""
    for number, value in fields(data):
        if isinstance(value, memoryview):
            yield number, value


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The variable-length integer at `at`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"an endless number at byte {at}")


def numbers(value: int | memoryview) -> list[int]:
    """The integers of a repeated field, one of them or many packed together."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found
