"""The arithmetic of the op on the host, in one lane and in several: a line for each case, as `mxfp4 test` counts them.
"""

from my_kernel.arithmetic import twice


def main() raises:
    var failures = 0

    var one = twice(SIMD[DType.float32, 1](1.5))
    failures += report("one lane", one == 3.0)

    var several = twice(SIMD[DType.int32, 4](-1, 0, 1, 2))
    failures += report(
        "four lanes", several == SIMD[DType.int32, 4](-2, 0, 2, 4)
    )

    if failures > 0:
        raise Error(String(failures) + " failed")


def report(name: String, holds: Bool) -> Int:
    """Print how a case ended; the number of failures in it."""
    if holds:
        print("PASS", name)
        return 0
    print("FAIL ", name, ": another value came out", sep="")
    return 1
