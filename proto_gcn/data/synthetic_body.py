"""This module holds the bodies of generated data: a rest pose, and the limbs that a class moves."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from proto_gcn.skeleton import NTU, Skeleton

Limb = dict[int, float]  # joint -> its share of the movement

# Rest pose in metres (Kinect v2 joints, x to the subject's left, y up): centre line and left side.
CENTRE = {0: (0, 0, 0), 1: (0, 0.30, 0), 2: (0, 0.62, 0), 3: (0, 0.75, 0), 20: (0, 0.52, 0)}
LEFT = {
    **{4: (0.18, 0.48, 0), 5: (0.30, 0.25, 0), 6: (0.34, 0.02, 0), 7: (0.35, -0.05, 0)},
    **{12: (0.09, -0.03, 0), 13: (0.11, -0.43, 0), 14: (0.12, -0.82, 0), 15: (0.13, -0.86, -0.10)},
    **{21: (0.36, -0.12, 0), 22: (0.31, -0.07, -0.03)},
}
ARM, LEG = {5: 0.5, 6: 0.9, 7: 1.0, 21: 1.0, 22: 1.0}, {13: 0.5, 14: 1.0, 15: 1.0}
RADIUS = 0.6  # of a body with another layout, in metres


class Body(NamedTuple):
    """pose [V, 3] is in metres; a class names a limb by its index."""

    pose: NDArray[np.float64]
    limbs: list[Limb]


def body_of(skeleton: Skeleton) -> Body:
    """Return a person for NTU, and for another layout its drawing as a flat body.

    A limb of a drawing is a branch that starts at a neighbour of the centre.
    """
    if skeleton is NTU:
        return Body(_person(), _person_limbs())
    pose = np.zeros((skeleton.joints, 3))
    pose[:, :2] = RADIUS * np.array(skeleton.drawing())
    return Body(pose, _branches(skeleton))


def _person() -> NDArray[np.float64]:
    pose = np.zeros((25, 3))
    for joint, place in {**CENTRE, **LEFT}.items():
        pose[joint] = place
    for joint, (x, y, z) in LEFT.items():
        pose[NTU.left_right[joint]] = -x, y, z
    return pose


def _person_limbs() -> list[Limb]:
    arm, leg = _mirrored(ARM), _mirrored(LEG)
    return [ARM | arm, LEG | leg, ARM, arm, LEG, leg]


def _mirrored(limb: Limb) -> Limb:
    return {NTU.left_right[joint]: share for joint, share in limb.items()}


def _branches(skeleton: Skeleton) -> list[Limb]:
    """Return all branches as one limb, then each of them, the largest first.

    A joint's share of the movement grows with its depth.
    """
    branches: dict[int, Limb] = {}
    depths = skeleton.depths
    for joint in sorted(range(skeleton.joints), key=lambda joint: depths[joint]):
        root = joint
        while depths[root] > 1:
            root = skeleton.parents[root]
        if root != skeleton.centre:
            branches.setdefault(root, {})[joint] = depths[joint] / max(depths)
    each = sorted(branches.values(), key=len, reverse=True)
    together = {joint: share for limb in each for joint, share in limb.items()}
    return each if len(each) == 1 else [together, *each]
