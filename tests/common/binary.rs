//! The binary, run as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

pub fn wgraft(dir: &Path, args: &[&str]) -> Output {
    // What was tuned on this machine is no part of a test.
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
    command.args(args).current_dir(dir).env("WGRAFT_CACHE", dir.join("cache")).output().expect("the binary runs")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON object on the last line of stdout, of a command that succeeded.
pub fn json(dir: &Path, args: &[&str]) -> Value {
    let output = wgraft(dir, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().expect("a last line")).expect("the last line is JSON")
}

/// Fails unless the command exits with `code`, and says all of `parts`, without a panic.
pub fn refused(dir: &Path, args: &[&str], code: i32, parts: &[&str]) {
    let output = wgraft(dir, args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: no `{part}` in: {text}");
    }
}
