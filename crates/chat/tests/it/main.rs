//! Rendered texts against Jinja2's own, and hostile templates against the limits.

mod hostile;
mod output;
mod truth;
