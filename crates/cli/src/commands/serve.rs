//! `serve`: the HTTP server, as `rocmforge-server` runs it.

use rocmforge_server::ServeArgs;

use crate::args::Cli;
use crate::error::CliError;
use crate::signals::StopOnInterrupt;

pub fn run(cli: &Cli, args: &ServeArgs) -> Result<(), CliError> {
    // The first Ctrl-C asks the server to end; it listens for that itself.
    let (_guard, _) = StopOnInterrupt::new();
    Ok(rocmforge_server::serve(&cli.common, args, |line| eprintln!("{line}"))?)
}
