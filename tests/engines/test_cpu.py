from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from keenframe.engines import cpu


@pytest.fixture(autouse=True)
def forget() -> None:
    cpu.instruction_sets.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
@pytest.mark.parametrize(
    ("line", "fast"),
    [
        ("flags\t\t: fpu sse2 avx avx2 fma", False),
        ("flags\t\t: fpu avx2 avx_vnni", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw", False),  # sums of two products saturate
        ("flags\t\t: fpu amx_int8 avx512_vnni", True),
        ("Features\t: fp asimd aes asimddp", True),
        ("Features\t: fp asimd aes", False),
        ("model name\t: x", False),
    ],
)
def test_int8_is_fast_where_the_processor_multiplies_bytes(
    monkeypatch: pytest.MonkeyPatch, line: str, fast: bool
) -> None:
    monkeypatch.setattr(cpu, "_cpuinfo", lambda: ("processor\t: 0", line))
    assert cpu.fast_int8() is fast
    cpu.instruction_sets.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/cpuinfo")
@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("GenuineIntel", "avx512f avx512_bf16 amx_bf16", True),
        ("AuthenticAMD", "avx2", False),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, vendor: str, flags: str, fast: bool
) -> None:
    monkeypatch.setattr(cpu, "_cpuinfo", lambda: (f"vendor_id\t: {vendor}", f"flags\t\t: {flags}"))
    assert cpu.fast_bf16() is fast
    cpu.instruction_sets.cache_clear()


def test_on_windows_our_library_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(keenframe_features=lambda: 0b1111)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: library)
    assert cpu._further({"avx2", "avx512f"}) == {"avx_vnni", "avx512bw", "avx512_vnni", "fma"}
    assert cpu._further({"avx2"}) == {"avx_vnni", "fma"}  # the system does not keep AVX-512's registers
    library.keenframe_features = lambda: 0
    assert cpu._further({"avx2"}) == set()

    def absent(path: str) -> None:
        raise OSError(path)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert cpu._further({"avx2"}) == cpu._further(set()) == set()


def test_this_machine_has_a_name_and_cores() -> None:
    assert cpu.cpu_name()
    assert cpu.usable_cores() >= 1
