//! GPU kernels in HIP C++: their sources, the table of modules, and the code objects that were built.
