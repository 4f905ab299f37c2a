from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from lightning_fabric import Fabric
from PIL import Image
from typer.testing import CliRunner

from keenframe.evaluate.evaluation import Request
from keenframe.evaluate.material import find_files
from keenframe.zoo.store import read_spec
from keenframe_train import reproduce as module
from keenframe_train.checkpoint import load_checkpoint
from keenframe_train.cli import app
from keenframe_train.data.folders import train_and_validation
from keenframe_train.data.images import ImageFile, find_images
from keenframe_train.errors import TrainError
from keenframe_train.evaluate import report
from keenframe_train.evaluate.report import write_report
from keenframe_train.experiment import RUNS, Budget, Claim, default_folder, load_experiment, make_plan
from keenframe_train.nets.network import parameters
from keenframe_train.nets.registry import build
from keenframe_train.reproduce import reproduce, smoke
from keenframe_train.reproduction.compare import Score, Subject, compare, names, sets_below
from keenframe_train.reproduction.pictures import busiest, chosen
from keenframe_train.reproduction.results import means
from keenframe_train.reproduction.tables import BEGIN, END, section

from .conftest import picture

RECIPES = Path(__file__).parents[2] / "recipes"
LAB = ("bsrgan-light", "edsr-plain", "keen", "nafnet-attention", "srresnet-separable-int8", "unet-rrdb-x4")


@pytest.fixture(autouse=True)
def no_perceptual_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same runs on every machine, whatever lies on it."""
    monkeypatch.delenv("KEENFRAME_PERCEPTUAL", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-hub"))


def cpu() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


@pytest.mark.parametrize("name", LAB)
def test_a_recipe_is_whole(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name and experiment.budgets.keys() >= {"smoke", "cpu"}
    for budget, about in experiment.budgets.items():
        runs = make_plan(experiment, budget, tmp_path).runs
        alone = ("control", "tuned") if about.then else ("control",)
        assert tuple(runs) == (alone if about.alone else RUNS) and about.cost
        control = runs["control"]
        assert control.teachers == () and {run.bank_name for run in runs.values()} == {name}
        if about.alone:
            continue
        student = runs["student"]
        assert student.teachers and student.teachers[0].network == runs["teacher"].network
        assert control.steps == student.steps and control.seed == student.seed
    text = (RECIPES / name / "README.md").read_text()
    assert BEGIN in text and END in text and f"keenframe-train reproduce {name} " in text


@pytest.mark.parametrize("name", LAB)
def test_parameter_counts_are_the_reports(name: str) -> None:
    experiment = load_experiment(name)
    networks = {"student": experiment.recipe.network, "teacher": experiment.teacher.network}
    for claim in experiment.report.claims:
        if claim.measure == "parameters":
            spec = networks[claim.method]
            assert parameters(build(spec.name, **spec.options)) == claim.value
    student = build(experiment.recipe.network.name, **experiment.recipe.network.options)
    assert 2 * parameters(student) < (3e6 if name == "unet-rrdb-x4" else 1e6)


@pytest.mark.parametrize("name", [n for n in LAB if n != "edsr-plain"])
def test_smoke(name: str, data: Path, tmp_path: Path) -> None:
    results = smoke(RECIPES / name / "recipe.py", data, tmp_path)
    for by_category in results["quality"].values():
        assert by_category.keys() == {"all", "faces", "text"}
        assert by_category["all"].keys() == {
            "input",
            "bicubic",
            "unsharp mask",
            "control",
            "student",
            "teacher",
        }
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"results.json", "results.csv", "table.md", "gains.png", "teacher", "control", "student"}
    assert {f"before-after-{kind}.png" for kind in results["quality"]} <= names
    left_out = name in ("unet-rrdb-x4", "nafnet-attention")
    assert bool(results["notes"]) == left_out


def test_interrupted_continued_done_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, bank, sets = tmp_path / "out", tmp_path / "bank", tmp_path / "s"
    (sets / "Set5").mkdir(parents=True)
    Image.fromarray(picture(5, 65, 70)).save(sets / "Set5" / "a.png")
    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n{BEGIN}\nold\n{END}\nend\n")
    experiment = load_experiment("edsr-plain")
    fit, calls = module.fit, []

    def broken(recipe, *arguments, **options):
        calls.append(recipe.name)
        if recipe.name == "edsr-plain-control" and len(calls) == 2:
            fit(recipe, *arguments, **options, stop_after=2)
            raise KeyboardInterrupt
        return fit(recipe, *arguments, **options)

    def run():
        return reproduce(
            experiment, data, out, budget="smoke", bank=bank, steps=5, steps_teacher=3, limit=1, sets=sets,
            readme=readme, fabric=cpu(), workers=1,
        )  # fmt: skip

    monkeypatch.setattr(module, "fit", broken)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (out / "results.json").exists()
    results = run()
    assert calls == ["edsr-plain-teacher", "edsr-plain-control", "edsr-plain-control", "edsr-plain"]
    assert load_checkpoint(out / "control" / "last.pt")["step"] == 5
    assert results["networks"]["teacher"]["steps"] == 3 and results["sets"]["Set5"]["student"]["psnr"] > 20
    text = readme.read_text()
    assert (
        "| **student** |" in text and "| bicubic |" in text and "old" not in text and text.endswith("end\n")
    )
    assert "34.84" in text and "372,803" in text
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert run() == results and len(calls) == 4
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert json.loads((out / "results.json").read_text()) == results


def test_a_student_alone(data: Path, tmp_path: Path) -> None:
    experiment = load_experiment("edsr-plain")
    alone = dataclasses.replace(experiment.budgets["smoke"], alone=True, then={"steps": 2, "rate": 1e-5})
    experiment = dataclasses.replace(experiment, budgets={**experiment.budgets, "alone": alone})
    readme, out, models = tmp_path / "README.md", tmp_path / "out", tmp_path / "models"
    begin, end = section(make_plan(experiment, "alone", out))
    assert {run.steps for run in make_plan(experiment, "alone", out, steps=1).runs.values()} == {1}
    readme.write_text(f"{BEGIN}\nof three\n{END}\n{begin}\nold\n{end}\n")
    results = reproduce(
        experiment, data, out, budget="alone", limit=1, readme=readme, models=models, bank=tmp_path / "bank",
        fabric=cpu(), workers=1,
    )  # fmt: skip
    assert results["own"] == "tuned" and list(results["networks"]) == ["control", "tuned"]
    assert list(results["quality"]["r1"]["all"]) == ["input", "bicubic", "unsharp mask", "control", "tuned"]
    text = readme.read_text()
    assert "of three" in text and "old" not in text and "| **tuned** |" in text
    assert "Distilled student" not in text
    # The report's figures of its student stand beside those of the one that there is.
    assert "| student parameters | 372,803 | " in text and "| teacher ms | 350 | — |" in text
    assert not (out / "student").exists() and not (out / "teacher").exists()
    first, second = (load_checkpoint(out / name / "best.pt")["ema"] for name in ("control", "tuned"))
    # Two steps of next to nothing from where the first one ended.
    assert max(float((first[key] - second[key]).abs().max()) for key in first) < 1e-3
    assert {path.name for path in out.iterdir()} >= {"gains.png", "before-after-r1.png", "results.json"}
    assert read_spec(models / "edsr-plain.onnx").training_data.endswith("MIXES['r1']")
    folders = [default_folder(load_experiment("edsr-plain"), b).name for b in ("cpu", "alone", "huge")]
    assert folders == ["edsr-plain", "edsr-plain-alone", "edsr-plain"]


def test_more_pictures_cost_only_themselves(data: Path, tmp_path: Path) -> None:
    data = shutil.copytree(data, tmp_path / "data")
    experiment, bank = load_experiment("srresnet-separable-int8"), tmp_path / "bank"

    def run(limit: int):
        return reproduce(
            experiment, data, tmp_path / "out", budget="smoke", bank=bank, steps=2, steps_teacher=2, limit=limit,
            fabric=cpu(), workers=1,
        )  # fmt: skip

    def pictures(results) -> float:
        return results["quality"]["r3"]["all"]["student"]["pictures"]

    assert pictures(run(1)) == 2
    scores = tmp_path / "out" / "scores.jsonl"
    before = scores.read_text()
    with scores.open("a") as file:
        file.write('{"kind": "r3", "na')  # a run that was killed while it wrote
    assert pictures(run(2)) == 4
    assert scores.read_text().startswith(before) and len(scores.read_text().splitlines()) == 5
    known = run(2)
    assert known == run(2)
    Image.fromarray(picture(78)).save(data / "val/faces/0.png")
    found = run(2)
    assert found["key"] != known["key"] and found["quality"] != known["quality"]
    assert scores.read_text().count('"text/') == 2 and len(scores.read_text().splitlines()) == 5


def test_pictures_of_one_name_are_told_apart() -> None:
    files = [ImageFile(Path(f"{folder}/a/{name}.png"), "a") for folder, name in ("xn", "yn", "xm")]
    assert names(files) == ["a/n.png", "a/n.png (2)", "a/m.png"]


def test_the_student_as_a_model_file(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("keenframe_train.export.plain", reason="RGB networks are not exported yet")
    options = {"budget": "smoke", "bank": tmp_path / "bank", "limit": 1, "models": tmp_path / "models"}
    reproduce(load_experiment("srresnet-separable-int8"), data, tmp_path / "out", **options, fabric=cpu())
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"srresnet-separable-int8.onnx", "srresnet-separable-int8-int8.onnx"}


def test_luma_students_have_their_own_export_which_is_said_before_training(
    data: Path, tmp_path: Path
) -> None:
    keen, out = load_experiment("keen"), tmp_path / "out"
    with pytest.raises(
        TrainError, match=r"`keenframe-train export .*student --data DIR --name keen` writes it"
    ):
        reproduce(keen, data, out, budget="smoke", models=tmp_path / "models", fabric=cpu())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_said(data: Path, tmp_path: Path) -> None:
    experiment = load_experiment("edsr-plain")
    with pytest.raises(TrainError, match=r"has no budget 'huge'; it has smoke, cpu, alone, report"):
        reproduce(experiment, data, tmp_path / "out", budget="huge", fabric=cpu())
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainError, match="no image found below"):
        reproduce(experiment, tmp_path / "empty", tmp_path / "out", budget="smoke", fabric=cpu())
    with pytest.raises(TrainError, match="defines no TEACHER"):
        load_experiment("keen-x2")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: no such file"),
        ("# without a section\n", "has no section between"),
        (f"{END}\n{BEGIN}\n", "has no section between"),
        ("\xff", "cannot be read: .*utf-8"),
    ],
)
def test_a_readme_without_its_section_is_noticed_before_training(
    text: str | None, says: str, data: Path, tmp_path: Path
) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "out"
    if text is not None:
        readme.write_text(text, encoding="latin-1")
    with pytest.raises(TrainError, match=says):
        reproduce(load_experiment("edsr-plain"), data, out, budget="smoke", readme=readme, fabric=cpu())
    with pytest.raises(TrainError, match=says):
        write_report(data, ["keen"], None, None, 2, out, "auto", 1, 1, readme)
    assert not out.exists()


def test_a_picture_that_has_changed_is_measured_anew(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "val", tmp_path / "val")
    files = find_images(tmp_path / "val")
    network = build("keen", head=8, trunk=8, blocks=1).eval()
    subject = Subject({"student": network}, "luma", 64)

    def measured() -> list[Score]:
        return compare(subject, files, ["r2"], tmp_path, "key")

    before, lines = measured(), (tmp_path / "scores.jsonl").read_text()
    assert measured() == before and (tmp_path / "scores.jsonl").read_text() == lines
    Image.fromarray(picture(77)).save(files[0].path)
    after = measured()
    changed = {(new.category, new.name) for old, new in zip(before, after, strict=True) if old != new}
    assert changed == {(files[0].category, files[0].path.name)}


def test_a_report_measures_the_held_out_part_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("faces", "text"):
        shutil.copytree(data / "train-0" / folder, tmp_path / "data" / folder)
    asked: list[Request] = []

    def pretend(request: Request, told: object) -> None:
        asked.append(request)
        raise InterruptedError

    monkeypatch.setattr(report, "evaluate", pretend)
    about = (["keen"], None, None, 2, tmp_path / "out", "auto", 1, 1, None)
    for material in (data, tmp_path / "data", tmp_path / "data"):
        with pytest.raises(InterruptedError):
            write_report(material, *about)
    assert asked[0].material == data / "val"
    found, _ = find_files(asked[2].material)
    _, held_out = train_and_validation(tmp_path / "data")
    assert [file.path.resolve() for file in found] == [file.path.resolve() for file in held_out]


def test_the_command_says_what_was_written(data: Path, tmp_path: Path, monkeypatch) -> None:
    asked = {}

    def pretend(experiment, data, out, **options):
        asked.update(options, name=experiment.name, out=out)
        out.mkdir(parents=True)
        (out / "table.md").write_text("| a table |")

    monkeypatch.setattr(module, "reproduce", pretend)
    words = [
        "reproduce",
        "edsr-plain",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, [*words, "--budget", "smoke", "--limit", "2"])
    assert done.exit_code == 0 and "| a table |" in done.output, done.output
    assert (asked["name"], asked["budget"], asked["limit"]) == ("edsr-plain", "smoke", 2)


def test_a_network_that_is_broken_fails_its_smoke(data: Path, tmp_path: Path, monkeypatch) -> None:
    broken = {m: {"psnr": 30.0, "ssim": 0.9} for m in ("input", "control", "student")}
    broken["teacher"] = {"psnr": math.nan, "ssim": 0.9}
    found = {"quality": {"r1": {"all": broken}}, "reference": "input"}
    monkeypatch.setattr(module, "reproduce", lambda *_, **__: found)
    with pytest.raises(TrainError, match="teacher on r1"):
        smoke(RECIPES / "edsr-plain" / "recipe.py", data, tmp_path)


def test_the_pictures_are_chosen_by_rule() -> None:
    scores = [Score("r1", "a", f"{i}", "input", 30.0, 0.9) for i in range(5)]
    scores += [
        Score("r1", "a", f"{i}", "student", 30.0 + gain, 0.9) for i, gain in enumerate((3, 1, 2, 5, 4))
    ]
    assert [(rank, s.name) for rank, s in chosen(scores, "r1", "input")] == [
        ("best", "3"), ("median", "0"), ("worst", "1"),
    ]  # fmt: skip
    plane = np.full((64, 96), 100, np.uint8)
    plane[40:50, 70:90:2] = 200
    top, left = busiest(plane, 32)
    assert top <= 40 <= 50 <= top + 32 and left <= 70 <= 89 <= left + 32


def test_means_by_category() -> None:
    scores = [Score("r1", c, n, "input", p, 0.5, p + 1) for c, n, p in (("a", "x", 20.0), ("b", "y", 30.0))]
    found = means(scores)["r1"]
    assert found["all"]["input"] == {"pictures": 2, "psnr": 25, "ssim": 0.5, "psnr_rgb": 26}
    assert list(found) == ["all", "a", "b"] and found["b"]["input"]["psnr"] == 30


def test_sets_lie_in_a_folder_or_below_sets(tmp_path: Path) -> None:
    (tmp_path / "sets" / "Set14").mkdir(parents=True)
    assert sets_below(tmp_path) == sets_below(tmp_path / "sets") == [tmp_path / "sets" / "Set14"]
    assert sets_below(tmp_path / "none") == []


def test_budgets_and_claims_are_plain_values() -> None:
    assert Budget("seconds", 8, 64).validations == 5 and Claim("student", "psnr", 30).category == ""
