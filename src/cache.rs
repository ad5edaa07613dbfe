//! What is kept between runs and can be made anew: tuned choices, decoded pictures.

use std::path::PathBuf;

/// Names another folder than the user's cache folder.
const VARIABLE: &str = "WGRAFT_CACHE";

/// `None` where the system knows no such folder and the user names none.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from).or_else(|| Some(dirs::cache_dir()?.join("wgraft")))
}
