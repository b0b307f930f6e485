"""GPT-OSS whose experts stay packed in MXFP4 and run on the Hopper kernel.

For MAX's `--custom-architectures`: it replaces the built-in GPT-OSS.
"""

from max.driver import get_virtual_cpu_target, set_virtual_cpu_target

from mxfp4.gpt_oss.arch import gpt_oss_arch
from mxfp4.max_patches import (
    bounds,
    compiled_graphs,
    graph_sizes,
    health,
    log_probabilities,
    masks,
    sampler,
    worker_process,
)

HOST = "x86-64-v3"
"""What the little code that runs on the host is compiled for, unless something else
was said before. Were it the very CPU, which is MAX's default, a model compiled on one
machine would be compiled again on any with another CPU."""

if not get_virtual_cpu_target():
    set_virtual_cpu_target(HOST)

health.make_room()
worker_process.install()
compiled_graphs.install()
graph_sizes.install()
log_probabilities.install()
sampler.install()
masks.install()
bounds.install()

ARCHITECTURES = [gpt_oss_arch]

__all__ = ["ARCHITECTURES", "gpt_oss_arch"]
