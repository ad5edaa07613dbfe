use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = wgraft::cli::Cli::parse();
    match wgraft::commands::run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            wgraft::say!("error: {error:#}");
            ExitCode::from(wgraft::error::exit_code(&error))
        }
    }
}
