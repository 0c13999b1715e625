"""Images that are read when they are needed, for sets that are larger than memory."""

import os
from collections.abc import Callable, Iterator

import grain
import numpy as np

from edl_jax.errors import EdlError

_MOST_THREADS = 16
_READ_AT_ONCE = 64


class Streamed:
    """Images that are read when they are needed, in the place of an array of them.

    Of a part, ``images[rows]``, nothing is read; ``np.asarray`` reads it, and :meth:`batches` reads
    batch after batch ahead of their use, by several threads (Grain).

    Args:
      read: gives the images of numbers from 0 to ``number`` - 1, an array ``[n]``: uint8 ``[n,
        height, width, channels]``. Several threads call it.
      number: of images N.
      shape: of each of them.
      rows: the numbers of the images of this part; all of them by default.

    Attributes:
      shape: ``(N, height, width, channels)``.
      dtype: uint8.

    >>> images = Streamed(lambda i: np.uint8(i)[:, None, None, None], 100, (1, 1, 1))
    >>> part = images[np.array([7, 3])]
    >>> part.shape, np.asarray(part).ravel().tolist()
    ((2, 1, 1, 1), [7, 3])
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        number: int,
        shape: tuple[int, ...],
        rows: np.ndarray | None = None,
    ) -> None:
        self._read = read
        self._rows = np.arange(number) if rows is None else rows
        self.shape = (len(self._rows), *shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> "Streamed":
        return Streamed(self._read, 0, self.shape[1:], self._rows[rows])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images that are read are a copy")
        whole = np.arange(len(self))[None]
        found = next(self.batches(whole)) if len(self) else np.empty(self.shape, self.dtype)
        return found if dtype is None else found.astype(dtype)

    def batches(self, order: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of images, read ahead of their use.

        Args:
          order: int ``[batches, batch]``, which of the images each of them takes.

        Yields:
          uint8 ``[batch, height, width, channels]``.
        """
        rows, size = self._rows[order.ravel()], order.shape[1]
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        # Small parts, so that what is read ahead is little and a batch is read by all threads.
        parts = grain.MapDataset.source(rows).batch(_READ_AT_ONCE).map(self._read)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        filled = 0
        for part in parts.to_iter_dataset(options):
            used = 0
            while used < len(part):
                if filled == 0:
                    batch = np.empty((size, *self.shape[1:]), self.dtype)
                taken = min(size - filled, len(part) - used)
                batch[filled : filled + taken] = part[used : used + taken]
                used, filled = used + taken, (filled + taken) % size
                if filled == 0:
                    yield batch


def require_memory(name: str, shape: tuple[int, ...]) -> None:
    """Raise :class:`EdlError` where uint8 images of ``shape`` are more than this machine's memory.

    >>> require_memory("huge", (10**9, 224, 224, 3))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    edl_jax.errors.EdlError: dataset huge: 140190 GiB of pixels, of ... GiB of memory: expected \
--stream, which reads them as they are needed
    """
    needed, there = int(np.prod(shape, dtype=float)), memory()
    if there is not None and needed > there:
        raise EdlError(
            f"dataset {name}: {needed / 2**30:.0f} GiB of pixels, of {there / 2**30:.0f} GiB of "
            "memory: expected --stream, which reads them as they are needed"
        )


def memory() -> int | None:
    """Bytes of this machine's memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
