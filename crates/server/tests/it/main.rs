//! Tests of the running server: over its socket, and as programs of others use it.

mod apis;
mod clients;
mod docs;
mod events;
mod failures;
mod harness;
mod health;
mod hostile;
mod openai;
mod openapi;
mod page;
mod process;
mod responses;
mod tools;
