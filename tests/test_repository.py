"""What must hold of the repository: what it carries, what it never says, what its README promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import readme

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "keenframe"
MODEL_BYTES_MAX = 1_000_000
# R4's student enlarges by four and has 758,755 parameters.
LARGER = {"unet-rrdb-x4.onnx": 3_000_000}
SAMPLES_BYTES_MAX = 1_500_000
PICTURE = ROOT / "docs" / "images" / "before-after.png"
SHELL_SCRIPTS = ["scripts/demo", "scripts/test", "scripts/environment.sh"]

posix = pytest.mark.skipif(os.name != "posix", reason="the set-up scripts are POSIX sh")


def tracked_files() -> list[Path]:
    """Files under version control; in an unpacked archive, all but build products."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [
            path
            for folder in ("src", "tests", "scripts", "docs", ".ci")
            for path in (ROOT / folder).rglob("*")
            if "__pycache__" not in path.parts
        ]
        paths += ROOT.glob("*.*")
    return [path for path in paths if path.is_file()]


def test_no_path_of_a_machine_is_committed() -> None:
    homes = [rb"/(?:home|Users)/[a-z][\w.-]*/", rb"[A-Z]:\\Users\\"]
    here = [re.escape(f"{folder}/".encode()) for folder in (ROOT, Path.home()) if len(folder.parts) > 1]
    pattern = re.compile(b"|".join([*homes, *here]))
    found = {}
    for path in tracked_files():
        if match := pattern.search(path.read_bytes()):
            found[path.relative_to(ROOT).as_posix()] = match.group().decode()
    found.pop("tests/test_repository.py", None)
    assert not found


def test_constraints_pin_exact_versions_and_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    wrong = [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line)]
    assert not wrong
    pinned = {line.split("==")[0] for line in pins}
    wanted = re.findall(r'^ {2}"([A-Za-z0-9-]+)[=><]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(wanted) > 15
    assert not {name.lower() for name in wanted} - pinned


def test_embedded_models_are_small() -> None:
    too_big = {
        path.name: path.stat().st_size
        for path in (PACKAGE / "zoo" / "models").glob("*.onnx")
        if path.stat().st_size >= LARGER.get(path.name, MODEL_BYTES_MAX)
    }
    assert not too_big


def test_the_models_and_their_picture_are_there() -> None:
    present = {path.stem for path in (PACKAGE / "zoo" / "models").glob("*.onnx")}
    assert {"keen", "keen-int8", "keen-x2"} <= present
    assert PICTURE.is_file()


def test_samples_are_there_small_and_credited() -> None:
    files = [path for path in (PACKAGE / "samples").iterdir() if path.suffix != ".md"]
    assert {path.name for path in files} == {
        "call.webm",
        "call-reference.mp4",
        "still.jpg",
        "still-reference.webp",
    }
    assert sum(path.stat().st_size for path in files) < SAMPLES_BYTES_MAX
    credits_text = (PACKAGE / "samples" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in credits_text for path in files)


@pytest.mark.parametrize("statement", ["import keenframe", "from keenframe import Sharpener, Frame"])
def test_importing_stays_light(statement: str) -> None:
    never = {"torch", "lightning_fabric", "nncf", "onnx", "keenframe_train", "scipy", "skimage", "matplotlib"}
    later = {"openvino", "onnxruntime"} | (
        {"av", "numpy", "PIL"} if statement == "import keenframe" else set()
    )
    code = f"{statement}; import sys; print(*sorted({never | later!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_readme_links_lead_somewhere() -> None:
    text = readme.README.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'src="([^":]+)"', text)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_readme_commands_exist() -> None:
    cli = pytest.importorskip("keenframe.cli.app", reason="the command line is not there yet")
    import typer

    command = typer.main.get_command(cli.app)
    lines = readme.commands("keenframe")
    assert {words[0] for words in lines} >= {"image", "video", "bench", "doctor", "models"}
    wrong = {" ".join(words): missing for words in lines if (missing := readme.unknown(words, command))}
    assert not wrong


@posix
@pytest.mark.parametrize("script", [*SHELL_SCRIPTS, ".ci/run"])
def test_scripts_parse(script: str) -> None:
    shell = "sh" if script in SHELL_SCRIPTS else "bash"
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", script], cwd=ROOT, check=True)
    if not script.endswith(".sh"):
        assert os.access(ROOT / script, os.X_OK)


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """A copy of the set-up scripts with no environment yet, and an empty folder `bin` for fake programs."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "cat", "cksum", "rm"):
        path = shutil.which(tool)
        assert path is not None
        (tmp_path / "bin" / tool).symlink_to(path)
    return tmp_path


def set_up(checkout: Path, python3: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/demo where the only Python is the shell script `python3`."""
    fake = checkout / "bin" / "python3"
    fake.write_text(f"#!/bin/sh\n{python3}\n")
    fake.chmod(0o755)
    return subprocess.run(
        ["sh", "scripts/demo"],
        cwd=checkout,
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


@posix
def test_set_up_says_which_python_it_needs(bare_checkout: Path) -> None:
    done = set_up(bare_checkout, 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    assert done.returncode == 1
    assert "3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "apt-get install" in done.stderr
    assert not (bare_checkout / ".venv").exists()


@posix
def test_set_up_says_what_to_install_where_ensurepip_is_missing(bare_checkout: Path) -> None:
    done = set_up(bare_checkout, f'case "$2" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"')
    assert done.returncode == 1
    version = ".".join(map(str, sys.version_info[:2]))
    assert f"apt-get install python{version}-venv" in done.stderr
    assert not (bare_checkout / ".venv").exists()
