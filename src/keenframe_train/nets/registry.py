"""All networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from keenframe_train.errors import TrainError
from keenframe_train.nets.dncnn import DnCNN
from keenframe_train.nets.edsr import EDSR
from keenframe_train.nets.keen import Keen, KeenConfig
from keenframe_train.nets.nafnet import NAFNet
from keenframe_train.nets.network import at_least_one, one_of
from keenframe_train.nets.rrdbnet import RRDBNet
from keenframe_train.nets.srresnet import SRResNet
from keenframe_train.nets.students import (
    EnhancedStudent,
    LightStudent,
    PlainStudent,
    RRDBNetLite,
    SeparableStudent,
)
from keenframe_train.nets.unet import UNet


def _keen(**options: Any) -> Keen:
    """`Keen` by its options, checked."""
    config = KeenConfig(**options)
    one_of("scale", config.scale, (1, 2, 4))
    one_of("stride", config.stride, (1, 2, 4))
    at_least_one(head=config.head, blocks=config.blocks, embedding=config.embedding)
    if config.trunk != 0:
        at_least_one(trunk=config.trunk)
    elif config.stride != 1:
        raise TrainError(
            f"stride is {config.stride} and trunk 0; without a trunk there is nothing to step down to: give stride 1"
        )
    if len(config.inner_widths) != config.blocks or min(config.inner_widths) < 1:
        raise TrainError(
            f"inner is {list(config.inner)}; expected a width from 1 up for each of {config.blocks} blocks, or none"
        )
    return Keen(config)


NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "keen": _keen,
        "edsr": EDSR,
        "srresnet": SRResNet,
        "rrdbnet": RRDBNet,
        "unet": UNet,
        "nafnet": NAFNet,
        "dncnn": DnCNN,
        "plain": PlainStudent,
        "light": LightStudent,
        "separable": SeparableStudent,
        "rrdbnet-lite": RRDBNetLite,
        "enhanced": EnhancedStudent,
    }
)


def build(name: str, **options: Any) -> nn.Module:
    """A new network with fresh weights, in training mode.

    name: one of NETWORKS. options: keywords of that network's class. TrainError for an unknown name, an unknown
    option (both with those that exist) or a value that the network refuses.
    """
    if name not in NETWORKS:
        raise TrainError(f"no network {name!r}; known are {', '.join(NETWORKS)}")
    known = inspect.signature(KeenConfig if name == "keen" else NETWORKS[name]).parameters
    if unknown := sorted(options.keys() - known.keys()):
        raise TrainError(f"network {name!r} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return NETWORKS[name](**options)
