"""What replaces functions of MAX, and only functions whose source is known.

    python -m mxfp4.max_patches [--json]

prints each patch, whether this MAX gets it, and what it costs to be without. A patch
is a module here with `PATCHES`, and an entry of `catalog`; `registry` applies it, and
undoes it. Importing the package, or any module of it, changes nothing.
"""
