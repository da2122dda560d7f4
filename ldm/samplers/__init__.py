"""Samplers by name; each is one file, with a pure function for every part of the paper's algorithm.

To add one, write its file and add its line here.
"""

from ldm.samplers.ddim import DDIM
from ldm.samplers.dpmpp import DPMPP
from ldm.samplers.sampler import Sampler
from ldm.samplers.unipc import UNIPC

SAMPLERS: dict[str, Sampler] = {
    DDIM.name: DDIM,
    DPMPP.name: DPMPP,
    UNIPC.name: UNIPC,
}
