"""Which models there are, where they lie on this machine, and whether they are safe to load.

Nothing here imports torch or reaches for the network, except `pull`, which is asked for by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segcli.errors import ConfigError, ModelError, closest
from segcli.models.answer_settings import answer_settings
from segcli.models.classes.facts import ClassFacts, class_facts
from segcli.models.classes.families import CLASS_FAMILIES
from segcli.models.settings import FAMILIES, Family, generate_settings
from segcli.models.words.settings import WORD_FAMILIES, WordFamily

__all__ = ["CATALOG", "CatalogEntry", "ModelRef", "configuration", "find", "pull", "weights_hash"]

BUNDLED = Path(__file__).parent / "weights"
DEFAULT = "tiny"
_DOWNLOAD_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "README.md"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model with a short name.

    Attributes:
        name: the word after ``--model``.
        hub_id: its repository on the Hugging Face Hub, or "" when bundled.
        megabytes: size of its weights file.
        licence: SPDX name of the licence of its weights.
        summary: one line on what it is good for.
        family: transformers' ``model_type``.
        gated: its repository asks for consent to its licence first.
    """

    name: str
    hub_id: str
    megabytes: int
    licence: str
    summary: str
    family: str = "sam"
    gated: bool = False


CATALOG: Mapping[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            "tiny", "", 15, "Apache-2.0", "bundled, offline: compact objects, cells, coins, shapes"
        ),
        CatalogEntry(
            "tiny-panoptic",
            "",
            8,
            "Apache-2.0",
            "bundled, offline: things and stuff of procedural scenes, with classes",
        ),
        CatalogEntry(
            "tiny-words",
            "",
            5,
            "Apache-2.0",
            "bundled, offline: words for coloured shapes and grounds of procedural scenes",
            "clipseg",
        ),
        CatalogEntry(
            "sam-vit-base", "facebook/sam-vit-base", 375, "Apache-2.0", "SAM with ViT-B: everyday"
        ),
        CatalogEntry(
            "sam-vit-large", "facebook/sam-vit-large", 1250, "Apache-2.0", "SAM with ViT-L: better"
        ),
        CatalogEntry(
            "sam-vit-huge", "facebook/sam-vit-huge", 2564, "Apache-2.0", "SAM with ViT-H: best SAM"
        ),
        CatalogEntry(
            "slimsam-77",
            "Zigeng/SlimSAM-uniform-77",
            39,
            "Apache-2.0",
            "SAM pruned to a tenth: quick on a CPU",
        ),
        CatalogEntry(
            "sam-hq-vit-base",
            "syscv-community/sam-hq-vit-base",
            379,
            "Apache-2.0",
            "SAM-HQ with ViT-B: sharper outlines of thin parts",
            "sam_hq",
        ),
        *(
            CatalogEntry(
                f"sam2.1-{size}",
                f"facebook/sam2.1-hiera-{size}",
                megabytes,
                "Apache-2.0",
                summary,
                "sam2",
            )
            for size, megabytes, summary in (
                ("tiny", 156, "SAM 2.1, Hiera-T: the quickest of these"),
                ("small", 184, "SAM 2.1, Hiera-S"),
                ("base-plus", 323, "SAM 2.1, Hiera-B+"),
                ("large", 898, "SAM 2.1, Hiera-L: the best of these"),
            )
        ),
        CatalogEntry(
            "edgetam",
            "yonigozlan/EdgeTAM-hf",
            56,
            "Apache-2.0",
            "SAM 2 made small for phones",
            "edgetam",
        ),
        CatalogEntry(
            "sam3",
            "facebook/sam3",
            3439,
            "SAM License",
            "SAM 3: prompts, words (accept its licence on the Hub first)",
            "sam3_video",
            gated=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model found on this machine, ready to be loaded.

    Attributes:
        name: as it was asked for.
        directory: the folder with config.json and the weights.
        model_type: transformers' ``model_type``.
        family: how it sees images, and its defaults; of class-aware models without meaning.
        revision: the Hub commit, or "" for bundled and local models.
        card: what the folder's segcli.json says: summary, licence, stronger models, settings.
        classes: what a class-aware model can do; None: it makes masks from points.
    """

    name: str
    directory: Path
    model_type: str
    family: Family
    revision: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    classes: ClassFacts | None = None

    @property
    def takes_prompts(self) -> bool:
        """It makes masks from points, boxes and masks."""
        return self.model_type in FAMILIES

    @property
    def words(self) -> WordFamily | None:
        """How it takes words, or None."""
        return WORD_FAMILIES.get(self.model_type)

    @property
    def generate_defaults(self) -> dict[str, Any]:
        """Segment-everything defaults: the family's, then the model's own."""
        return {**self.family.defaults, **self.card.get("generate", {})}

    @property
    def prompt_defaults(self) -> dict[str, Any]:
        """The model's own defaults for prompts."""
        return dict(self.card.get("prompt", {}))


def find(name: str) -> ModelRef:
    """Find a model by short name, local directory or Hub id, without the network.

    Raises:
        ModelError: it is unknown, not on this machine, unsafe, or not a mask-generation model.
    """
    entry = CATALOG.get(name)
    if entry is not None and not entry.hub_id:
        return _inspect(name, BUNDLED / name)
    local = Path(name).expanduser()
    if entry is None and local.is_dir():
        return _inspect(name, local)
    hub_id = entry.hub_id if entry else name
    if hub_id.count("/") != 1 or hub_id.startswith((".", "/", "~")):
        raise ModelError(
            f"unknown model '{name}'",
            why="it is no short name, no directory and no Hub id (owner/name)",
            fix=closest(name, CATALOG) or "segcli models list",
        )
    directory = _cached(hub_id)
    if directory is None:
        size = f" (about {entry.megabytes} MB)" if entry else ""
        raise ModelError(
            f"model '{name}' is not on this machine",
            why=f"segcli predict never downloads; {hub_id}{size} is not in the Hub cache",
            fix=f"segcli models pull {name}   (or --model {DEFAULT}, which is bundled)",
        )
    return _inspect(name, directory, revision=directory.name)


def pull(name: str) -> ModelRef:
    """Download a model's configuration and safetensors into the Hub cache.

    Raises:
        ModelError: it is unknown, or the Hub cannot be reached.
    """
    entry = CATALOG.get(name)
    if entry is not None and not entry.hub_id:
        return find(name)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 (only this command needs it)

    hub_id, gated = (entry.hub_id, entry.gated) if entry else (name, False)
    if hub_id.count("/") != 1:
        raise ModelError(
            f"unknown model '{name}'", fix=closest(name, CATALOG) or "segcli models list"
        )
    try:
        snapshot_download(hub_id, allow_patterns=_DOWNLOAD_PATTERNS)
    except Exception as error:
        raise ModelError(
            f"could not download '{hub_id}'",
            why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            fix=("accept its licence on the Hub and log in (hf auth login); " if gated else "")
            + "check the name, the network and HF_HUB_OFFLINE, or copy the model's folder here "
            "and use --model FOLDER",
        ) from error
    return find(name)


def _cached(hub_id: str) -> Path | None:
    """The snapshot of a Hub repository's main branch in the local cache."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 (slow to import)

    try:
        config = try_to_load_from_cache(hub_id, "config.json")
    except ValueError as error:
        raise ModelError(f"'{hub_id}' is not a Hub id", why=str(error)) from error
    return Path(config).parent if isinstance(config, str) else None


def _inspect(name: str, directory: Path, revision: str = "") -> ModelRef:
    config_path = directory / "config.json"
    if not config_path.is_file():
        raise ModelError(
            f"{directory} is not a model directory",
            why="it has no config.json",
            fix="give the folder that save_pretrained wrote",
        )
    config = configuration(directory)
    model_type = config.get("model_type", "")
    card_path = directory / "segcli.json"
    card = _read_json(card_path) if card_path.is_file() else {}
    classes = class_facts(name, config, card)
    family = FAMILIES.get(model_type)
    if family is None and model_type in WORD_FAMILIES:
        family = Family(model_type, squashes=True, defaults={})
    if family is None and classes is not None:
        family = Family(classes.family.name, squashes=True, defaults={})
    if family is None:
        raise ModelError(
            f"model '{name}' has type '{model_type}', which makes no masks",
            why=f"supported types: {', '.join([*FAMILIES, *WORD_FAMILIES, *CLASS_FAMILIES])}",
            fix="segcli models list",
        )
    if not any(directory.glob("*.safetensors")):
        pickled = any(directory.glob("*.bin")) or any(directory.glob("*.pt*"))
        raise ModelError(
            f"model '{name}' has no safetensors weights in {directory}",
            why="segcli loads no pickled weights: they can run code" if pickled else "",
            fix="convert it with model.save_pretrained(FOLDER), then --model FOLDER"
            if pickled or not revision
            else f"segcli models pull {name}",
        )
    model = ModelRef(name, directory, model_type or family.name, family, revision, card, classes)
    try:
        generate_settings(model.generate_defaults)
        answer_settings(model.prompt_defaults)
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelError(f"{card_path} holds settings that cannot be", why=str(error)) from error
    return model


def configuration(directory: Path) -> dict[str, Any]:
    """What config.json says of a model, and of its image processor under ``image_processor``.

    Raises:
        ModelError: a file cannot be read or holds something else.
    """
    config = _read_json(directory / "config.json")
    for file in ("preprocessor_config.json", "processor_config.json"):
        if (directory / file).is_file():
            found = _read_json(directory / file)
            return {**config, "image_processor": found.get("image_processor", found)}
    return config


def weights_hash(model: ModelRef) -> str:
    """SHA-256 over the weights files in order of name, as ``sha256:…``."""
    digest = hashlib.sha256()
    for path in sorted(model.directory.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}", why=str(error)) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return value
