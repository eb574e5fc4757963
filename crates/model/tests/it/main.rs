//! Tiny files made in memory, good and hostile, through the public interface.

mod describe;
mod hostile;
mod programs;
mod tiny;
