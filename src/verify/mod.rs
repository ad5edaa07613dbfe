//! Whether what runs is right: kernels against their twins, a device against the CPU path call by call, and mistakes that are put
//! into shaders to see whether they are noticed.

mod check;
mod lockstep;
mod mutate;

pub use check::{CaseFailure, KernelReport, SelfTestReport, check_fast, check_kernel, compare, outputs_of, self_test_kernel, variants};
pub use lockstep::{Divergence, Lockstep, lockstep};
pub use mutate::{Mutation, mutations};
