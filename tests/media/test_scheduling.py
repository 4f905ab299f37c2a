from __future__ import annotations

import os

import pytest

from keenframe.media.scheduling import ordinary_scheduling

if not hasattr(os, "sched_setscheduler"):
    pytest.skip("no scheduling classes here", allow_module_level=True)


def test_a_thread_gets_its_class_back() -> None:
    before = os.sched_getscheduler(0)
    with ordinary_scheduling():
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            # What anybody may do: a class below the ordinary one, and back.
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert os.sched_getscheduler(0) != before
    assert os.sched_getscheduler(0) == before


def test_an_error_passes_and_the_class_is_given_back() -> None:
    before = os.sched_getscheduler(0)
    with pytest.raises(ValueError, match="inside"), ordinary_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        raise ValueError("inside")
    assert os.sched_getscheduler(0) == before
