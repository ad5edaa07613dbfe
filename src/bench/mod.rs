//! How fast a device is, and how much of that speed the standard workloads get.

mod measure;
mod roofline;
mod workloads;

pub use measure::{Loaded, Measured};
pub use roofline::Roofline;
pub use workloads::{Workload, contrastive, matmul, standard, train_step};
