//! Hostile requests. After each case the server lives, other answers are what they were, and nothing is held.

mod bodies;
mod callers;
mod connections;
mod grammars;
mod heads;
mod process;
mod requests;
mod streams;
