//! How values lie in memory here, and how outside: padded rows here, dense tensors with PyTorch's shapes there. The one
//! place where the two meet.

/// A matrix of `rows` x `cols` elements of four bytes. Vectors are `1 x n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    pub rows: u32,
    pub cols: u32,
}

impl Shape {
    /// Words from one row to the next: `cols` rounded up to 4.
    pub fn stride(self) -> u32 {
        self.cols.next_multiple_of(4)
    }

    /// Words including padding.
    pub fn words(self) -> u64 {
        u64::from(self.rows) * u64::from(self.stride())
    }

    /// Elements without padding.
    pub fn len(self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

pub fn shape(rows: u32, cols: u32) -> Shape {
    Shape { rows, cols }
}

/// A tensor as PyTorch has it, and the matrix that it is here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tensor {
    /// `[length]`: a row.
    Vector(u32),
    /// `[rows, cols]`.
    Matrix(Shape),
    /// `[1, rows, cols]`: what is added to the places of every sample.
    Places(Shape),
    /// `[outputs, inputs, height, width]`: the kernels of a convolution.
    Filters(Taps),
    /// `[outputs, 1, height, width]`: the kernels of a depthwise convolution. Here a row is a tap of all channels.
    Depthwise(Taps),
    /// `[outputs, inputs * height * width]`: a linear layer over feature maps laid out flat.
    Flattened(Taps),
}

/// Weights over feature maps. PyTorch has channel after channel; a row here holds tap after tap with the channels of each
/// innermost and rounded up to four, as pixels are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Taps {
    pub outputs: u32,
    pub inputs: u32,
    pub height: u32,
    pub width: u32,
}

impl Taps {
    fn count(self) -> u32 {
        self.height * self.width
    }

    /// Words of one tap.
    fn depth(self) -> u32 {
        self.inputs.next_multiple_of(4)
    }

    /// Calls `f(place in PyTorch's order, place here)` for all values.
    fn for_each(self, mut f: impl FnMut(usize, usize)) {
        let (taps, depth) = (self.count() as usize, self.depth() as usize);
        for filter in 0..(self.outputs * self.inputs) as usize {
            let (output, input) = (filter / self.inputs as usize, filter % self.inputs as usize);
            for tap in 0..taps {
                f(filter * taps + tap, (output * taps + tap) * depth + input);
            }
        }
    }
}

impl From<Shape> for Tensor {
    fn from(shape: Shape) -> Self {
        Tensor::Matrix(shape)
    }
}

impl Tensor {
    pub fn matrix(self) -> Shape {
        match self {
            Tensor::Vector(length) => shape(1, length),
            Tensor::Matrix(shape) | Tensor::Places(shape) => shape,
            Tensor::Filters(taps) | Tensor::Flattened(taps) => shape(taps.outputs, taps.count() * taps.depth()),
            Tensor::Depthwise(taps) => shape(taps.count(), taps.outputs),
        }
    }

    pub fn torch_shape(self) -> Vec<usize> {
        let sizes = match self {
            Tensor::Vector(length) => vec![length],
            Tensor::Matrix(shape) => vec![shape.rows, shape.cols],
            Tensor::Places(shape) => vec![1, shape.rows, shape.cols],
            Tensor::Filters(Taps { outputs, inputs, height, width }) | Tensor::Depthwise(Taps { outputs, inputs, height, width }) => {
                vec![outputs, inputs, height, width]
            }
            Tensor::Flattened(taps) => vec![taps.outputs, taps.inputs * taps.count()],
        };
        sizes.into_iter().map(|size| size as usize).collect()
    }

    /// Calls `f(place in PyTorch's order, place here)` for all values of one that lies otherwise here.
    fn each_place(self, mut f: impl FnMut(usize, usize)) {
        match self {
            Tensor::Vector(_) | Tensor::Matrix(_) | Tensor::Places(_) => {}
            Tensor::Filters(taps) | Tensor::Flattened(taps) => taps.for_each(f),
            Tensor::Depthwise(taps) => {
                let (count, stride) = (taps.count() as usize, self.matrix().stride() as usize);
                for channel in 0..taps.outputs as usize {
                    (0..count).for_each(|tap| f(channel * count + tap, tap * stride + channel));
                }
            }
        }
    }

    /// Elements, as PyTorch counts them.
    pub fn len(self) -> u64 {
        self.torch_shape().iter().map(|&size| size as u64).product()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Padded words to dense ones in PyTorch's order.
    pub fn to_torch(self, words: &[u32]) -> Vec<u32> {
        match self {
            Tensor::Vector(_) | Tensor::Matrix(_) | Tensor::Places(_) => unpad_rows(self.matrix(), words),
            Tensor::Filters(_) | Tensor::Depthwise(_) | Tensor::Flattened(_) => {
                let mut dense = vec![0; self.len() as usize];
                self.each_place(|outside, here| dense[outside] = words[here]);
                dense
            }
        }
    }

    /// Dense words in PyTorch's order to padded ones. Panics if they do not fill the tensor.
    pub fn from_torch(self, dense: &[u32]) -> Vec<u32> {
        match self {
            Tensor::Vector(_) | Tensor::Matrix(_) | Tensor::Places(_) => pad_rows(self.matrix(), dense),
            Tensor::Filters(_) | Tensor::Depthwise(_) | Tensor::Flattened(_) => {
                assert_eq!(dense.len() as u64, self.len(), "values do not fill {self:?}");
                let mut words = vec![0; self.matrix().words() as usize];
                self.each_place(|outside, here| words[here] = dense[outside]);
                words
            }
        }
    }
}

/// Dense rows to padded rows.
pub fn pad_rows(shape: Shape, dense: &[u32]) -> Vec<u32> {
    assert_eq!(dense.len() as u64, shape.len(), "values do not fill {shape:?}");
    let mut padded = vec![0; shape.words() as usize];
    if shape.cols > 0 {
        for (row, values) in padded.chunks_mut(shape.stride() as usize).zip(dense.chunks(shape.cols as usize)) {
            row[..values.len()].copy_from_slice(values);
        }
    }
    padded
}

/// Padded rows to dense rows.
pub fn unpad_rows(shape: Shape, padded: &[u32]) -> Vec<u32> {
    padded.chunks(shape.stride().max(1) as usize).flat_map(|row| &row[..shape.cols as usize]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_go_out_and_come_back() {
        let taps = Taps { outputs: 2, inputs: 3, height: 1, width: 2 };
        let dense: Vec<u32> = (1..=12).collect();
        let words = Tensor::Filters(taps).from_torch(&dense);
        assert_eq!(words, [1, 3, 5, 0, 2, 4, 6, 0, 7, 9, 11, 0, 8, 10, 12, 0]);
        assert_eq!(Tensor::Filters(taps).to_torch(&words), dense);
        assert_eq!(Tensor::Filters(taps).torch_shape(), [2, 3, 1, 2]);
        assert_eq!(Tensor::Flattened(taps).torch_shape(), [2, 6]);
    }
}
