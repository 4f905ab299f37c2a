"""The newest item wins, and what it replaced is counted."""

from __future__ import annotations

import threading

from keenframe.live.mailbox import Mailbox


def test_a_newer_item_takes_the_place_of_one_that_waits() -> None:
    box: Mailbox[int] = Mailbox()
    for number in range(5):
        box.put(number)
    assert box.get() == (4, 4)
    box.put(5)
    assert box.get() == (5, 0)
    assert box.dropped == 4
    assert box.get(timeout_s=0) is None and not box.closed


def test_what_waits_at_the_end_is_still_given() -> None:
    box: Mailbox[int] = Mailbox()
    assert box.put(1)
    box.close()
    assert not box.put(2)
    assert box.get() == (1, 0)
    assert box.get() is None and box.closed


def test_closing_wakes_who_waits() -> None:
    box: Mailbox[int] = Mailbox()
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(box.get()))
    thread.start()
    box.close()
    thread.join(30)
    assert found == [None]


def test_between_two_threads_nothing_is_lost_uncounted() -> None:
    box: Mailbox[int] = Mailbox()
    count, taken, given_up = 20_000, 0, 0
    last = -1

    def produce() -> None:
        for number in range(count):
            box.put(number)
        box.close()

    thread = threading.Thread(target=produce)
    thread.start()
    while (got := box.get()) is not None:
        assert got[0] > last
        last, taken, given_up = got[0], taken + 1, given_up + got[1]
    thread.join()
    assert last == count - 1 and taken + given_up == count
