//! From Jinja source to a program for the engine.
//!
//! The engine runs blocks, loops and macros; everything in which Jinja2 is
//! really Python (operators, methods, whitespace rules, printing) is decided
//! here and in [`crate::py`]. The source is read with Jinja2's grammar, checked
//! against the nesting limit, and written again with each operator spelled as a
//! call of a counted function. So no operation runs that is not counted, and a
//! hostile nesting never reaches a recursive parser.

mod expr;
mod lexer;
mod lower;

pub(crate) use lower::lower;

/// Prefix of the functions that operators are lowered to; templates cannot use it.
pub(crate) const PREFIX: &str = "__rf_";
