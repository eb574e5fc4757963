//! Chat templates: the file's own Jinja template, rendered with limits.
#![doc = include_str!("../README.md")]
