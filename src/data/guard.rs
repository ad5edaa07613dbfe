//! Decoders of others, whose assertions a damaged file may break.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use anyhow::{Result, anyhow};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` returns; an error, and nothing on stderr, where it panics. What `work` has changed is not to be used then.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                loud(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|_| anyhow!("the decoder cannot make sense of it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_what_follows_is_loud_again() {
        let length = std::hint::black_box(0);
        assert!(guarded(|| [1, 2, 3][length..][3]).is_err());
        assert_eq!(guarded(|| 7).expect("no panic"), 7);
        assert!(!GUARDED.get());
    }
}
