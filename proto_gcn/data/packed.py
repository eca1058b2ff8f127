"""This module keeps many arrays in a few large blocks of memory that forked workers share.

As Python objects they would gradually be copied into every worker: using an object writes to its
reference count, and that copies the memory page it is on.
"""

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array

BLOCK_BYTES = 64 * 2**20
ALIGNMENT = 16
DTYPES = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))


class PackedArrays(Sequence[Array]):
    """Copies of float arrays with four axes; indexing returns read-only views."""

    def __init__(self, arrays: Iterable[Array]) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._used = 0  # bytes of the last block
        # Each row: block, offset, dtype, then the shape.
        rows = [self._append(array) for array in arrays]
        self._table = np.array(rows, dtype=np.int64).reshape(-1, 7)
        for block in self._blocks:
            block.flags.writeable = False

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        block, offset, dtype, *shape = self._table[index].tolist()
        return np.ndarray(shape, DTYPES[dtype], self._blocks[block], offset)

    def _append(self, array: Array) -> tuple[int, ...]:
        start = -(-self._used // ALIGNMENT) * ALIGNMENT
        if not self._blocks or start + array.nbytes > len(self._blocks[-1]):
            start = 0
            # Pages that are not used take no memory.
            self._blocks.append(np.empty(max(BLOCK_BYTES, array.nbytes), np.uint8))
        self._used = start + array.nbytes
        np.ndarray(array.shape, array.dtype, self._blocks[-1], start)[:] = array
        return len(self._blocks) - 1, start, DTYPES.index(array.dtype), *array.shape
