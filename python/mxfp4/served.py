"""GPT-OSS in a MAX that is patched: what a server's processes import.

MAX's main process takes `ARCHITECTURES` from here, and sends the model's class to its
worker by name. So each process of a server that uses the model imports this module
first, and this is the one place that patches MAX.
"""

from __future__ import annotations

import dataclasses

from max.driver import get_virtual_cpu_target, set_virtual_cpu_target

from mxfp4.gpt_oss import model
from mxfp4.gpt_oss.arch import gpt_oss_arch
from mxfp4.max_patches import registry

HOST = "x86-64-v3"
"""What the little code that runs on the host is compiled for, unless something else
was said before. Were it the very CPU, which is MAX's default, a model compiled on one
machine would be compiled again on any with another CPU."""

if not get_virtual_cpu_target():
    set_virtual_cpu_target(HOST)

registry.install()


class GptOssModel(model.GptOssModel):
    """The model, under a name whose import patches MAX."""


ARCHITECTURES = [dataclasses.replace(gpt_oss_arch, pipeline_model=GptOssModel)]
