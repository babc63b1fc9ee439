"""How memory is taken from the operating system while networks run on a processor."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4

_MIB = 2**20


def keep_freed_memory() -> None:
    """Let the C library keep all freed memory instead of handing it back to the system after each tensor.

    glibc maps every large block afresh and unmaps it when freed, so each activation of a large batch costs a
    page fault for every 4 kB. Kept blocks stay with the process until it ends. Does nothing on other C
    libraries. (`mallopt(3)`, man7.org.)
    """
    _set((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * _MIB))


def keep_some_freed_memory() -> None:
    """Let the C library keep freed blocks of up to 32 MiB, for the next batch of a prediction.

    As `keep_freed_memory` does for the large batches of training, but what stays with each thread is bounded:
    larger blocks are still mapped and unmapped, and more than 64 MiB that are free in one piece are handed
    back. Both are the same for every model, so a long run takes no more memory than a short one.
    """
    _set((_M_MMAP_THRESHOLD, 32 * _MIB), (_M_TRIM_THRESHOLD, 64 * _MIB))


def _set(*options: tuple[int, int]) -> None:
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in options:
            libc.mallopt(option, value)
