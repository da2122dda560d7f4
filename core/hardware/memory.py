"""Memory that is still free, on a GPU or for processes on the CPU, and memory to give back."""

import ctypes
import mmap
import os
from pathlib import Path

import torch

PAGE_OUT = 21  # MADV_PAGEOUT of Linux 5.4 and later; Python's mmap does not name it
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt in glibc
MEMINFO = Path("/proc/meminfo")
OWN_GROUPS = Path("/proc/self/cgroup")
# Controllers in `OWN_GROUPS` -> root of the groups, and names of limit, use and cache that the
# kernel can drop. The first are of version 2, which names no controllers.
GROUPS = {
    "": (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    "memory": (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU, or that this process and others like it can still take.

    On the CPU these are the bytes that the kernel calls available, or fewer where a control group
    limits the process, as Slurm and containers do.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not MEMINFO.exists():  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([_entries(MEMINFO)["MemAvailable:"] * 1024, *_left_in_groups()])


def give_back_freed_memory() -> None:
    """Return memory to the system that was freed, but that the C library keeps for later.

    glibc keeps what lies between blocks in use. Other C libraries have no such call.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def keep_freed_memory() -> None:
    """Let the C library use freed memory again from now on, and never return it by itself.

    glibc returns blocks of 32 MB and more at once. The gradients of a training step of SD 1.5 then
    come as 400,000 empty pages from the system, in every step anew: a sixth of its time on a CPU.
    Other C libraries are left alone.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)


def page_out(tensor: torch.Tensor) -> None:
    """Let a tensor that is mapped from a file leave the memory until it is read again.

    No value is lost: tensors that are not mapped stay where they are, or go to swap space. Nothing
    happens where the system knows no such request, or where the file belongs to another user.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    # Whole pages only: their ends may hold other tensors.
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if madvise and start < end:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), PAGE_OUT)


def _left_in_groups() -> list[int]:
    """Bytes below the limit of each control group that this process is in."""
    left = []
    for line in OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in GROUPS:
            continue
        root, limit, used, cache = GROUPS[controllers]
        # A container sees its own group as the root, whatever the path says.
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            if group.is_relative_to(root) and (group / limit).exists():
                text = (group / limit).read_text().strip()
                if text != "max":
                    in_use = int((group / used).read_text())
                    in_use -= _entries(group / "memory.stat")[cache]
                    left.append(int(text) - in_use)
    return left


def _entries(path: Path) -> dict[str, int]:
    """The second word of each line, by the first."""
    words = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value, *_ in words}
