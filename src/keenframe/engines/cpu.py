"""What this machine's processor is and whether it runs INT8 networks faster than float ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

# Any of these sums products of bytes, four at a time, in 32 bits. What came before them sums two in 16 bits, saturated,
# and so do the libraries that run INT8 networks with it: wrong where weights and codes are large.
_INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
_KNOWN_FLAGS = _INT8_FLAGS | {"avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "amx_bf16"}
# Where the native engine's libraries are; on Windows one of them is asked what the processor has.
KERNELS = Path(__file__).parent / "kernels"
# IsProcessorFeaturePresent: PF_AVX2_INSTRUCTIONS_AVAILABLE, PF_AVX512F_…, PF_ARM_V82_DP_….
_WINDOWS_FEATURES = {40: "avx2", 41: "avx512f", 43: "asimddp"}


@cache
def cpu_name() -> str:
    """The processor's name as the system gives it."""
    if sys.platform == "linux":
        for line in _cpuinfo():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string")
    return platform.processor() or platform.machine()


@cache
def instruction_sets() -> frozenset[str]:
    """Names of the vector instruction sets relevant to INT8, as Linux spells them; empty where unknown."""
    if sys.platform == "linux":
        for line in _cpuinfo():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split()) & _KNOWN_FLAGS
    if sys.platform == "darwin":
        if platform.machine() == "arm64":
            return frozenset({"asimddp"})
        return frozenset(_sysctl("machdep.cpu.leaf7_features").lower().split()) & _KNOWN_FLAGS
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found = {name for number, name in _WINDOWS_FEATURES.items() if present(number)}
        return frozenset(found | _further(found))
    return frozenset()


def _further(found: set[str]) -> set[str]:
    """What Windows does not name, as our own library sees it (native/dll.h); that one takes AVX2."""
    import ctypes

    try:
        bits = ctypes.CDLL(str(KERNELS / "x86_64-avx2.dll")).keenframe_features() if "avx2" in found else 0
    except OSError:
        return set()
    names = ("avx_vnni", "avx512bw", "avx512_vnni", "fma")
    seen = {name for bit, name in enumerate(names) if bits >> bit & 1}
    # Windows says whether it keeps the registers of AVX-512, too.
    return seen if "avx512f" in found else seen & {"avx_vnni", "fma"}


def fast_int8() -> bool:
    """Whether the processor has VNNI, AMX or (Arm) dot-product instructions: any engine runs INT8 well there."""
    return bool(instruction_sets() & _INT8_FLAGS)


def fast_bf16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: with AMX, or as AMD's AVX-512 does.

    Intel's AVX-512 has the instructions too, at half their rate: where AMX is missing, or a virtual machine hides it,
    convolutions in bfloat16 take 1.1 to 1.8 times as long as in float32 (docs/log.md).
    """
    sets = instruction_sets()
    return "amx_bf16" in sets or ("avx512_bf16" in sets and _vendor() == "AuthenticAMD")


def usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Cores of those, two logical ones that share a physical one counted once; all of them where nobody knows."""
    if not hasattr(os, "sched_getaffinity"):
        return usable_cores()
    groups = set()
    for number in os.sched_getaffinity(0):
        try:
            siblings = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text()
        except OSError:
            siblings = str(number)
        groups.add(siblings.strip())
    return len(groups)


def machine() -> dict[str, str | int]:
    """What has to stand beside a speed: the processor's name, the cores that can be used, the system."""
    return {"cpu": cpu_name(), "cores": usable_cores(), "system": platform.platform()}


def _vendor() -> str:
    lines = (line.partition(":") for line in _cpuinfo())
    return next((value.strip() for key, _, value in lines if key.strip() == "vendor_id"), "")


@cache
def _cpuinfo() -> tuple[str, ...]:
    try:
        return tuple(Path("/proc/cpuinfo").read_text(errors="replace").splitlines())
    except OSError:
        return ()


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
