"""Loaders of training samples."""

from torch.utils.data import DataLoader, Dataset, Sampler

from core.samples import collate
from core.signals import leave_stops_to_parent


def build_loader(dataset: Dataset, batches: Sampler, num_workers: int, on_gpu: bool) -> DataLoader:
    """Loader of the samples of a data set, batch by batch as `core.samples.Batch`.

    Args:
        batches: sampler of lists of keys of the data set.
        num_workers: processes that read ahead; 0 for none.
        on_gpu: whether a GPU computes with the batches.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=on_gpu,  # the GPU copies a batch while it computes another
        persistent_workers=num_workers > 0,  # starting them anew would delay every epoch
        worker_init_fn=leave_stops_to_parent,
    )
