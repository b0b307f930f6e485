"""GPT-OSS with MXFP4 weights on Hopper GPUs, for MAX.

Importing the package imports nothing of MAX: `mxfp4.chat` and `mxfp4.parity`
run where MAX is not installed.
"""
