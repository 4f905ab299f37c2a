"""The parts of scripts/virtual-camera-guest that need no QEMU."""

from __future__ import annotations

import lzma
import os
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "virtual-camera-guest"


@pytest.fixture(scope="module")
def guest() -> ModuleType:
    loader = SourceFileLoader("virtual_camera_guest", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_it_can_be_run() -> None:
    assert os.access(SCRIPT, os.X_OK)


def test_modules_come_after_what_they_need(guest: ModuleType, tmp_path: Path) -> None:
    needs = {"v4l2loopback": "videodev", "videodev": "mc,built-in", "mc": "", "9p": "fscache,9pnet"}
    found = {}
    for name, wanted in {**needs, "9pnet": "", "fscache": ""}.items():
        content = b"\x7fELF\0license=GPL\0depends=" + wanted.encode() + b"\0name=x\0"
        packed = name == "mc"
        found[name] = tmp_path / (name + (".ko.xz" if packed else ".ko"))
        found[name].write_bytes(lzma.compress(content) if packed else content)
    assert {guest.module_name(path) for path in found.values()} == set(found)
    ordered = guest.with_needs(["9p", "v4l2loopback", "virtio_pci"], found)
    assert ordered == ["fscache", "9pnet", "9p", "mc", "videodev", "v4l2loopback"]


def test_the_archive_is_as_the_kernel_reads_it(guest: ModuleType) -> None:
    """Walk through it by the format's own rules: headers of 110 bytes, everything on multiples of four."""
    archive = guest.cpio({"init": b"#!/busybox sh\n", "modules/a.ko": b"12345"})
    at, seen = 0, {}
    while True:
        assert archive[at : at + 6] == b"070701" and at % 4 == 0
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            break
        seen[name] = (oct(fields[1]), archive[start : start + size])
        at = (start + size + 3) // 4 * 4
    assert seen == {
        "modules": ("0o40755", b""),
        "init": ("0o100755", b"#!/busybox sh\n"),
        "modules/a.ko": ("0o100755", b"12345"),
    }
