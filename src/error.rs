//! The two kinds of failure that have an exit code of their own.

/// The command was used wrongly: exit code 2.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The device failed or cannot do what was asked: exit code 3.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

/// An error with its causes in one line; nothing that was said is said again by a cause.
pub fn chain(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}

/// 2 for wrong use, 3 for a device that cannot run, 1 for every other failure.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let kinds = |error: &(dyn std::error::Error + 'static)| {
        if error.is::<UsageError>() {
            Some(2)
        } else if error.is::<DeviceError>() {
            Some(3)
        } else {
            None
        }
    };
    error.chain().find_map(kinds).unwrap_or(1)
}
