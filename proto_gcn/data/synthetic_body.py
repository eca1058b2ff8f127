"""The bodies of generated data: a rest pose and the limbs that a class may move, for any joint layout."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from proto_gcn.skeleton import NTU, Skeleton

Limb = dict[int, float]  # joint -> share of the movement

# Rest pose in metres (Kinect v2 joints, x to the subject's left, y up), the centre line and the left side.
CENTRE = {0: (0, 0, 0), 1: (0, 0.30, 0), 2: (0, 0.62, 0), 3: (0, 0.75, 0), 20: (0, 0.52, 0)}
LEFT = {
    **{4: (0.18, 0.48, 0), 5: (0.30, 0.25, 0), 6: (0.34, 0.02, 0), 7: (0.35, -0.05, 0)},
    **{12: (0.09, -0.03, 0), 13: (0.11, -0.43, 0), 14: (0.12, -0.82, 0), 15: (0.13, -0.86, -0.10)},
    **{21: (0.36, -0.12, 0), 22: (0.31, -0.07, -0.03)},
}
ARM, LEG = {5: 0.5, 6: 0.9, 7: 1.0, 21: 1.0, 22: 1.0}, {13: 0.5, 14: 1.0, 15: 1.0}
REACH = 0.6  # of another layout, in metres


class Body(NamedTuple):
    """pose [V, 3] in metres; limbs by the number that a class uses."""

    pose: NDArray[np.float64]
    limbs: list[Limb]


def body_of(skeleton: Skeleton) -> Body:
    """NTU's is a person; another layout's is its drawing, and a limb is what hangs on a neighbour of the centre."""
    if skeleton is NTU:
        return Body(
            _person(),
            [ARM | _mirrored(ARM), LEG | _mirrored(LEG), ARM, _mirrored(ARM), LEG, _mirrored(LEG)],
        )
    pose = np.zeros((skeleton.joints, 3))
    pose[:, :2] = REACH * np.array(skeleton.places())
    return Body(pose, _branches(skeleton))


def _person() -> NDArray[np.float64]:
    pose = np.zeros((25, 3))
    for joint, place in {**CENTRE, **LEFT}.items():
        pose[joint] = place
    for joint, (x, y, z) in LEFT.items():
        pose[NTU.left_right[joint]] = -x, y, z
    return pose


def _mirrored(limb: Limb) -> Limb:
    return {NTU.left_right[joint]: share for joint, share in limb.items()}


def _branches(skeleton: Skeleton) -> list[Limb]:
    """All together, then each, the largest first; a joint's share of the movement grows with its depth."""
    branches: dict[int, Limb] = {}
    for joint in sorted(range(skeleton.joints), key=lambda joint: skeleton.depths[joint]):
        root = joint
        while skeleton.depths[root] > 1:
            root = skeleton.parents[root]
        if root != skeleton.centre:
            branches.setdefault(root, {})[joint] = skeleton.depths[joint] / max(skeleton.depths)
    each = sorted(branches.values(), key=len, reverse=True)
    return (
        each
        if len(each) == 1
        else [{joint: share for limb in each for joint, share in limb.items()}, *each]
    )
