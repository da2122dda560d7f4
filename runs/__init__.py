"""Runs seen from outside, for those who plan them and wait for them.

- `status`: the state of runs, read from their folders.
- `workload`: GPU hours that runs take.
"""
