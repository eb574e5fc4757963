//! The sampling chain of an LLM: penalties, truncation, seeds, log-probabilities.
#![doc = include_str!("../README.md")]
