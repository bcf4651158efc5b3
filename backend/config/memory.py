"""How much memory this container may take, and this process has, by the kernel's own word."""

import os
from pathlib import Path

# cgroup v2 first, then v1. "max" and numbers near 2**63 mean that there is no limit.
LIMIT_FILES = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
NO_LIMIT = 1 << 60


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that this container may take, or None where nothing limits it."""
    for name in LIMIT_FILES:
        try:
            text = (root / name).read_text().strip()
        except OSError:
            continue
        if not text.isdecimal() or int(text) >= NO_LIMIT:
            return None
        return int(text)
    return None


def resident_memory() -> int | None:
    """Bytes of memory that this process holds, or None where the kernel does not say."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
