"""`keenframe study`: opinion scores by people."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keenframe.cli import stop
from keenframe.cli.options import Engine, Overwrite, Port, extra, items_bar, warn
from keenframe.errors import InputError

if TYPE_CHECKING:
    from keenframe.study.design import Method, Question

app = typer.Typer(
    name="study",
    help="Let people judge: prepare a blind study, serve it to raters, analyse their answers.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder to make.")],
    data: Annotated[
        Path, typer.Option(help="Pristine pictures and clips; folders in it name the categories.")
    ],
    conditions: Annotated[
        str,
        typer.Option(
            help="What is compared, by commas: input, reference, unsharp[:AMOUNT], MODEL[:STRENGTH], "
            "NAME=FOLDER for files made elsewhere."
        ),
    ] = "input,keen,unsharp,reference",
    count: Annotated[int, typer.Option(min=1, max=500, help="Pictures and clips that are rated.")] = 12,
    damage: Annotated[
        str,
        typer.Option(help="What makes the input: call-half, call-full, blur, none; or give input=FOLDER."),
    ] = "call-half",
    size: Annotated[str, typer.Option(metavar="WxH", help="Largest window that is shown.")] = "640x480",
    seconds: Annotated[float, typer.Option(min=1, max=20, help="Length of clips at most.")] = 6.0,
    methods: Annotated[str, typer.Option(help="acr (five grades), ccr (pairs), or both.")] = "acr,ccr",
    pairs: Annotated[
        str, typer.Option(metavar="A/B,…", help="Pairs for ccr.", show_default="the usual ones")
    ] = "",
    per_rater: Annotated[
        int | None, typer.Option(min=1, help="Sources that one rater rates.", show_default="all")
    ] = None,
    traps: Annotated[int, typer.Option(min=0, max=5, help="Attention checks, for each method.")] = 2,
    golds: Annotated[
        int, typer.Option(min=0, max=10, help="Questions with a known answer, for each method.")
    ] = 2,
    repeats: Annotated[int, typer.Option(min=0, max=20, help="Items shown twice, for each method.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of sources and of all orders.")] = 1,
    title: Annotated[str, typer.Option(help="What raters read; it must not tell what is compared.")] = (
        "Picture quality"
    ),
    contact: Annotated[str, typer.Option(help="Whom raters can ask; shown with the consent text.")] = "",
    consent: Annotated[
        Path | None, typer.Option(help="A text file instead of the usual consent text.")
    ] = None,
    ask: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT=A|B|…", help="A question about the rater; may be repeated."),
    ] = None,
    engine: Engine = "auto",
) -> None:
    """Pick stimuli, process them, and write a study folder whose files tell nothing to raters."""
    from keenframe.study.prepare.folder import Preparation
    from keenframe.study.prepare.folder import prepare as make

    wanted = Preparation(
        data=data,
        conditions=_listed(conditions),
        count=count,
        damage=damage,
        size=_size(size),
        seconds=seconds,
        seed=seed,
        methods=_methods(methods),
        pairs=_listed(pairs),
        per_rater=per_rater,
        traps=traps,
        golds=golds,
        repeats=repeats,
        title=title,
        contact=contact,
        consent=_text(consent) if consent is not None else None,
        questions=tuple(_question(index, text) for index, text in enumerate(ask or [])),
        engine=engine,
    )
    with items_bar() as progress:
        task = progress.add_task("preparing", total=None)

        def show(what: str, done: int, total: int) -> None:
            stop.check()
            progress.update(task, description=what, completed=done, total=total)

        study, passed_over = make(folder, wanted, show)
    for message in passed_over:
        warn(f"passed over: {message}")
    rated, stimuli = len(study.rated), sum(not item.instructs for item in study.stimuli)
    print(f"{folder}: {rated} sources, {stimuli} stimuli, about {study.minutes} minutes a rater")
    print(f"Next: keenframe study invite {folder} 30, then keenframe study serve {folder}")


@app.command()
def invite(
    folder: Folder,
    count: Annotated[int, typer.Argument(metavar="N", min=1, max=10_000, help="Number of links.")],
    url: Annotated[
        str, typer.Option(help="The address under which raters reach the server.")
    ] = "http://127.0.0.1:8765/",
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated", help="For programs and trials: answers are flagged, never reported as opinions."
        ),
    ] = False,
) -> None:
    """Print N links, each for one rater. They are stored as hashes only: keep what is printed."""
    from keenframe.study.database import Database
    from keenframe.study.design import read_study

    if not re.fullmatch(r"https?://[^\s#?]+", url):
        raise InputError(f"--url is '{url}'; expected http:// or https://, a host and a path at most")
    database = Database(folder, read_study(folder))
    try:
        for token in database.invite(count, simulated):
            print(f"{url.rstrip('/')}/#{token}")
    finally:
        database.close()


@app.command()
def serve(
    folder: Folder,
    host: Annotated[
        str, typer.Option(help="Where to listen. Others than this machine reach it only with, say, 0.0.0.0.")
    ] = "127.0.0.1",
    port: Port = 8765,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="Believe a proxy on this machine about the clients' addresses."),
    ] = False,
) -> None:
    """Serve the raters' page until Ctrl-C. An answer that is acknowledged is on the disk."""
    from keenframe.study.design import read_study

    study = read_study(folder)  # say so before anything else is looked at
    with extra("web"):
        from keenframe.serving.listener import addresses, is_private, listen
        from keenframe.study.server.serve import serve as run

    with listen(host, port) as listener:
        (url, *_) = addresses(listener)
        if not is_private(listener):
            warn(
                f"anyone who reaches {url} sees the page, without encryption: over a network that is not "
                "yours alone, put a proxy with TLS before it"
            )

        def ready() -> None:
            print(
                f"{study.title}: {url} (Ctrl-C stops; links for raters: keenframe study invite)", flush=True
            )

        run(folder, study, listener, behind_proxy, ready)


@app.command()
def status(folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """How many were invited, started and finished."""
    from keenframe.study.database import Database
    from keenframe.study.design import read_study

    study = read_study(folder)
    database = Database(folder, study, reading=True)
    try:
        counts = {"raters": database.counts(False), "simulated": database.counts(True)}
    finally:
        database.close()
    if as_json:
        print(json.dumps({name: asdict(count) for name, count in counts.items()}, indent=1))
        return
    print(f"{study.title}: {len(study.rated)} sources, {len(study.conditions)} conditions")
    for name, count in counts.items():
        if count.invited or name == "raters":
            print(
                f"{name}: {count.invited} invited, {count.started} started, {count.finished} finished, "
                f"{count.answers} answers"
            )


@app.command()
def analyse(
    folder: Folder,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the report.", show_default="STUDY/report"),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Look at the simulated raters instead, marked everywhere.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Screen the raters, score the conditions, and write report, tables and figures."""
    from keenframe.study.analysis.figures import interval_text
    from keenframe.study.analysis.run import analyse as run
    from keenframe.study.analysis.run import write_analysis
    from keenframe.study.analysis.words import about_numbers
    from keenframe.study.design import ALL

    result = run(folder, simulated)
    target = output or folder / "report"
    write_analysis(target, result, overwrite)
    if result.left_out:
        warn(f"{result.left_out} simulated raters are left out")
    print(about_numbers(result.kept, result.simulated))
    mark = "SIMULATED " if result.simulated else ""
    for score in result.scores.mos:
        if score.category == ALL:
            print(f"{mark}MOS {score.condition}: {interval_text(score.mos)}")
    for pair in result.scores.cmos:
        if pair.category == ALL:
            shown = interval_text(pair.cmos, sign=True)
            print(f"{mark}CMOS {pair.first} against {pair.second}: {shown}, p {pair.p_holm:.4f}")
    print(f"{target / 'report.html'}")


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the files.")],
    overwrite: Overwrite = False,
) -> None:
    """Write all answers, anonymised, and the study's design as CSV and JSON."""
    from keenframe.study.export import export as run

    raters, answers = run(folder, output, overwrite)
    print(f"{answers} answers of {raters} raters: {output}")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if match is None or min(int(match[1]), int(match[2])) < 96:
        raise InputError(f"--size is '{text}'; expected WIDTHxHEIGHT of at least 96 each, such as 640x480")
    return int(match[1]), int(match[2])


def _methods(text: str) -> tuple[Method, ...]:
    given = _listed(text)
    if not given or len(set(given)) < len(given) or not set(given) <= {"acr", "ccr"}:
        raise InputError(f"--methods is '{text}'; expected acr, ccr or acr,ccr")
    return tuple("acr" if name == "acr" else "ccr" for name in given)


def _text(path: Path) -> str:
    from keenframe.media.files import check_input

    check_input(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read as UTF-8 text: {error}") from error


def _question(index: int, text: str) -> Question:
    from keenframe.study.design import Question

    asked, _, rest = text.partition("=")
    choices = tuple(part.strip() for part in rest.split("|") if part.strip())
    if not asked.strip() or len(choices) < 2 or len(set(choices)) < len(choices):
        raise InputError(
            f"--ask is '{text}'; expected a question and choices, as 'Your age?=under 40|40 or more'"
        )
    return Question(f"q{index}", asked.strip(), choices)
