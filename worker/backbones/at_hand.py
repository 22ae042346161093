"""Finds the pretrained network that model `auto` uses: the first at hand of those that the settings name."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from service.domain.dataset import Modality
from service.domain.errors import Invalid
from service.settings import Settings
from worker.backbones.backbone_files import find_backbone

log = structlog.get_logger()

_WAIT_S = 2.0  # for an answer of the hub: where it cannot be reached, a job must not wait


@dataclass(frozen=True)
class AtHand:
    """The name of a network, or None and why there is none."""

    name: str | None
    reason: str = ""


def backbone_at_hand(modality: Modality, settings: Settings) -> AtHand:
    """The network for this modality. The hub is asked last, and only where the settings allow it."""
    names = settings.backbones_of(modality)
    reasons: list[str] = []
    for name in names:
        why = _missing(name, modality, settings.models_folder, hub=False)
        if why is None:
            return AtHand(name)
        reasons.append(why)
    for name in names if settings.auto_hub else ():
        why = _missing(name, modality, settings.models_folder, hub=True)
        if why is None:
            return AtHand(name)
        reasons.append(why)
    return AtHand(None, "; ".join(dict.fromkeys(reasons)) or "the settings name none")


def _missing(name: str, modality: Modality, models: Path, *, hub: bool) -> str | None:
    """Why the network cannot be used; None where it can."""
    try:
        find_backbone(name, modality, models, hub=hub, wait_s=_WAIT_S)
    except Invalid as error:
        log.info("backbone not at hand", backbone=name, hub=hub, why=error.detail)
        return error.errors[0].msg
    return None
