"""GPT-OSS whose experts stay packed in MXFP4 and run on the Hopper kernel.

For MAX's `--custom-architectures`: it replaces the built-in GPT-OSS.
"""

from mxfp4.gpt_oss.arch import gpt_oss_arch

ARCHITECTURES = [gpt_oss_arch]

__all__ = ["ARCHITECTURES", "gpt_oss_arch"]
