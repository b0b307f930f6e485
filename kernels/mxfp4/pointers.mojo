"""The pointers that kernels and launchers take; what a shape is, the function that takes the pointer says."""

from std.memory import Pointer

from max.gpu.memory import AddressSpace

comptime BF16 = Pointer[BFloat16, MutAnyOrigin]
comptime Floats = Pointer[Float32, MutAnyOrigin]
comptime Bytes = Pointer[UInt8, MutAnyOrigin]
comptime Words = Pointer[UInt32, MutAnyOrigin]

comptime GroupStarts = Pointer[UInt32, MutAnyOrigin]
"""First row of each group, and the end of the last."""
comptime ExpertIds = Pointer[Int32, MutAnyOrigin]
comptime RowIndices = Pointer[UInt32, MutAnyOrigin]

comptime SharedBytes = Pointer[
    UInt8, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]
comptime SharedWords = Pointer[
    UInt32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]
comptime SharedFloats = Pointer[
    Float32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]
