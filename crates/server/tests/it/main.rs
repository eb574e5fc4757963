//! The server as programs of others use it.

mod clients;
mod docs;
mod page;
mod server;
mod tools;
