use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    give_drivers_a_folder();
    let cli = wgraft::cli::Cli::parse();
    match wgraft::commands::run(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            wgraft::say!("error: {}", wgraft::error::chain(&error));
            ExitCode::from(wgraft::error::exit_code(&error))
        }
    }
}

/// Drivers print a complaint on each start if `XDG_RUNTIME_DIR` is unset. They only want a folder of the user's own there.
fn give_drivers_a_folder() {
    if !cfg!(target_os = "linux") || std::env::var_os("XDG_RUNTIME_DIR").is_some() {
        return;
    }
    let Some(folder) = wgraft::cache::folder().map(|folder| folder.join("runtime")) else { return };
    if std::fs::create_dir_all(&folder).is_ok() {
        // SAFETY: `main` has started no other thread yet, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", folder) };
    }
}
