"""Hardware that a program computes on: devices, precisions, memory, compiled networks."""
