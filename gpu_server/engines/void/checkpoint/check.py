"""What is in a models folder: every part there or not, whole or not, and what to get. Nothing is loaded."""

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
    Config,
    parameters,
    text_encoder_shapes,
    transformer_shapes,
    vae_shapes,
)
from gpu_server.engines.void.checkpoint.tokenizer_check import read_tokenizer
from gpu_server.engines.void.checkpoint.weights import (
    Weights,
    check_tensors,
    check_text_encoder,
    check_transformer,
    read_weights,
)
from gpu_server.engines.void.latent_geometry import LATENT_CHANNELS
from void_bridge.errors import InputError, UnreadableFile, VoidBridgeError

State = Literal["ok", "adapted", "unneeded", "missing", "bad"]

_NOT_COMPARED = "not compared: transformer/config.json is not as it should be"
_SCHEDULER = {
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@dataclass(frozen=True)
class CheckedPart:
    """One part.

    state: ok; adapted, of 33 channels, which loading widens; unneeded, not there and not used; missing; bad.
    detail: what is there, or what is wrong. fix: what to get, where it is not whole. size: bytes of its weights.
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
        return self.state not in ("missing", "bad")


def inspect(folder: Path, passes: Sequence[int] = (1, 2)) -> list[CheckedPart]:
    """Every part of a models folder, by its configurations and the headers of its weights.

    Args:
        passes: those that are wanted.

    Raises:
        UnreadableFile: the folder itself cannot be looked into.
    """
    try:
        return list(_Inspection(resolve(folder)).findings(passes))
    except OSError as exc:
        raise UnreadableFile(
            f"cannot look into {folder}: {exc.strerror or exc}; name a folder that you can read"
        ) from exc


def readiness_problem(folder: Path, passes: Sequence[int]) -> str:
    """'' where these passes can run with what is in the folder, otherwise what is needed and what to do.

    Takes milliseconds: it reads headers alone.
    """
    try:
        if not folder.is_dir():
            return f"a models folder: {folder} is not there; run void-bridge models fetch, or set VOID_BRIDGE_MODELS"
        findings = inspect(folder, passes)
    except OSError as exc:
        return f"a models folder that can be read: cannot look into {folder}: {exc.strerror or exc}"
    except VoidBridgeError as exc:
        return f"a models folder that can be read: {exc}"
    is_base_used = any(finding.state == "adapted" for finding in findings)
    wrong = [found for found in findings if not found.is_whole and (is_base_used or found.part != "base weights")]
    if not wrong:
        return ""
    more = f" (and {len(wrong) - 1} more: void-bridge models check)" if len(wrong) > 1 else ""
    return f"{wrong[0].part} in {folder}: {wrong[0].detail}; {wrong[0].fix}{more}"


class _Inspection:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._configs: dict[str, Config] = {}

    def findings(self, passes: Sequence[int]) -> Iterator[CheckedPart]:
        yield self._found("transformer", self._transformer_config)
        found = [self._found(f"pass {number}", lambda number=number: self._pass(number)) for number in passes]
        yield self._base_weights(any(finding.state == "adapted" for finding in found))
        yield self._found("vae", self._vae)
        yield self._found("text_encoder", self._text_encoder)
        yield self._found("tokenizer", self._tokenizer)
        yield self._found("scheduler", self._scheduler)
        yield from found

    def _found(self, part: str, look: Callable[[], tuple[State, str, int]]) -> CheckedPart:
        try:
            state, detail, size = look()
        except VoidBridgeError as exc:
            state, detail, size = ("bad" if self._path(part).exists() else "missing"), exc.message, 0
        fix = self._fix(part) if state in ("missing", "bad") else ""
        return CheckedPart(part, state, str(self._path(part)), detail, fix, PUBLISHED[part].licence, size)

    def _path(self, part: str) -> Path:
        if part in BASE_PARTS:
            return self._layout.part(part)
        return self._layout.pass_file(int(part[-1])) if part.startswith("pass") else self._base_files()[0]

    def _base_files(self) -> tuple[Path, ...]:
        try:
            return self._layout.weight_files("transformer")
        except VoidBridgeError:
            return (self._layout.index_file("transformer"),)

    def _fix(self, part: str) -> str:
        source = PUBLISHED[part]
        target = self._layout.folder if part.startswith("pass") else self._layout.base
        return f"get {' and '.join(source.files)} of {source.repository} into {target}"

    def _config(self, part: str) -> Config:
        if part not in self._configs:
            self._configs[part] = self._layout.config(part)
        return self._configs[part]

    def _transformer_config(self) -> tuple[State, str, int]:
        config = self._config("transformer")
        transformer_shapes(config, VOID_CHANNELS)
        heads, size, layers = (config[key] for key in ("num_attention_heads", "attention_head_dim", "num_layers"))
        if (config["patch_size"], config["patch_size_t"], config["out_channels"]) != (2, 2, LATENT_CHANNELS):
            raise InputError("transformer/config.json is of another model: expected patches of 2x2x2, 16 channels out")
        kind = "the published size" if self._is_full() else "not the published size"
        return "ok", f"{heads} heads x {size}, {layers} layers: {kind}", 0

    def _is_full(self) -> bool:
        keys = ("num_attention_heads", "attention_head_dim", "num_layers", "text_embed_dim", "time_embed_dim")
        return all(self._config("transformer").get(key) == FULL_CONFIG[key] for key in keys)

    def _pass(self, number: int) -> tuple[State, str, int]:
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
        return self._found("transformer", self._transformer_config).is_whole

    def _refuse_renamed(self, path: Path) -> None:
        """Raises InputError where another file of the folder holds such a transformer."""
        known = {self._layout.pass_file(number) for number in (1, 2)}
        for other in sorted(set(path.parent.glob("*.safetensors")) - known):
            with suppress(VoidBridgeError):
                shapes = transformer_shapes(self._config("transformer"), VOID_CHANNELS)
                check_transformer(read_weights([other]), shapes, other.name)
                break
        else:
            return
        raise InputError(f"{path.name} is not there; {other.name} holds such a transformer: if it is that, rename it")

    def _base_weights(self, is_needed: bool) -> CheckedPart:
        finding = self._found("base weights", self._base)
        if finding.state != "missing" or is_needed or "half downloaded" in finding.detail:
            return finding
        detail = "not there, and not needed: the passes bring every tensor of the transformer"
        return CheckedPart("base weights", "unneeded", finding.path, detail, "", finding.licence)

    def _base(self) -> tuple[State, str, int]:
        files = self._layout.weight_files("transformer")
        weights = read_weights(files, self._layout.index_file("transformer"))
        if not self._is_comparable():
            return "ok", f"{_summary(weights)}; {_NOT_COMPARED}", weights.size
        config = self._config("transformer")
        channels = config.get("in_channels")
        check_tensors(weights, transformer_shapes(config, channels), f"transformer/{files[0].name}")
        return "ok", f"{_summary(weights)}, {channels} channels", weights.size

    def _vae(self) -> tuple[State, str, int]:
        config = self._config("vae")
        if config.get("latent_channels") != LATENT_CHANNELS or config.get("scaling_factor") != 0.7:
            got = f"{config.get('latent_channels')} and {config.get('scaling_factor')}"
            raise InputError(f"vae/config.json has latent_channels and scaling_factor {got}, expected 16 and 0.7")
        files = self._layout.weight_files("vae")
        weights = read_weights(files, self._layout.index_file("vae"))
        check_tensors(weights, vae_shapes(config), f"vae/{files[0].name}")
        return "ok", _summary(weights), weights.size

    def _text_encoder(self) -> tuple[State, str, int]:
        config = self._config("text_encoder")
        wanted = self._config("transformer").get("text_embed_dim")
        if config.get("d_model") != wanted:
            raise InputError(f"text_encoder has width {config.get('d_model')}, the transformer takes {wanted}")
        files = self._layout.weight_files("text_encoder")
        weights = read_weights(files, self._layout.index_file("text_encoder"))
        check_text_encoder(weights, text_encoder_shapes(config), f"text_encoder/{files[0].name}")
        return "ok", _summary(weights), weights.size

    def _tokenizer(self) -> tuple[State, str, int]:
        pieces, extra = read_tokenizer(self._layout.part("tokenizer"))
        known = self._config("text_encoder").get("vocab_size")
        if isinstance(known, int) and pieces + extra > known:
            raise InputError(f"the tokenizer has {pieces:,} pieces and {extra} extra, the text encoder knows {known:,}")
        return "ok", f"{pieces:,} pieces", 0

    def _scheduler(self) -> tuple[State, str, int]:
        config = self._config("scheduler")
        for key, value in _SCHEDULER.items():
            if config.get(key) != value:
                raise InputError(f"scheduler_config.json has {key} {config.get(key)!r}, expected {value!r}")
        return "ok", "v_prediction, trailing, zero SNR", 0


def _summary(weights: Weights) -> str:
    count = parameters({name: tensor.shape for name, tensor in weights.tensors.items()})
    words = f"{len(weights.tensors):,} tensors, {count:,} parameters, {weights.dtype}"
    words += ", the published size" if count == FULL_PARAMETERS else ""
    return words + (f"; names begin with {weights.prefix}, which is taken off" if weights.prefix else "")
