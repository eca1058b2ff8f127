"""Weights by name: which of a checkpoint's the network takes, and what it means where some do not fit."""

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from proto_gcn.errors import ConfigError

PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile
#: Act on the training loss alone (spec, section 1): released checkpoints may have others in their place.
TRAINING_ONLY = ("backbone.prn.", "backbone.post.", "backbone.bn.", "cls_head.csc_loss.")
CLASSIFIER = "cls_head.fc_cls."
START = "gcn.0.gcn.A"  # [K, V, V], below `backbone.`
MISSING, UNKNOWN, MISSHAPEN = "missing", "unknown", "of another shape"
SHOWN = 5  # keys of a kind


def fitting(
    state: Any, network: nn.Module, to_train: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """What of a state_dict can be loaded, and a sentence for each kind of misfit that is no harm.

    That is one in what only training needs; to train, a classifier of other classes too; to score, where a person reads
    the sentences, keys unknown to a network of the same size too (released checkpoints may have some). Raises
    ConfigError for any other misfit, with a remedy that fits it.
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise ConfigError(
            "its state_dict holds no weights by name; use a checkpoint of ours or of the published code"
        )
    found = Comparison(state, network)
    excused = found.is_of_other_classes if to_train else found.is_surplus
    harmless = {key for key in found.misfits if key.startswith(TRAINING_ONLY) or excused(key)}
    if harmful := found.misfits.keys() - harmless:
        lists = "; ".join(found.sentences(harmful))
        raise ConfigError(f"the weights do not fit the network: {lists}; {found.remedy(harmful)}")
    return {
        key: value for key, value in found.theirs.items() if key not in harmless
    }, found.sentences(harmless)


class Comparison:
    """A state_dict, prefixes stripped, held against a network's own: misfits is key -> kind."""

    def __init__(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        self.theirs = {_bare(str(key)): value for key, value in state.items()}
        self.ours: Mapping[str, Tensor] = network.state_dict()
        kinds = {key: self._kind(key) for key in {**self.ours, **self.theirs}}
        self.misfits = {key: kind for key, kind in kinds.items() if kind}
        self.their_sizes, self.our_sizes = _sizes(self.theirs), _sizes(self.ours)

    def _kind(self, key: str) -> str | None:
        if key not in self.theirs:
            return MISSING
        if key not in self.ours:
            return UNKNOWN
        return MISSHAPEN if self.theirs[key].shape != self.ours[key].shape else None

    def is_of_other_classes(self, key: str) -> bool:
        """Whether it is of a classifier that is there; where the rest fits it can differ in its classes alone."""
        return key.startswith(CLASSIFIER) and self.misfits[key] == MISSHAPEN

    def is_surplus(self, key: str) -> bool:
        """Whether it is more than a network needs that is else of the same size."""
        return self.misfits[key] == UNKNOWN and self.their_sizes == self.our_sizes

    def sentences(self, keys: set[str]) -> list[str]:
        """One for each kind of misfit among these: their number, and the first by name."""
        sorts = (
            (kind, [key for key in self.misfits if key in keys and self.misfits[key] == kind])
            for kind in KINDS
        )
        return [self._sentence(kind, chosen) for kind, chosen in sorts if chosen]

    def _sentence(self, kind: str, keys: list[str]) -> str:
        count = "1 key is" if len(keys) == 1 else f"{len(keys)} keys are"
        names = [self._described(key, kind) for key in keys[:SHOWN]]
        return f"{count} {kind}: {', '.join(names + ['…'] * (len(keys) > SHOWN))}"

    def _described(self, key: str, kind: str) -> str:
        if kind == MISSHAPEN:
            return f"{key} ({_shape(self.theirs[key])} instead of {_shape(self.ours[key])})"
        if kind == MISSING:
            alike = [
                k
                for k, v in self.theirs.items()
                if k not in self.ours and v.shape == self.ours[key].shape
            ]
            nearest = difflib.get_close_matches(key, alike, n=1, cutoff=0.8)
            return f"{key} (is it {nearest[0]}?)" if nearest else key
        return key

    def remedy(self, keys: set[str]) -> str:
        """What the reader can do about these misfits, from what they have in common."""
        start = next((key for key in self.theirs if key.endswith(START)), None)
        if start is None and not self.theirs.keys() & self.ours.keys():
            return "it is of another network; use a checkpoint of ours or of the published code"
        if start and start != f"backbone.{START}":
            return f"it says {start} where ours is backbone.{START}, and so on: rename the keys of its state_dict"
        theirs, ours = self.their_sizes, self.our_sizes
        if theirs["joints"] not in (0, ours["joints"]):
            joints = (
                f"a layout with {theirs['joints']} joints, and the config's has {ours['joints']}"
            )
            return f"they are of {joints}: set model.backbone.graph_cfg and cls_head.joint_cfg to theirs"
        other = [key for key in theirs if theirs[key] != ours[key] and theirs[key]]
        if other:
            return " and ".join(
                f"set model.{key} to {theirs[key]} (it is {ours[key]})" for key in other
            )
        if {self.misfits[key] for key in keys} == {MISSHAPEN}:
            return "set the widths in model.backbone to those that it was trained with (see the config in its meta)"
        return (
            "its network has other parts, or other names for them (as released checkpoints of classes with other names "
            "may have): rename its keys where they mean the same, else use a checkpoint of the published code"
        )


KINDS = MISSING, UNKNOWN, MISSHAPEN


def _sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """What a state_dict says of the config, by its keys below `model`; 0 where it says nothing."""

    def size(key: str, axis: int) -> int:
        return int(state[key].shape[axis]) if key in state and state[key].ndim else 0

    blocks = {key.split(".")[2] for key in state if key.startswith("backbone.gcn.")}
    return {
        "joints": size(f"backbone.{START}", -1),
        "backbone.graph_cfg.num_filter": size(f"backbone.{START}", 0),
        "backbone.num_stages": len(blocks),
        "backbone.base_channels": size("backbone.gcn.0.gcn.bn.bias", 0),
        "cls_head.num_classes": size(f"{CLASSIFIER}bias", 0),
    }


def _bare(key: str) -> str:
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"
