"""Weights by name: which weights of a checkpoint fit the network, and the remedy if some do not."""

import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from proto_gcn.errors import ConfigError

PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile
#: These act on the training loss alone: released checkpoints may have others in their place.
TRAINING_ONLY = ("backbone.prn.", "backbone.post.", "backbone.bn.", "cls_head.csc_loss.")
CLASSIFIER = "cls_head.fc_cls."
START = "gcn.0.gcn.A"  # [K, V, V], below `backbone.`
MISSING, UNKNOWN, MISSHAPEN = "missing", "unknown", "of another shape"
KINDS = MISSING, UNKNOWN, MISSHAPEN
SHOWN = 5  # keys of a kind


def fitting(
    state: Any, network: nn.Module, to_train: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights that can be loaded, and a sentence for each kind of harmless misfit.

    A misfit is harmless in weights that only training needs. To train, it also is in a classifier
    of other classes. To score, when a person reads the sentences, it also is in keys unknown to a
    network of the same size (released checkpoints may have some). Raises ConfigError with a remedy
    for any other misfit.
    """
    found = Comparison(_by_name(state), network)
    excused = found.is_of_other_classes if to_train else found.is_surplus
    harmless = {key for key in found.misfits if key.startswith(TRAINING_ONLY) or excused(key)}
    if harmful := found.misfits.keys() - harmless:
        lists = "; ".join(found.sentences(harmful))
        raise ConfigError(f"the weights do not fit the network: {lists}; {found.remedy(harmful)}")
    weights = {key: value for key, value in found.theirs.items() if key not in harmless}
    return weights, found.sentences(harmless)


def _by_name(state: Any) -> Mapping[str, Tensor]:
    if isinstance(state, Mapping) and all(isinstance(value, Tensor) for value in state.values()):
        return state
    raise ConfigError(
        "its state_dict does not hold weights by name; "
        "use a checkpoint of ours or of the published code"
    )


class Comparison:
    """A state_dict, prefixes removed, compared with a network's own; misfits is key -> kind."""

    def __init__(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        self.theirs = {_bare(str(key)): value for key, value in state.items()}
        self.ours: Mapping[str, Tensor] = network.state_dict()
        kinds = {key: self._kind(key) for key in {**self.ours, **self.theirs}}
        self.misfits = {key: kind for key, kind in kinds.items() if kind}
        self.their_sizes = _sizes(self.theirs)
        self.our_sizes = _sizes(self.ours)

    def _kind(self, key: str) -> str | None:
        if key not in self.theirs:
            return MISSING
        if key not in self.ours:
            return UNKNOWN
        return MISSHAPEN if self.theirs[key].shape != self.ours[key].shape else None

    def is_of_other_classes(self, key: str) -> bool:
        """Return whether the key is of a classifier with another number of classes."""
        return key.startswith(CLASSIFIER) and self.misfits[key] == MISSHAPEN

    def is_surplus(self, key: str) -> bool:
        """Return whether a network that is otherwise of the same size does not need the key."""
        return self.misfits[key] == UNKNOWN and self.their_sizes == self.our_sizes

    def sentences(self, keys: set[str]) -> list[str]:
        """Return a sentence for each kind of misfit among these keys, with the first names."""
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
        nearest = self._nearest(key) if kind == MISSING else None
        return f"{key} (is it {nearest}?)" if nearest else key

    def _nearest(self, key: str) -> str | None:
        """Return an unknown key of the same shape with a similar name."""
        shape = self.ours[key].shape
        alike = [k for k, v in self.theirs.items() if k not in self.ours and v.shape == shape]
        return next(iter(difflib.get_close_matches(key, alike, n=1, cutoff=0.8)), None)

    def remedy(self, keys: set[str]) -> str:
        """Return what the reader can do about these misfits, from what they have in common."""
        return (
            self._remedy_for_names()
            or self._remedy_for_sizes()
            or self._remedy_for_shapes(keys)
            or "its network has other parts or other names for them (as released checkpoints of "
            "classes with other names may have): rename its keys if they mean the same, else use "
            "a checkpoint of the published code"
        )

    def _remedy_for_names(self) -> str | None:
        start = next((key for key in self.theirs if key.endswith(START)), None)
        if start is None and not self.theirs.keys() & self.ours.keys():
            return "it is of another network; use a checkpoint of ours or of the published code"
        if start is None or start == f"backbone.{START}":
            return None
        return (
            f"its key {start} is backbone.{START} in ours, and so on: "
            "rename the keys of its state_dict"
        )

    def _remedy_for_sizes(self) -> str | None:
        theirs, ours = self.their_sizes, self.our_sizes
        if theirs["joints"] not in (0, ours["joints"]):
            return (
                f"they are of a layout with {theirs['joints']} joints, and the config's has "
                f"{ours['joints']}: set model.backbone.graph_cfg and cls_head.joint_cfg to theirs"
            )
        other = [key for key in theirs if theirs[key] != ours[key] and theirs[key]]
        changes = (f"set model.{key} to {theirs[key]} (it is {ours[key]})" for key in other)
        return " and ".join(changes) or None

    def _remedy_for_shapes(self, keys: set[str]) -> str | None:
        if {self.misfits[key] for key in keys} != {MISSHAPEN}:
            return None
        return (
            "set the widths in model.backbone to those that it was trained with "
            "(see the config in its meta)"
        )


def _sizes(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return what a state_dict shows of the config, by its keys below `model`; 0 if unknown."""

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
