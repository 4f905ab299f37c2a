"""A model in another format: written, run in that format's own runtime, compared with the float network, then kept."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import cast

from keenframe.engines.cpu import cpu_name
from keenframe.zoo.spec import ModelSpec
from keenframe.zoo.store import read_spec
from keenframe_train.errors import TrainError
from keenframe_train.export.frames import frames_for
from keenframe_train.export.parity import THREADS, Format, Written, write_and_compare
from keenframe_train.export.portable import Portable, Size, condition_network, networks_of
from keenframe_train.progress import progress

FORMATS = {"onnx": "onnx_portable", "openvino": "openvino", "litert": "litert", "ncnn": "ncnn"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `convert` has done. runtime: its name and version. frames: how many were compared."""

    folder: Path
    format: str
    runtime: str
    frames: int
    written: list[Written] = field(default_factory=list)


def convert(
    model: Path, to: str, out: Path, *, size: Size | None = None, int8: bool = True, data: Path | None = None
) -> Conversion:
    """Write a model file of the runtime's in another format, into the folder `out`/NAME-FORMAT[-WxH].

    model: the float file; with `int8`, NAME-int8.onnx beside it is converted, too, where it is. to: a key of FORMATS.
    size: width and height of the picture, for good; None leaves them free. data: pictures to compare on, a folder with
    val/ inside; None takes the embedded samples. Beside the files lies NAME.json: the model's description, what each
    file reads and gives, and what comparing them found.

    TrainError for an operator that the format has not, a size that the network cannot take, a float file that differs
    by more than 1e-4 of the range and an INT8 file that loses more than 0.1 dB; nothing is left behind then.
    """
    spec = read_spec(model)
    if spec.precision != "float32":
        raise TrainError(
            f"'{model}' is {spec.precision}; expected the float model, whose INT8 twin is found beside it"
        )
    _check_size(spec, size)
    writer = load_format(to)
    twin = model.with_name(f"{model.stem}-int8.onnx")
    networks = networks_of(model, size)
    reduced = networks_of(twin, size) if int8 and twin.is_file() else []
    if spec.condition is not None:
        networks.append(condition_network(spec, size))
    samples = {
        kind: frames_for(spec, size, data, kind) for kind in {network.full_size for network in networks}
    }
    folder = out / (f"{spec.name}-{to}" + (f"-{size[0]}x{size[1]}" if size else ""))
    out.mkdir(parents=True, exist_ok=True)
    done = Conversion(
        folder, to, f"{writer.PACKAGE} {metadata.version(writer.PACKAGE)}", max(map(len, samples.values()))
    )
    trial = Path(tempfile.mkdtemp(dir=out, prefix=f".{spec.name}."))
    try:
        with progress() as bar:
            row = bar.add_task(writer.NAME, total=len(networks) + len(reduced), note="")
            for network in [*networks, *reduced]:
                bar.update(row, note=network.name)
                reference = next(n for n in networks if n.name == network.name.removesuffix("-int8"))
                done.written.append(
                    write_and_compare(
                        writer,
                        network,
                        reference,
                        trial,
                        _short_card(spec, network),
                        size,
                        samples[network.full_size],
                    )
                )
                bar.advance(row)
        (trial / f"{spec.name}.json").write_text(_card(spec, done, size), encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for path in sorted(trial.iterdir()):
            path.chmod(0o644)
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return done


def load_format(name: str) -> Format:
    """The module that writes a format. TrainError where it is unknown, or its runtime is not installed."""
    if name not in FORMATS:
        raise TrainError(f"unknown format '{name}'; expected one of {', '.join(FORMATS)}")
    try:
        module = cast(Format, importlib.import_module(f"keenframe_train.export.{FORMATS[name]}"))
        metadata.version(module.PACKAGE)
    except ImportError as error:  # PackageNotFoundError is one
        raise TrainError(
            f"--to {name} runs what it has written, and '{error.name}' is missing: "
            f"pip install 'keenframe[export]'"
        ) from error
    return module


def _check_size(spec: ModelSpec, size: Size | None) -> None:
    multiple = spec.size_multiple
    if size is not None and (min(size) < 2 * multiple or any(side % multiple for side in size)):
        width, height = (max(2 * multiple, -(-side // multiple) * multiple) for side in size)
        raise TrainError(
            f"'{spec.name}' takes pictures in multiples of {multiple}; got {size[0]}x{size[1]}, "
            f"the next is {width}x{height}"
        )


def _short_card(spec: ModelSpec, network: Portable) -> str:
    """What a file says about itself."""
    described = json.loads(spec.to_json())
    return json.dumps(
        {**described, "network": network.name, "inputs": network.inputs, "outputs": network.outputs}
    )


def _card(spec: ModelSpec, done: Conversion, size: Size | None) -> str:
    content = {
        "model": json.loads(spec.to_json()),
        "source_sha256": spec.sha256,
        "format": done.format,
        "runtime": done.runtime,
        "size": list(size) if size else "free",
        "interface": "float32 in and out; pixels in code values 0-255, the result neither rounded nor clipped",
        "compared_frames": done.frames,
        "machine": {"cpu": cpu_name(), "threads": THREADS},
        "files": [asdict(item) for item in done.written],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
