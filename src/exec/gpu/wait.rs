//! Waiting for the device. What blocks, blocks here and nowhere else, so that a platform which must not block changes one file.

use std::future::Future;

use wgpu::{PollError, PollType, SubmissionIndex};

/// What `future` comes to.
pub(in crate::exec) fn for_result<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Until the device is done with `submission`, or with all of them, and callbacks have heard of it.
pub(super) fn for_work(device: &wgpu::Device, submission: Option<SubmissionIndex>) -> Result<(), PollError> {
    device.poll(PollType::Wait { submission_index: submission, timeout: None }).map(drop)
}

/// Until callbacks have heard of what is done by now.
pub(super) fn for_news(device: &wgpu::Device) -> Result<(), PollError> {
    device.poll(PollType::Poll).map(drop)
}
