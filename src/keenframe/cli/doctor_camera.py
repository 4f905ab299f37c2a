"""`keenframe doctor camera`: cameras, virtual cameras and the window, and how to get what is missing."""

from __future__ import annotations

import os
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from keenframe.cli.doctor_lines import heading, line, version

if TYPE_CHECKING:
    from keenframe.media.v4l2 import VideoDevice

_MODULE = Path("/sys/module/v4l2loopback")
_SIZES_SHOWN = 3
_EXTRA = "pip install 'keenframe[camera]'"
# Where OBS and Unity Capture register their DirectShow cameras.
_WINDOWS_CAMERAS = {
    "OBS Virtual Camera": "{A3FCE0F5-3493-419F-958A-ABA1250EC20B}",
    "Unity Video Capture": "{5C2CD55C-92AD-4999-8666-912BD3E70010}",
}

_LINUX_SETUP = """
  To get a virtual camera (Debian, Ubuntu):
    sudo apt install v4l2loopback-dkms linux-headers-$(uname -r)
    sudo modprobe v4l2loopback exclusive_caps=1 card_label="keenframe"
  and to have it after each start:
    echo v4l2loopback | sudo tee /etc/modules-load.d/v4l2loopback.conf
    echo 'options v4l2loopback exclusive_caps=1 card_label="keenframe"' | sudo tee /etc/modprobe.d/v4l2loopback.conf
  exclusive_caps=1 matters: Chrome, Meet, Teams and Zoom list only devices that give pictures and take none.
  Start `keenframe camera --virtual` first, then choose "keenframe" in the program: before pictures flow, such a
  device is not listed. With Secure Boot the module's key has to be enrolled (mokutil), as apt explains."""
_RELOAD = """
  v4l2loopback was loaded without exclusive_caps=1, so Chrome, Meet, Teams and Zoom may not list it. Close what uses
  it, then:
    sudo modprobe -r v4l2loopback
    sudo modprobe v4l2loopback exclusive_caps=1 card_label="keenframe\""""
_MACOS_SETUP = """
  To get a virtual camera: install OBS Studio 30 or newer, open it, press "Start Virtual Camera" once, allow its
  extension in System Settings, press "Stop Virtual Camera" and close OBS. Then `keenframe camera --virtual`, and
  choose "OBS Virtual Camera" in the other program."""
_WINDOWS_SETUP = """
  To get a virtual camera: install OBS Studio (its installer registers "OBS Virtual Camera"), or Unity Capture. OBS
  itself need not run. Then `keenframe camera --virtual`, and choose it in the other program."""
_DENIED = """
  This user may not open video devices: sudo usermod -aG video $USER, then log out and in again."""


def doctor_camera() -> bool:
    """Print what there is and how to get the rest; whether there is a camera or a virtual camera."""
    hints: list[str] = []
    found = _show_linux(hints) if sys.platform == "linux" else _show_listed(hints)
    _show_window()
    for hint in dict.fromkeys(hints):
        print(hint)
    return found


def _show_linux(hints: list[str]) -> bool:
    from keenframe.media.v4l2 import video_devices

    def describe(device: VideoDevice) -> str:
        parts = [f"{name} {_sizes(sizes.listed)}" for name, sizes in device.formats.items()]
        return f"{device.name} ({device.driver}): {'; '.join(parts) or 'lists no formats'}"

    devices = video_devices()
    heading("Cameras")
    real = [device for device in devices if device.capture and not device.loopback]
    for device in real:
        line(device.path, f"✓ {describe(device)}")
    for device in devices:
        if device.error:
            line(device.path, f"✗ {device.error}")
            if "permission" in device.error:
                hints.append(_DENIED)
    if not real:
        line("none", "✗ no camera gives pictures here" + _why_none(devices))

    heading("Virtual cameras")
    ready = _show_pyvirtualcam()
    loopback = [device for device in devices if device.loopback]
    for device in loopback:
        line(device.path, f"✓ {device.name}: {_state(device)}")
    if not _MODULE.exists():
        line("v4l2loopback", f"✗ not loaded{'' if _module_installed() else ', not installed'}")
        hints.append(_LINUX_SETUP)
        return bool(real)
    exclusive = _parameter("exclusive_caps")
    line("v4l2loopback", f"✓ loaded {_read(_MODULE / 'version')}, exclusive_caps={exclusive or '?'}")
    if exclusive and not exclusive.split(",")[0].upper().startswith(("Y", "1")):
        hints.append(_RELOAD)
    if not loopback:
        line("devices", "✗ the module is loaded, but no device of it can be opened")
    return bool(real) or (ready and bool(loopback))


def _show_listed(hints: list[str]) -> bool:
    """macOS and Windows: what FFmpeg's devices and the system's registry tell."""
    from keenframe.media.camera import cameras

    heading("Cameras")
    present = cameras()
    for camera in present:
        line(camera.device, f"✓ {camera.description}")
    if not present:
        line(
            "none",
            "✗ none listed; give it by number or name if you know one, and allow this program the camera",
        )
    heading("Virtual cameras")
    ready = _show_pyvirtualcam()
    drivers = _windows_drivers() if sys.platform == "win32" else _macos_drivers()
    for driver in drivers:
        line(driver, "✓ installed")
    if not drivers:
        line("drivers", "✗ none found")
        hints.append(_WINDOWS_SETUP if sys.platform == "win32" else _MACOS_SETUP)
    return bool(present) or (ready and bool(drivers))


def _show_pyvirtualcam() -> bool:
    installed = util.find_spec("pyvirtualcam") is not None
    line("pyvirtualcam", f"✓ {version('pyvirtualcam')}" if installed else f"✗ not installed; run: {_EXTRA}")
    return installed


def _show_window() -> None:
    from keenframe.live.preview import display_present

    heading("Preview window")
    installed = util.find_spec("pygame") is not None
    line("pygame", f"✓ {version('pygame-ce')}" if installed else f"✗ not installed; run: {_EXTRA}")
    line("display", "✓" if display_present() else "✗ none (neither DISPLAY nor WAYLAND_DISPLAY is set)")


def _state(device: VideoDevice) -> str:
    if device.capture and device.output:
        return "gives and takes at once (exclusive_caps=0)"
    if device.capture:
        return "in use: programs can choose it"
    if device.output:
        return "free: programs will list it once something is sent to it"
    return "left behind by a program that sent to it; keenframe will put that right"


def _why_none(devices: list[VideoDevice]) -> str:
    if devices:
        return ""
    return "; there is no /dev/video* at all (a container needs --device /dev/video0)"


def _sizes(sizes: list[tuple[int, int]]) -> str:
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:_SIZES_SHOWN])
    return shown + (" …" if len(sizes) > _SIZES_SHOWN else "")


def _module_installed() -> bool:
    folder = Path("/lib/modules") / os.uname().release
    return any(folder.rglob("v4l2loopback.ko*")) if folder.is_dir() else False


def _parameter(name: str) -> str:
    return _read(_MODULE / "parameters" / name)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _windows_drivers() -> list[str]:
    if sys.platform != "win32":
        return []
    import winreg

    found = []
    for name, identity in _WINDOWS_CAMERAS.items():
        try:
            winreg.CloseKey(winreg.OpenKey(winreg.HKEY_CLASSES_ROOT, rf"CLSID\{identity}"))
        except OSError:
            continue
        found.append(name)
    return found


def _macos_drivers() -> list[str]:
    extension = Path("/Applications/OBS.app/Contents/Library/SystemExtensions")
    plugin = Path("/Library/CoreMediaIO/Plug-Ins/DAL/obs-mac-virtualcam.plugin")
    return ["OBS Virtual Camera"] if extension.is_dir() or plugin.exists() else []
