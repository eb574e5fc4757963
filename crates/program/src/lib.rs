//! A model as data: typed operations over named tensors, and the trait of their interpreters.
#![doc = include_str!("../README.md")]
