"""The ground floor: what all other packages stand on. It imports nothing of ours.

One package each for the rooms:

- `command_line`: options, declared as dataclasses, and the sources of their values.
- `imaging`: image files in and out, their pairs, pixel sizes, views and pictures for people.
- `weights`: files of weights, read without running code and compared with checksums.
- `recording`: records of runs, their locks and their progress.
- `hardware`: devices, precisions, memory, compiled networks and processes.
- `fetching`: downloads, archives and the Hugging Face hub.

Modules without a room:

- `files`, `arrays`, `csv_files`, `yaml_files`, `cards`, `duplicates`: kinds of files.
- `samples`, on `sample_options`, `seeds` and `draws`: training samples, and random numbers that
  belong to one.
- `checks`, `notices`, `refusals`, `text`, `signals`, `user_cache`: talk with users.
- `deferred`, `packages`, `lightning`: care for heavy or optional libraries.
- `prompts`: the texts that describe images.
"""
