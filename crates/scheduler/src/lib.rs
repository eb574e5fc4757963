#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod commit;
mod config;
mod entry;
mod error;
mod fill;
mod plan;
mod planning;
mod queue;
mod recovery;
mod request;
mod scheduler;
mod state;

pub use config::{Preemption, SchedulerConfig};
pub use error::{Refused, SchedulerError};
pub use plan::{Item, SequenceId, StepPlan};
pub use recovery::StepFailure;
pub use request::{ClientId, EndReason, Ended, NewRequest, Next, Outcome, RequestId, Rows};
pub use scheduler::{Scheduler, SchedulerUsage};
pub use state::State;
