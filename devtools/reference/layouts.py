"""Joint layouts that are neither of the published ones, as `parents`."""

#: 0 the trunk, 1-2 and 3-4 its two arms, 5-6 a tail; and its mirror image
PARENTS = [0, 0, 1, 0, 3, 0, 5]
MIRROR = [0, 3, 4, 1, 2, 5, 6]
#: 31 joints, more than the published add_coeff has entries: centre 2, eight legs of three
SPIDER = [1, 2, 2, 2, 3, 4, 5, *(joint for leg in range(7, 31, 3) for joint in (2, leg, leg + 1))]
