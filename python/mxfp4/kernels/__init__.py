"""Entry points of the kernel package: its ops, its guards, its numeric contract.

Nothing here knows a model.
"""
