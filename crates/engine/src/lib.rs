//! Load a model, generate text: requests in, events out.
#![doc = include_str!("../README.md")]
