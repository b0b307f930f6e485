"""GPT-OSS with MXFP4 weights on Hopper GPUs, for MAX.

Importing the package imports nothing of MAX: `mxfp4.parity` and `mxfp4.profile`
run where MAX is not installed.
"""
