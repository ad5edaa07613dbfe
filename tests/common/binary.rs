//! The binary, run as a user runs it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use walkdir::WalkDir;

pub fn wgraft(dir: &Path, args: &[&str]) -> Output {
    // What was tuned on this machine is no part of a test.
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
    command.args(args).current_dir(dir).env("WGRAFT_CACHE", dir.join("cache")).output().expect("the binary runs")
}

/// What it prints on stdout, given `input` on stdin.
pub fn stdout_of(dir: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgraft"));
    command.args(args).current_dir(dir).env("WGRAFT_CACHE", dir.join("cache"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it is read");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("UTF-8")
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

/// All that is in a folder, by its path: contents of files as a hash, where links lead, and folders. The cache is nobody's loss.
pub fn tree(dir: &Path) -> BTreeMap<PathBuf, String> {
    let entries = WalkDir::new(dir).min_depth(1).into_iter().filter_entry(|entry| entry.path() != dir.join("cache"));
    let describe = |entry: walkdir::DirEntry| {
        let (path, kind) = (entry.path(), entry.file_type());
        let what = match () {
            () if kind.is_symlink() => format!("link to {:?}", std::fs::read_link(path)),
            () if kind.is_file() => {
                let mut hasher = DefaultHasher::new();
                std::fs::read(path).map_err(|e| e.kind()).hash(&mut hasher);
                format!("file {:016x}", hasher.finish())
            }
            () => format!("{kind:?}"),
        };
        (path.strip_prefix(dir).expect("it is in there").to_path_buf(), what)
    };
    entries.flatten().map(describe).collect()
}

/// Fails unless the command exits with `code`, and says all of `parts`, without a panic, and leaves everything as it was.
pub fn refused(dir: &Path, args: &[&str], code: i32, parts: &[&str]) {
    let before = tree(dir);
    let output = wgraft(dir, args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: no `{part}` in: {text}");
    }
    let after = tree(dir);
    let changed = before.keys().chain(after.keys()).find(|path| before.get(*path) != after.get(*path));
    assert!(changed.is_none(), "{args:?}: {changed:?} is not as it was, after: {text}");
}
