"""The student of a reproduction as the files that the runtime takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keenframe_train.data.bank import Bank
from keenframe_train.data.validation import Sample
from keenframe_train.errors import TrainError
from keenframe_train.nets.load import load_any
from keenframe_train.recipe import Recipe
from keenframe_train.reproduction.results import ALL, Results

PAIRS = 64  # for INT8's ranges


def check_color(recipe: Recipe, run: Path) -> None:
    """Raises TrainError for a luma network: better before it is trained than after."""
    if recipe.color == "luma":
        raise TrainError(
            f"a luma network such as '{recipe.network.name}' is not for --models; when it is trained, "
            f"`keenframe-train export {run} --data DIR --name {recipe.name}` writes it"
        )


def ship(
    recipe: Recipe,
    results: Results,
    own: str,
    folder: Path,
    models: Path,
    bank: Bank,
    samples: Sequence[Sample],
    training_data: str,
) -> list[Path]:
    """Write NAME.onnx and NAME-int8.onnx of an RGB student into the folder `models`; gives the files.

    own: the run of that student, a folder below `folder`. bank: pairs for INT8's ranges. samples: on which parity and
    INT8's loss are measured. training_data: as the model's card names it.
    Raises TrainError for a luma network, which `keenframe-train export` writes, and as `export.plain` does.
    """
    check_color(recipe, folder / own)
    # Only now: NNCF takes seconds to load.
    from keenframe_train.export.plain import export_plain

    kind = next(iter(results["quality"]))
    done = export_plain(
        load_any(folder / own)[0], models, results["recipe"], samples,
        description=recipe.description, recipe=recipe.to_card(), training_data=training_data,
        measured={"validation": results["quality"][kind][ALL][own], "budget": results["budget"]},
        calibration=bank.calibration(PAIRS),
    )  # fmt: skip
    return [path for path in (done.float_file, done.int8_file) if path is not None]
