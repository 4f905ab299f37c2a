from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import commands
from commands import keenframe
from keenframe.study.design import read_study
from raters import Server, fill, taste

QUALITY = {"reference": 4.4, "unsharp:2": 3.4, "input": 2.4}


def test_from_pictures_to_a_report(tmp_path: Path, pristine: Path) -> None:
    folder = tmp_path / "study"
    made = keenframe(
        *("study", "prepare", folder, "--data", pristine, "--conditions", "input,unsharp:2,reference"),
        *(
            "--count",
            3,
            "--size",
            "160x120",
            "--seed",
            4,
            "--title",
            "A title",
            "--contact",
            "me@example.org",
        ),
        *("--ask", "Glasses?=yes|no", "--damage", "blur"),
    )
    assert (made.code, made.err) == (0, "")
    assert "3 sources" in made.out and "study invite" in made.out
    study = read_study(folder)
    assert (study.title, study.seed, len(study.rated)) == ("A title", 4, 3)
    assert study.questions[0].choices == ("yes", "no")
    assert any("me@example.org" in paragraph for paragraph in study.consent)

    invited = keenframe("study", "invite", folder, 5, "--url", "https://example.org/study")
    links = invited.out.split()
    assert len(set(links)) == 5
    assert all(link.startswith("https://example.org/study/#") and len(link) > 50 for link in links)

    fill(folder, [taste(index, QUALITY) for index in range(4)], simulated=True)
    told = keenframe("study", "status", folder)
    assert "raters: 5 invited, 0 started" in told.out
    assert "simulated: 4 invited, 4 started, 4 finished" in told.out
    counts = json.loads(keenframe("study", "status", folder, "--json").out)
    assert counts["simulated"]["finished"] == 4

    refused = keenframe("study", "analyse", folder)
    assert refused.code == 1 and "nobody's opinion" in refused.err
    assert not (folder / "report").exists()
    analysed = keenframe("study", "analyse", folder, "--simulated")
    assert analysed.code == 0
    assert "4 SIMULATED raters" in analysed.out and "SIMULATED MOS reference: 4." in analysed.out
    assert (folder / "report" / "report.html").is_file()
    again = keenframe("study", "analyse", folder, "--simulated")
    assert again.code == 1 and "--overwrite" in again.err

    exported = keenframe("study", "export", folder, "-o", tmp_path / "out")
    assert exported.code == 0 and "of 4 raters" in exported.out
    assert (tmp_path / "out" / "answers.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "64x64"], "at least 96"),
        (["--size", "big"], "WIDTHxHEIGHT"),
        (["--methods", "acr,abx"], "expected acr, ccr"),
        (["--ask", "Age?"], "a question and choices"),
        (["--consent", "missing.txt"], "does not exist"),
        (["--data", "nowhere"], "not a folder"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, pristine: Path, arguments: list[str], words: str) -> None:
    given = ["study", "prepare", tmp_path / "study", "--data", pristine, "--conditions", "input,reference"]
    result = keenframe(*given, *arguments)
    assert result.code == 1
    assert words in result.err and "Traceback" not in result.err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("command", ["serve", "status", "analyse", "invite", "export"])
def test_a_folder_that_is_no_study_is_named(tmp_path: Path, command: str) -> None:
    more = {"invite": [1], "export": ["-o", tmp_path / "out"]}.get(command, [])
    result = keenframe("study", command, tmp_path, *more)
    assert result.code == 1 and "is not a study" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_named(folder: Path) -> None:
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = keenframe("study", "serve", folder, "--port", taken.getsockname()[1])
    assert result.code == 1
    assert "cannot listen on 127.0.0.1" in result.err and "--port" in result.err


def test_ctrl_c_stops_the_server(folder: Path) -> None:
    pytest.importorskip("uvicorn")
    server = Server(folder)
    server.start()
    assert server.process is not None
    server.process.send_signal(signal.SIGINT)
    _, said = server.process.communicate(timeout=30)
    assert server.process.returncode == 130
    assert "Traceback" not in said and "Exception" not in said


def test_serving_beyond_this_machine_is_warned_of(folder: Path) -> None:
    pytest.importorskip("uvicorn")
    process = commands.start(folder, "study", "serve", folder, "--host", "0.0.0.0", "--port", 0)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert "without encryption" in said


@pytest.mark.skipif(os.name != "posix", reason="hides a module by its path")
def test_without_the_extra_the_error_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "starlette"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'starlette'\", name='starlette')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{hidden.parent}{os.pathsep}{commands.SOURCES}"}
    done = subprocess.run(
        [sys.executable, "-c", "from keenframe.cli import main; main()", "study", "serve", str(folder)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 1
    assert "pip install 'keenframe[web]'" in done.stderr and "Traceback" not in done.stderr


def test_preparing_and_analysing_need_no_server() -> None:
    code = (
        "import sys, keenframe.cli.study, keenframe.study.analysis.run, keenframe.study.prepare.folder; "
        "print(*sorted({'starlette', 'uvicorn', 'scipy', 'matplotlib', 'torch', 'cv2'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(commands.SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == []
