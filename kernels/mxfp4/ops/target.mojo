"""Where the ops run."""


def check_target[target: StaticString]():
    """Refuse to compile for anything but a GPU."""
    comptime assert (
        target == "gpu"
    ), "mxfp4 grouped matmul needs Hopper (sm_90): it has no CPU kernel and no scalar fallback"
