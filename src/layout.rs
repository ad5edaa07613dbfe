//! The one place where our layout meets PyTorch's: padded rows here, dense tensors with PyTorch's shapes outside.

use crate::buffer::{Shape, pad_rows, unpad_rows};

/// The shape that PyTorch gives a parameter called `name`: biases are vectors, weights `[out, in]`.
pub fn torch_shape(name: &str, shape: Shape) -> Vec<usize> {
    if name.ends_with(".bias") { vec![shape.cols as usize] } else { vec![shape.rows as usize, shape.cols as usize] }
}

/// Padded words to dense little-endian bytes.
pub fn to_torch(shape: Shape, words: &[u32]) -> Vec<u8> {
    unpad_rows(shape, words).iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// Dense little-endian bytes to padded words. Panics if they do not fill `shape`.
pub fn from_torch(shape: Shape, bytes: &[u8]) -> Vec<u32> {
    let words: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    pad_rows(shape, &words)
}
