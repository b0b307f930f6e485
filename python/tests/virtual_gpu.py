"""Gives MAX a GPU that is not there, for tests.

It is `sitecustomize` on the PYTHONPATH of a server and of the workers it starts. The
one device is a virtual Hopper: MAX compiles for it and cannot run anything on it, so
nothing is allocated. With MAX_SERVE_DUMMY_MODEL set the rest of the server is the real
one, and its model repeats what it is told.
"""

import importlib.abc
import importlib.util
import sys


def driver(module):
    module.set_virtual_device_api("cuda")
    module.set_virtual_device_target_arch("sm_90a")
    module.set_virtual_device_count(1)


def model_worker(module):
    module._prime_pinned_memory_cache = lambda *args: None


# The dummy model cannot be captured.
sys.argv = [word for word in sys.argv if word != "--device-graph-capture"]

CHANGES = {"max.driver": driver, "max.serve.pipelines.model_worker": model_worker}


class Finder(importlib.abc.MetaPathFinder):
    """Applies a change right after its module was loaded."""

    def find_spec(self, name, path, target=None):
        change = CHANGES.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            change(module)

        spec.loader.exec_module = load_and_change
        return spec


sys.meta_path.insert(0, Finder())
