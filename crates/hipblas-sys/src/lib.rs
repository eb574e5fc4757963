//! Raw bindings to hipBLAS, opened at run time.
