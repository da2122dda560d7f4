"""How scripts start worker processes."""

import multiprocessing

# Workers begin as clean processes: the copy of a process that runs threads (torch, OpenCV, wandb) can wait for a lock that none of its threads will free.
CLEAN = multiprocessing.get_context("forkserver")
