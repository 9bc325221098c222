"""A check of a models folder: which parts are present and whole, and which files to get. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpu_server.engines.void.checkpoint.layout import BASE_PARTS, PUBLISHED, VOID_CHANNELS, Layout, resolve
from gpu_server.engines.void.checkpoint.tensor_shapes import (
    FULL_CONFIG,
    FULL_PARAMETERS,
    SCHEDULER_CONFIG,
    Config,
    parameters,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.checkpoint.tokenizer_check import read_tokenizer
from gpu_server.engines.void.checkpoint.weights import (
    PartWeights,
    check_tensors,
    check_text_encoder,
    check_transformer,
    read_weights,
)
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS
from void_bridge.errors import InputError, UnreadableFile, VoidBridgeError

State = Literal["ok", "adapted", "unneeded", "missing", "bad"]

_NOT_COMPARED = "not compared: transformer/config.json is wrong"
_SCHEDULER_KEYS = (
    "prediction_type",
    "timestep_spacing",
    "rescale_betas_zero_snr",
    "beta_start",
    "beta_end",
    "beta_schedule",
)
"""The keys of the scheduler's configuration that must have the published values."""


@dataclass(frozen=True)
class CheckedPart:
    """The state of one part of a checkpoint.

    Attributes:
        part: the part's name.
        state: ok; adapted: of 33 channels, which loading widens; unneeded: absent and not used; missing; bad.
        path: the folder or file of the part.
        detail: its contents, or its fault.
        fix: the files to get, if it is not whole.
        licence: the licence, in words for people.
        size: bytes of its weights.
    """

    part: str
    state: State
    path: str
    detail: str
    fix: str
    licence: str
    size: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the part can be used."""
        return self.state not in ("missing", "bad")


def check_parts(folder: Path, passes: Sequence[int] = (1, 2)) -> list[CheckedPart]:
    """Check every part of a models folder by its configurations and the headers of its weights.

    Args:
        folder: the models folder.
        passes: the passes that are wanted.

    Raises:
        UnreadableFile: the folder itself cannot be read.
    """
    try:
        return list(_PartChecks(resolve(folder)).run(passes))
    except OSError as exc:
        raise UnreadableFile(
            f"cannot look into {folder}: {exc.strerror or exc}; name a folder that you can read"
        ) from exc


def readiness_problem(folder: Path, passes: Sequence[int]) -> str:
    """Return why passes cannot run with a models folder, and what to do; '' if they can.

    It reads only headers, which takes milliseconds.

    Args:
        folder: the models folder.
        passes: the passes that are wanted.
    """
    try:
        if not folder.is_dir():
            return f"a models folder: {folder} does not exist; run void-bridge models fetch, or set VOID_BRIDGE_MODELS"
        parts = check_parts(folder, passes)
    except OSError as exc:
        return f"a models folder that can be read: cannot look into {folder}: {exc.strerror or exc}"
    except VoidBridgeError as exc:
        return f"a models folder that can be read: {exc}"
    is_base_used = any(part.state == "adapted" for part in parts)
    wrong = [part for part in parts if not part.is_whole and (is_base_used or part.part != "base weights")]
    if not wrong:
        return ""
    more = f" (and {len(wrong) - 1} more: void-bridge models check)" if len(wrong) > 1 else ""
    return f"{wrong[0].part} in {folder}: {wrong[0].detail}; {wrong[0].fix}{more}"


class _PartChecks:
    """The checks of all parts of one models folder. Each `_check` method returns a state, a detail and bytes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._configs: dict[str, Config] = {}

    def run(self, passes: Sequence[int]) -> Iterator[CheckedPart]:
        """Yield the state of every part."""
        yield self._checked("transformer", self._check_transformer_config)
        checked = [self._checked(f"pass {number}", lambda number=number: self._check_pass(number)) for number in passes]
        yield self._base_weights(any(part.state == "adapted" for part in checked))
        yield self._checked("vae", self._check_vae)
        yield self._checked("text_encoder", self._check_text_encoder)
        yield self._checked("tokenizer", self._check_tokenizer)
        yield self._checked("scheduler", self._check_scheduler)
        yield from checked

    def _checked(self, part: str, check: Callable[[], tuple[State, str, int]]) -> CheckedPart:
        """Return the state of a part; an error of its check is its fault."""
        try:
            state, detail, size = check()
        except VoidBridgeError as exc:
            state, detail, size = ("bad" if self._path(part).exists() else "missing"), exc.message, 0
        fix = self._fix(part) if state in ("missing", "bad") else ""
        return CheckedPart(part, state, str(self._path(part)), detail, fix, PUBLISHED[part].licence, size)

    def _path(self, part: str) -> Path:
        """Return the folder or file that stands for a part."""
        if part in BASE_PARTS:
            return self._layout.part(part)
        return self._layout.pass_file(int(part[-1])) if part.startswith("pass") else self._base_files()[0]

    def _base_files(self) -> tuple[Path, ...]:
        """Return the weight files of the base's transformer, or the index that should list them."""
        try:
            return self._layout.weight_files("transformer")
        except VoidBridgeError:
            return (self._layout.index_file("transformer"),)

    def _fix(self, part: str) -> str:
        """Return which files to get, and where they belong."""
        source = PUBLISHED[part]
        target = self._layout.folder if part.startswith("pass") else self._layout.base
        return f"get {' and '.join(source.files)} of {source.repository} into {target}"

    def _config(self, part: str) -> Config:
        """Return the configuration of a part, which is read once."""
        if part not in self._configs:
            self._configs[part] = self._layout.config(part)
        return self._configs[part]

    def _check_transformer_config(self) -> tuple[State, str, int]:
        """Check the configuration of both passes."""
        config = self._config("transformer")
        transformer_shapes(config, VOID_CHANNELS)
        heads, size, layers = (config[key] for key in ("num_attention_heads", "attention_head_dim", "num_layers"))
        if (config["patch_size"], config["patch_size_t"], config["out_channels"]) != (2, 2, LATENT_CHANNELS):
            raise InputError("transformer/config.json is of another model: expected patches of 2x2x2, 16 channels out")
        keys = ("num_attention_heads", "attention_head_dim", "num_layers", "text_embed_dim", "time_embed_dim")
        is_full = all(config.get(key) == FULL_CONFIG[key] for key in keys)
        kind = "the published size" if is_full else "not the published size"
        return "ok", f"{heads} heads x {size}, {layers} layers: {kind}", 0

    def _check_pass(self, number: int) -> tuple[State, str, int]:
        """Check the transformer of one pass."""
        path = self._layout.pass_file(number)
        if not path.exists():
            self._refuse_renamed(path)
        weights = read_weights([path])
        if not self._is_comparable():
            return "ok", f"{_summary(weights)}; {_NOT_COMPARED}", weights.size
        is_narrow = check_transformer(
            weights, transformer_shapes(self._config("transformer"), VOID_CHANNELS), path.name
        )
        if is_narrow:
            return "adapted", f"{_summary(weights)}; 33 channels, widened to 48 with the base weights", weights.size
        return "ok", _summary(weights), weights.size

    def _is_comparable(self) -> bool:
        """Return whether transformers can be compared with their configuration."""
        return self._checked("transformer", self._check_transformer_config).is_whole

    def _refuse_renamed(self, path: Path) -> None:
        """Raise InputError if another file of the folder holds such a transformer."""
        known = {self._layout.pass_file(number) for number in (1, 2)}
        for other in sorted(set(path.parent.glob("*.safetensors")) - known):
            with suppress(VoidBridgeError):
                shapes = transformer_shapes(self._config("transformer"), VOID_CHANNELS)
                check_transformer(read_weights([other]), shapes, other.name)
                break
        else:
            return
        raise InputError(
            f"{path.name} is not there; {other.name} holds such a transformer: if that is the file, rename it"
        )

    def _base_weights(self, is_needed: bool) -> CheckedPart:
        """Return the state of the base's transformer, which may be absent unless a pass needs it."""
        checked = self._checked("base weights", self._check_base_weights)
        if checked.state != "missing" or is_needed or "half downloaded" in checked.detail:
            return checked
        detail = "not found, and not needed: the passes contain every tensor of the transformer"
        return CheckedPart("base weights", "unneeded", checked.path, detail, "", checked.licence)

    def _check_base_weights(self) -> tuple[State, str, int]:
        """Check the base's transformer."""
        files = self._layout.weight_files("transformer")
        weights = read_weights(files, self._layout.index_file("transformer"))
        if not self._is_comparable():
            return "ok", f"{_summary(weights)}; {_NOT_COMPARED}", weights.size
        config = self._config("transformer")
        channels = config.get("in_channels")
        check_tensors(weights, transformer_shapes(config, channels), f"transformer/{files[0].name}")
        return "ok", f"{_summary(weights)}, {channels} channels", weights.size

    def _check_vae(self) -> tuple[State, str, int]:
        """Check the VAE."""
        config = self._config("vae")
        if config.get("latent_channels") != LATENT_CHANNELS or config.get("scaling_factor") != 0.7:
            got = f"{config.get('latent_channels')} and {config.get('scaling_factor')}"
            raise InputError(f"vae/config.json has latent_channels and scaling_factor {got}, expected 16 and 0.7")
        files = self._layout.weight_files("vae")
        weights = read_weights(files, self._layout.index_file("vae"))
        check_tensors(weights, vae_shapes(config), f"vae/{files[0].name}")
        return "ok", _summary(weights), weights.size

    def _check_text_encoder(self) -> tuple[State, str, int]:
        """Check the text encoder."""
        config = self._config("text_encoder")
        wanted = self._config("transformer").get("text_embed_dim")
        if config.get("d_model") != wanted:
            raise InputError(f"text_encoder has width {config.get('d_model')}, the transformer takes {wanted}")
        files = self._layout.weight_files("text_encoder")
        weights = read_weights(files, self._layout.index_file("text_encoder"))
        check_text_encoder(weights, text_encoder_shapes(config), f"text_encoder/{files[0].name}")
        return "ok", _summary(weights), weights.size

    def _check_tokenizer(self) -> tuple[State, str, int]:
        """Check the tokenizer."""
        pieces, extra = read_tokenizer(self._layout.part("tokenizer"))
        known = self._config("text_encoder").get("vocab_size")
        if isinstance(known, int) and pieces + extra > known:
            raise InputError(f"the tokenizer has {pieces:,} pieces and {extra} extra, the text encoder knows {known:,}")
        return "ok", f"{pieces:,} pieces", 0

    def _check_scheduler(self) -> tuple[State, str, int]:
        """Check the scheduler's configuration."""
        config = self._config("scheduler")
        for key in _SCHEDULER_KEYS:
            got, expected = config.get(key), SCHEDULER_CONFIG[key]
            if got != expected:
                raise InputError(f"scheduler_config.json has {key} {got!r}, expected {expected!r}")
        return "ok", "v_prediction, trailing, zero SNR", 0


def _summary(weights: PartWeights) -> str:
    """Return a part's tensors and parameters in words."""
    count = parameters({name: tensor.shape for name, tensor in weights.tensors.items()})
    words = f"{len(weights.tensors):,} tensors, {count:,} parameters, {weights.dtype}"
    words += ", the published size" if count == FULL_PARAMETERS else ""
    return words + (f"; the prefix {weights.prefix} is removed from names" if weights.prefix else "")
