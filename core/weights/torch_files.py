"""Files that `torch.save` wrote, read without running their code and compared with checksums."""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import torch

# Trainers pickle their own objects beside the weights. The classes below are replaced by stand-ins
# that do nothing. They are never imported, so old files load without the trainer that wrote them.
# A file that names any other class or function is refused.
TRAINER_PACKAGES = (
    "pytorch_lightning.", "lightning.", "lightning_fabric.", "lightning_utilities.",
    "torchmetrics.", "omegaconf.", "numpy.",
)  # fmt: skip
TRAINER_CLASSES = (
    "argparse.Namespace", "collections.defaultdict", "pathlib.PosixPath",
    "typing.Any", "_codecs.encode",
    "builtins.dict", "builtins.list", "builtins.tuple", "builtins.str",
    "builtins.int", "builtins.float", "builtins.bool",
)  # fmt: skip
# Beginnings, in lower case, of files in the place of weights: what they are, and what to do.
COPY = "Download or copy it again."
OTHER_KINDS = (
    (b"version https://git-lfs", "a pointer of Git LFS", "Run git lfs pull there."),
    ((b"<!", b"<html", b"<head", b"<?xml"), "a web page", "Download the file itself."),
    (b"{", "JSON, as the index of weights in several files", "Take the weights in one file."),
    (b"gguf", "quantised, in GGUF", "Take the file in fp16, bf16 or fp32."),
)
TRAINER_DICTIONARIES = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


class StandIn:
    """Placeholder for a trainer's object: accepts any arguments and state, keeps nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __hash__(self):
        return 0  # old trainers use their callback classes and objects as keys


class StandInDictionary:
    """Placeholder for a trainer's dictionary class; an OrderedDict that keeps the items.

    The weights-only reader fills only dictionaries of its own kind, so `__new__` returns one.
    """

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


class UnsafeFileError(ValueError):
    """A file that asks to run code on loading.

    Args:
        names: classes and functions that the file would call.
    """

    def __init__(self, path, names=()):
        named = f" ({', '.join(sorted(names)[:3])})" if names else ""
        super().__init__(
            f"{path}: refused, loading it would run code of the file's choice{named}. "
            "Ask its author for a .safetensors file."
        )


class MisnamedFileError(ValueError):
    """A file of torch whose name ends in `.safetensors`."""


def check_archive(path: Path) -> None:
    """Compare every record of a file that torch.save wrote with its CRC-32, which torch never does.

    A process reads a file once: again only after its size or time changed. It takes 0.6 s for
    1 GB in the page cache, on one core.

    Raises:
        zipfile.BadZipFile: a record is damaged, or compressed, which torch.save never does.
    """
    status = path.stat()
    _check_records(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)  # an error is not kept: a file that was copied anew is read again
def _check_records(path, size, mtime_ns):
    """Read all records of an archive; `zipfile` compares each with its checksum."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        # Read in full, a few kilobytes could become terabytes.
        if sum(record.file_size for record in records) > size:
            raise zipfile.BadZipFile("its records are larger than the file")
        # `torch.serialization.set_crc32_options(False)` writes no checksums.
        if any(record.CRC for record in records):
            damaged = archive.testzip()
            if damaged:
                raise zipfile.BadZipFile(f"damaged: {damaged} has another checksum")


def load_pickle(path: Path, location: str) -> dict:
    """Whole content of a file that torch.save wrote, trainer's objects as `StandIn`.

    Its checksums are compared, see `check_archive`. Files of torch before 1.6 have none.

    Args:
        location: device to load tensors to, as torch names it.
    Raises:
        ValueError: the file is truncated or is none of torch's.
        MisnamedFileError: its name ends in `.safetensors`.
        UnsafeFileError: it asks to run code on loading; none of its code has run.
    """
    _refuse_other_kinds(path)
    try:
        is_zip = zipfile.is_zipfile(path)  # older torch wrote bare pickles, which cannot be mapped
        if is_zip and path.suffix == ".safetensors":  # torch would go by the name
            raise MisnamedFileError(
                f"{path}: is a file of torch. Rename it, so that it ends in .ckpt"
            )
        if is_zip:
            check_archive(path)
        stand_ins = _stand_ins(path) if is_zip else []
        # The stand-ins count as safe in this block only, not for the whole process.
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            # Of pickles that are none of torch's: the error that follows says more.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(
                path, map_location=location, weights_only=True, mmap=True if is_zip else None
            )
    except (UnsafeFileError, MisnamedFileError):
        raise
    except Exception as error:  # a damaged file makes the reader raise anything
        reason = " ".join(str(error).split())
        # torch has one class of error for forbidden names and for damage; only the text differs.
        if isinstance(error, pickle.UnpicklingError) and any(
            words in reason for words in ("Unsupported global", "Trying to ")
        ):
            raise UnsafeFileError(path) from error
        if isinstance(error, pickle.UnpicklingError):
            reason = "not one, or damaged"
        # The first sentence: the next ones of torch advise to let the file run its code.
        reason = reason.partition(". ")[0] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a checkpoint ({reason}). {COPY}") from error


def _refuse_other_kinds(path):
    """Raise ValueError where a file is none of torch's, by its beginning."""
    with open(path, "rb") as file:
        start = file.read(64).lower()
    found = next((row[1:] for row in OTHER_KINDS if start.lstrip().startswith(row[0])), None)
    kind, remedy = found or ("" if start else "empty", COPY)
    if kind:
        raise ValueError(f"{path}: cannot be read as a checkpoint (it is {kind}). {remedy}")


def _stand_ins(path):
    """(class, name) for each trainer's class that a file names; refuses all other names."""
    # Reads the file's opcodes without executing them.
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    refused = [
        name
        for name in names
        if not name.startswith(TRAINER_PACKAGES) and name not in TRAINER_CLASSES
    ]
    if refused:
        raise UnsafeFileError(path, refused)
    bases = [StandInDictionary if name in TRAINER_DICTIONARIES else StandIn for name in names]
    return [  # one class per name: torch keeps them in a table by class
        (type(f"StandIn_{i}", (base,), {}), name)
        for i, (name, base) in enumerate(zip(names, bases, strict=True))
    ]
