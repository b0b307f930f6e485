"""How a test program reports: one line a case, `PASS name`, `FAIL name: reason` or `SKIP name: reason`.

A program ends with `Report.finish`, which raises when a case failed, so that the exit code tells as well.
"""

from std.memory import Pointer
from std.sys import argv

from max.gpu import global_idx
from max.gpu.host import DeviceContext, DeviceAttribute

comptime NEEDS_HOPPER = "skipped: needs a Hopper GPU (sm_90)"


struct Report:
    """Counts the cases of one test program and prints a line for each."""

    var failures: Int

    def __init__(out self):
        self.failures = 0

    def passed(mut self, name: String):
        """Report a case that held."""
        print("PASS", name)

    def failed(mut self, name: String, reason: String):
        """Report a case that did not hold, and why."""
        self.failures += 1
        print("FAIL ", name, ": ", reason, sep="")

    def skipped(mut self, name: String, reason: String):
        """Report a case that could not run here."""
        print("SKIP ", name, ": ", reason, sep="")

    def check(mut self, name: String, wrong: Int, what: String):
        """Report a case by its number of wrong values."""
        if wrong == 0:
            self.passed(name)
        else:
            self.failed(name, String(wrong) + " " + what)

    def finish(self) raises:
        """Raise when a case failed."""
        if self.failures > 0:
            raise Error(String(self.failures) + " failed")


def smallest_only() -> Bool:
    """Whether the program was started with `quick`: it keeps to its smallest cases then, for memory checkers that slow
    the GPU down a hundredfold.
    """
    return len(argv()) > 1 and argv()[1] == "quick"


def has_hopper() -> Bool:
    """Whether device 0 is a GPU of compute capability 9.0."""
    try:
        var ctx = DeviceContext()
        return (
            ctx.get_attribute(DeviceAttribute.COMPUTE_CAPABILITY_MAJOR) == 9
            and ctx.get_attribute(DeviceAttribute.COMPUTE_CAPABILITY_MINOR) == 0
        )
    except:
        return False


@always_inline
def hash32(seed: UInt32, index: UInt32) -> UInt32:
    """A well-mixed 32-bit value for every (seed, index): random input that any thread can make for itself."""
    var z = index * 0x9E37_79B9 + seed * 0x85EB_CA6B + 0x1657_67B1
    z = (z ^ (z >> 16)) * 0x7FEB_352D
    z = (z ^ (z >> 15)) * 0x846C_A68B
    return z ^ (z >> 16)


def fill_values(
    target: Pointer[BFloat16, MutAnyOrigin], count: UInt64, seed: UInt32
):
    """Kernel, one thread a value: random bf16 in (-2, 2)."""
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = (
            Float32(Int32(hash32(seed, UInt32(i)))) * Float32(1.0 / (1 << 30))
        ).cast[DType.bfloat16]()
