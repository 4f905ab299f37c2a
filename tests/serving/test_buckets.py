from __future__ import annotations

import pytest

from keenframe.serving import buckets
from keenframe.serving.buckets import Buckets


def test_buckets_fill_up_again_and_forget() -> None:
    now = [0.0]
    visits = Buckets(rate=2.0, burst=3.0, clock=lambda: now[0])
    assert [visits.take("a") for _ in range(3)] == [0, 0, 0]
    assert visits.take("a") == pytest.approx(0.5)
    assert visits.take("b") == 0
    now[0] = 0.5
    assert visits.take("a") == 0
    assert visits.take("a") > 0
    now[0] = 100.0
    assert [visits.take("a") > 0 for _ in range(4)] == [False, False, False, True]
    for key in range(buckets._KEYS_MAX + 10):
        visits.take(key)
    assert len(visits._levels) == buckets._KEYS_MAX
