"""Free memory."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.hardware import memory
from tests.kernel import needs_paging

CPU = torch.device("cpu")
VERSIONS = {
    "version 2": ("0::/job/step\n", "", "memory.max", "memory.current", "inactive_file"),
    "version 1": (
        "9:cpu:/other\n4:memory:/job/step\n",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """Function that gives the parent of this process's control group a limit in bytes."""
    root = tmp_path / "groups"

    def give(version, text, used=700, cache=200):
        own, controllers, limit, usage, inactive = VERSIONS[version]
        (root / "job" / "step").mkdir(parents=True)
        (root / "job" / limit).write_text(f"{text}\n")
        (root / "job" / usage).write_text(f"{used}\n")
        (root / "job" / "memory.stat").write_text(f"anon 5\n{inactive} {cache}\n")
        (tmp_path / "own").write_text(own)
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
        monkeypatch.setitem(memory.GROUPS, controllers, (root, *memory.GROUPS[controllers][1:]))

    return give


@pytest.mark.parametrize("version", VERSIONS)
def test_a_control_group_limits_what_is_free(version, limit):
    limit(version, 1000)
    assert memory.free_memory(CPU) == 1000 - (700 - 200)


def test_without_a_limit_the_available_memory_is_free(limit, tmp_path, monkeypatch):
    limit("version 2", "max")
    (tmp_path / "meminfo").write_text("MemTotal: 30 kB\nMemAvailable: 20 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    assert memory.free_memory(CPU) == 20 * 1024


def test_this_machine_has_some_memory_free():
    assert 2**20 < memory.free_memory(CPU) < 2**50


def pages():
    """Pages of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_freed_memory_goes_back_to_the_system():
    blocks = [bytearray(b"x" * 100_000) for _ in range(2000)]  # 200 MB on the heap
    del blocks[1::2]  # what stays lies between what is freed
    del blocks[:500]
    before = pages()
    memory.give_back_freed_memory()
    assert (before - pages()) * 4096 > 50e6
    assert len(blocks) == 500


@needs_paging
def test_a_mapped_tensor_leaves_the_memory_until_it_is_read(tmp_path):
    torch.save(torch.arange(2.0**23), tmp_path / "numbers.pt")  # 32 MiB
    numbers = torch.load(tmp_path / "numbers.pt", mmap=True, weights_only=True)
    total, before = numbers.sum(), pages()
    memory.page_out(numbers)
    assert (before - pages()) * 4096 > 24e6
    assert torch.equal(numbers.sum(), total)
    in_memory = torch.arange(2.0**20)
    memory.page_out(in_memory)
    assert torch.equal(in_memory, torch.arange(2.0**20))


ROOT = Path(__file__).parents[3]
KEEPING = """
import resource, torch
from core.hardware.memory import keep_freed_memory
{call}
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
counts = []
for _ in range(10):
    before = faults()
    torch.ones(2**24)  # 64 MiB
    counts.append(faults() - before)
print(min(counts))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
@pytest.mark.parametrize(("call", "used_again"), [("", False), ("keep_freed_memory()", True)])
def test_freed_memory_is_used_again(call, used_again):
    # In a process of its own: nothing takes back what the C library was told.
    command = [sys.executable, "-c", KEEPING.format(call=call)]
    fewest = int(subprocess.check_output(command, cwd=ROOT))
    assert (fewest < 10) == used_again
