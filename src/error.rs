//! The two kinds of failure that have an exit code of their own.

/// The command was used wrongly: exit code 2.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

pub use crate::exec::DeviceError;

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
