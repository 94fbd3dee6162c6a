"""Networks and kernels of other libraries, as kernels of this one."""
