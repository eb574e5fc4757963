//! Templates for files that bring none.
use crate::ChatTemplate;
/// x
pub fn families() -> Vec<&'static str> { Vec::new() }
impl ChatTemplate {}
