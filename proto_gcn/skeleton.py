"""This module defines the joint layouts, for graph, streams, augmentation and drawings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Skeleton:
    """A skeleton is a tree of joints, given by the parent of each one.

    The parent is the neighbour on the path to the centre, and the centre is its own parent.
    left_right[v] is the joint that the stored joint v becomes in a flip; when it is empty, the
    skeleton cannot be flipped. A file has `dimensions` coordinates for each joint (2-D data also a
    score). The last `added` joints are not in the file; they are computed.
    """

    parents: tuple[int, ...]
    left_right: tuple[int, ...] = ()
    dimensions: int = 3
    added: int = 0
    #: The joint at the origin of normalised 3-D data, if it is not the centre.
    middle: int | None = None
    #: (child, parent) pairs of the streams that differ from the edges of the graph.
    other_bones: tuple[tuple[int, int], ...] = ()

    @property
    def joints(self) -> int:
        return len(self.parents)

    @property
    def stored(self) -> int:
        """Return the number of joints in a file."""
        return self.joints - self.added

    @property
    def centre(self) -> int:
        return next(joint for joint, parent in enumerate(self.parents) if joint == parent)

    @property
    def origin(self) -> int:
        return self.centre if self.middle is None else self.middle

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Return the (child, parent) pairs without the centre."""
        return [(child, parent) for child, parent in enumerate(self.parents) if child != parent]

    @cached_property
    def bone_parents(self) -> tuple[int, ...]:
        """Return for each joint the one that the stream b subtracts."""
        other = dict(self.other_bones)
        return tuple(other.get(child, parent) for child, parent in enumerate(self.parents))

    @cached_property
    def k_parents(self) -> tuple[int, ...]:
        """Return for each joint the one that the stream k subtracts: its grandparent.

        A neighbour of the centre has no grandparent and subtracts itself.
        """
        bones = self.bone_parents
        return tuple(
            v if parent == self.centre else bones[parent] for v, parent in enumerate(bones)
        )

    def subtracted(self, stream: str) -> tuple[int, ...]:
        return self.bone_parents if stream[0] == "b" else self.k_parents

    @cached_property
    def depths(self) -> list[int]:
        """Return the number of edges from each joint to the centre."""
        return [len(_path_to_centre(self.parents, joint)) - 1 for joint in range(self.joints)]

    def drawing(self) -> list[tuple[float, float]]:
        """Return the position (right, up) of each joint in a drawing of the tree.

        The centre is at (0, 0) and the radius of a joint is its depth, scaled to at most 1.
        """
        angles = self._angles()
        radii = [depth / max(self.depths) for depth in self.depths]
        return [
            (radius * math.sin(angle), radius * math.cos(angle))
            for radius, angle in zip(radii, angles, strict=True)
        ]

    def _angles(self) -> list[float]:
        """Return the angle of each joint in radians; a branch gets the angle of its leaves."""
        parents_first = sorted(range(self.joints), key=lambda joint: self.depths[joint])
        leaves = self._leaves(parents_first)
        begin = [0.0] * self.joints
        used = begin.copy()
        for joint in parents_first[1:]:
            parent = self.parents[joint]
            begin[joint] = used[joint] = used[parent]
            used[parent] += leaves[joint]
        return [math.tau * (begin[v] + leaves[v] / 2) / max(leaves) for v in range(self.joints)]

    def _leaves(self, parents_first: list[int]) -> list[int]:
        """Return the number of leaves below each joint; a leaf counts itself."""
        leaves = [0] * self.joints
        for joint in reversed(parents_first):
            leaves[joint] = leaves[joint] or 1
            if self.parents[joint] != joint:
                leaves[self.parents[joint]] += leaves[joint]
        return leaves


def tree_error(parents: Sequence[int]) -> str | None:
    """Return a sentence that says why `parents` is not a tree, or None if it is one."""
    for joint, parent in enumerate(parents):
        if not 0 <= parent < len(parents):
            return f"parents[{joint}] is {parent}, but the joints are 0 to {len(parents) - 1}"
    centres = [joint for joint, parent in enumerate(parents) if joint == parent]
    if len(centres) != 1:
        found = f"{len(centres)} ({', '.join(map(str, centres))})" if centres else "none"
        return f"parents must have one centre, a joint that is its own parent, but has {found}"
    for joint in range(len(parents)):
        if _path_to_centre(parents, joint)[-1] != centres[0]:
            return f"parents must be a tree, but the path from joint {joint} is a cycle"
    return None


def mirror_error(left_right: Sequence[int], joints: int) -> str | None:
    """Return a sentence that says what is wrong with `left_right`, or None if it is right."""
    if len(left_right) != joints:
        return (
            f"left_right must name one joint for each of the {joints} joints in parents,"
            f" not {len(left_right)}"
        )
    for joint, mirrored in enumerate(left_right):
        if not 0 <= mirrored < joints:
            return f"left_right[{joint}] is {mirrored}, but the joints are 0 to {joints - 1}"
        if left_right[mirrored] != joint:
            return f"left_right[{joint}] is {mirrored}, so left_right[{mirrored}] must be {joint}"
    return None


def _path_to_centre(parents: Sequence[int], joint: int) -> list[int]:
    """Return the joints from `joint` to the centre; in a cycle the path ends before a repeat."""
    path = [joint]
    while parents[path[-1]] not in path:
        path.append(parents[path[-1]])
    return path


# fmt: off
# Kinect v2, coordinates in metres. The bones 21->22 and 23->24 are those of the published code;
# in the graph all four finger tips are children of the hands.
NTU = Skeleton(
    parents=(
        1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11,
    ),
    left_right=(
        0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22,
    ),
    middle=1,
    other_bones=((21, 22), (23, 24)),
)
# Left arm, left leg, right arm, right leg.
NTU_PARTS = (4, 5, 6, 7, 21, 22), (12, 13, 14, 15), (8, 9, 10, 11, 23, 24), (16, 17, 18, 19)
# fmt: on

# COCO's 17 joints (pixels and a score), then 17 between the hips, 18 in the middle of the trunk
# and 19 between the shoulders.
COCO = Skeleton(
    parents=(19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19),
    left_right=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    dimensions=2,
    added=3,
)
SKELETONS = {"nturgb+d": NTU, "coco_new": COCO}
