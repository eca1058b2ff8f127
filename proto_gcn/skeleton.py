"""Joint layouts, one definition for the network's graph, the streams, the augmentations and the drawings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints: parents[v] is the joint next to v on the way to the centre (the centre is its own).

    left_right[v] is the joint that a stored joint v becomes when flipped; empty: it cannot be flipped. A file has
    `dimensions` values for each of its joints (with 2 also a score), and the last `added` joints are computed.
    """

    parents: tuple[int, ...]
    left_right: tuple[int, ...] = ()
    dimensions: int = 3
    added: int = 0
    middle: int | None = (
        None  # the joint at the origin of normalised 3-D data, where that is not the centre
    )
    other_bones: tuple[
        tuple[int, int], ...
    ] = ()  # (child, parent) in the streams, where that is no edge of the graph

    @property
    def joints(self) -> int:
        return len(self.parents)

    @property
    def stored(self) -> int:
        return self.joints - self.added

    @property
    def centre(self) -> int:
        return next(joint for joint, parent in enumerate(self.parents) if joint == parent)

    @property
    def origin(self) -> int:
        return self.centre if self.middle is None else self.middle

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(child, parent) pairs without the centre."""
        return [(child, parent) for child, parent in enumerate(self.parents) if child != parent]

    @cached_property
    def bone_parents(self) -> tuple[int, ...]:
        """What the stream b subtracts."""
        other = dict(self.other_bones)
        return tuple(other.get(child, parent) for child, parent in enumerate(self.parents))

    @cached_property
    def k_parents(self) -> tuple[int, ...]:
        """What the stream k subtracts: the joint after the next; a neighbour of the centre has none and is its own."""
        bones = self.bone_parents
        return tuple(
            v if parent == self.centre else bones[parent] for v, parent in enumerate(bones)
        )

    def subtracted(self, stream: str) -> tuple[int, ...]:
        return self.bone_parents if stream[0] == "b" else self.k_parents

    @cached_property
    def depths(self) -> list[int]:
        """Edges from each joint to the centre."""
        return [len(_way(self.parents, joint)) - 1 for joint in range(self.joints)]

    def places(self) -> list[tuple[float, float]]:
        """(right, up) of each joint in a drawing: the centre at (0, 0), the depth as radius, at most 1."""
        order = sorted(
            range(self.joints), key=lambda joint: self.depths[joint]
        )  # parents before their children
        leaves, begin = self._leaves(order), [0.0] * self.joints
        taken = begin.copy()
        for joint in order[1:]:
            parent = self.parents[joint]
            begin[joint] = taken[joint] = taken[parent]
            taken[parent] += leaves[joint]
        turns = [math.tau * (begin[v] + leaves[v] / 2) / max(leaves) for v in range(self.joints)]
        radii = [depth / max(self.depths) for depth in self.depths]
        return [
            (r * math.sin(turn), r * math.cos(turn)) for r, turn in zip(radii, turns, strict=True)
        ]

    def _leaves(self, order: list[int]) -> list[int]:
        """The number of ends below each joint, 1 at an end: the share of the circle that its branch gets."""
        leaves = [0] * self.joints
        for joint in reversed(order):
            leaves[joint] = leaves[joint] or 1
            if self.parents[joint] != joint:
                leaves[self.parents[joint]] += leaves[joint]
        return leaves


def not_a_tree(parents: Sequence[int]) -> str | None:
    """What is wrong with parents, as a sentence."""
    for joint, parent in enumerate(parents):
        if not 0 <= parent < len(parents):
            return f"parents[{joint}] is {parent}, and the joints are 0 to {len(parents) - 1}"
    centres = [joint for joint, parent in enumerate(parents) if joint == parent]
    if len(centres) != 1:
        which = f"{len(centres)} ({', '.join(map(str, centres))})" if centres else "none"
        return f"parents must have one centre, a joint that is its own parent, and has {which}"
    lost = next(
        (joint for joint in range(len(parents)) if _way(parents, joint)[-1] != centres[0]), None
    )
    return (
        None
        if lost is None
        else f"parents must be a tree: from joint {lost} the way runs in a circle"
    )


def no_mirror(left_right: Sequence[int], joints: int) -> str | None:
    """What is wrong with left_right, as a sentence."""
    if len(left_right) != joints:
        return f"left_right must name one joint for each of the {joints} joints in parents, not {len(left_right)}"
    for joint, mirrored in enumerate(left_right):
        if not 0 <= mirrored < joints:
            return f"left_right[{joint}] is {mirrored}, and the joints are 0 to {joints - 1}"
        if left_right[mirrored] != joint:
            return f"left_right[{joint}] is {mirrored}, so left_right[{mirrored}] must be {joint}"
    return None


def _way(parents: Sequence[int], joint: int) -> list[int]:
    """From a joint to the centre, or as far as no joint comes twice."""
    way = [joint]
    while parents[way[-1]] not in way:
        way.append(parents[way[-1]])
    return way


# Kinect v2, metres. The bones 21->22 and 23->24 are as published, though in the graph both tips hang on the hand.
NTU = Skeleton(
    parents=(
        1,
        20,
        20,
        2,
        20,
        4,
        5,
        6,
        20,
        8,
        9,
        10,
        0,
        12,
        13,
        14,
        0,
        16,
        17,
        18,
        20,
        7,
        7,
        11,
        11,
    ),
    left_right=(
        0,
        1,
        2,
        3,
        8,
        9,
        10,
        11,
        4,
        5,
        6,
        7,
        16,
        17,
        18,
        19,
        12,
        13,
        14,
        15,
        20,
        23,
        24,
        21,
        22,
    ),
    middle=1,
    other_bones=((21, 22), (23, 24)),
)
NTU_PARTS = (
    (4, 5, 6, 7, 21, 22),
    (12, 13, 14, 15),
    (8, 9, 10, 11, 23, 24),
    (16, 17, 18, 19),
)  # arm, leg: left, right

# COCO's 17 joints (pixels and a score), then 17 mid-hip, 18 middle of the trunk, 19 mid-shoulder.
COCO = Skeleton(
    parents=(19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19),
    left_right=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    dimensions=2,
    added=3,
)
SKELETONS = {"nturgb+d": NTU, "coco_new": COCO}
