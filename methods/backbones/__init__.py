"""Weights and code that predict noise. ``info`` describes them without loading torch."""

from methods.backbones.info import (
    BackboneInfo,
    backbone_names,
    get_backbone_info,
    promised_backbone,
)
from methods.backbones.load import load_backbone

__all__ = [
    "BackboneInfo",
    "backbone_names",
    "get_backbone_info",
    "load_backbone",
    "promised_backbone",
]
