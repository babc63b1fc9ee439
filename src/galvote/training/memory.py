"""How memory is taken from the operating system while training on a processor."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Let the C library keep freed memory instead of handing it back to the system after each tensor.

    glibc maps every large block afresh and unmaps it when freed, so each activation of a large batch costs a
    page fault for every 4 kB. Kept blocks are part of what `benchmarks/training_speed.py` measures; they stay
    with the process until it ends. Does nothing on other C libraries.
    (`mallopt(3)`, man7.org.)
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TOP_PAD, 64 * 2**20)
