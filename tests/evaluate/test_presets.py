from __future__ import annotations

import pytest

from evaluate_tools import PRESETS, Plugin, install
from keenframe.errors import InputError
from keenframe.evaluate.presets import Preset, choose_presets, known_presets


@pytest.mark.usefixtures("plugin")
def test_presets_come_by_name() -> None:
    assert [preset.name for preset in choose_presets(["half", "soft", "half"])] == ["half", "soft"]
    assert choose_presets(["all"]) == PRESETS
    with pytest.raises(InputError, match=r"no preset 'r9'; expected 'all' or one of these:\n  soft  +a blur"):
        choose_presets(["soft", "r9"])


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [])
    with pytest.raises(InputError, match=r"no degradation presets.*keenframe\[train\].*--degraded DIR"):
        known_presets()

    def broken() -> object:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    install(monkeypatch, [Plugin(broken)])
    with pytest.raises(InputError, match=r"tests.plugin.*No module named 'cv2'.*keenframe\[train\]"):
        known_presets()


def test_random_numbers_follow_seed_name_and_preset_alone() -> None:
    preset, twin = Preset("r4", ""), Preset("r4-small", "", draws_as="r4")

    def drawn(preset: Preset, seed: int, name: str) -> float:
        return float(preset.generator(seed, name).random())

    assert drawn(preset, 7, "a.png") == drawn(preset, 7, "a.png") == drawn(twin, 7, "a.png")
    assert 0 < drawn(preset, 7, "caf\udce9.png") < 1  # a name that is not UTF-8
    others = {drawn(preset, 8, "a.png"), drawn(preset, 7, "b.png"), drawn(Preset("r5", ""), 7, "a.png")}
    assert len(others | {drawn(preset, 7, "a.png")}) == 4
