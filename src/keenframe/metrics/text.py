"""How much of a text is read wrongly."""

from __future__ import annotations

import numpy as np


def character_error_rate(read: str, truth: str) -> float:
    """Insertions, deletions and substitutions that turn `read` into `truth`, over the length of `truth`; at most 1.

    Runs of blanks and line breaks count as one blank, and none at the ends. An empty truth gives 0 for an empty
    reading, else 1. What is more than wholly wrong counts as wholly wrong, so that one page of noise does not carry a
    mean.
    """
    read, truth = " ".join(read.split()), " ".join(truth.split())
    if not truth:
        return 1.0 if read else 0.0
    return min(1.0, edit_distance(read, truth) / len(truth))


def edit_distance(one: str, two: str) -> int:
    """Levenshtein's distance: the fewest characters to insert, delete or replace."""
    if len(one) < len(two):
        one, two = two, one
    targets = np.array([ord(character) for character in two], np.int64)
    places = np.arange(len(two) + 1)
    row = places.copy()
    for number, character in enumerate(one, 1):
        reached = np.empty_like(row)
        reached[0] = number
        reached[1:] = np.minimum(row[1:] + 1, row[:-1] + (targets != ord(character)))
        # An insertion costs one more than the place to its left: a running minimum of what is left over.
        row = np.minimum.accumulate(reached - places) + places
    return int(row[-1])
