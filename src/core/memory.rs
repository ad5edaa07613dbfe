//! Host copies of a run's buffers, and the row views through which CPU code reads and writes them.

use std::marker::PhantomData;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytemuck::Pod;
use rayon::prelude::*;

use crate::core::buffer::{Arena, Buf, Dtype, Shape, unpad_rows};

/// One lock per allocation. WebGPU forbids binding an allocation as input and output of one call, and
/// [`Program::push`](crate::core::program::Program::push) refuses such a call; so a lock is never contended.
pub struct HostMem {
    allocs: Vec<RwLock<Vec<u32>>>,
}

impl Clone for HostMem {
    fn clone(&self) -> Self {
        HostMem { allocs: (0..self.allocs.len()).map(|i| RwLock::new(self.alloc(i).clone())).collect() }
    }
}

impl HostMem {
    /// First contents of every buffer of `arena`.
    pub fn new(arena: &Arena) -> Self {
        let mem = HostMem { allocs: arena.alloc_words().iter().map(|&words| RwLock::new(vec![0; words as usize])).collect() };
        for named in arena.bufs() {
            if let Some(words) = arena.contents(named) {
                mem.write(named.buf, &words);
            }
        }
        mem
    }

    /// `buf` as rows of f32. Panics if the buffer holds integers.
    pub fn f32(&self, buf: Buf) -> Rows<'_, f32> {
        assert_eq!(buf.dtype, Dtype::F32);
        self.rows(buf)
    }

    pub fn f32_mut(&self, buf: Buf) -> RowsMut<'_, f32> {
        assert_eq!(buf.dtype, Dtype::F32);
        self.rows_mut(buf)
    }

    /// `buf` as rows of u32. Panics if the buffer holds floats.
    pub fn u32(&self, buf: Buf) -> Rows<'_, u32> {
        assert_eq!(buf.dtype, Dtype::U32);
        self.rows(buf)
    }

    pub fn u32_mut(&self, buf: Buf) -> RowsMut<'_, u32> {
        assert_eq!(buf.dtype, Dtype::U32);
        self.rows_mut(buf)
    }

    /// The padded words of a buffer.
    pub fn read(&self, buf: Buf) -> Vec<u32> {
        self.lock(buf.alloc)[buf.range()].to_vec()
    }

    /// Replaces a buffer's padded words.
    pub fn write(&self, buf: Buf, words: &[u32]) {
        self.lock_mut(buf.alloc)[buf.range()].copy_from_slice(words);
    }

    /// Values without padding, row by row.
    pub fn dense_f32(&self, buf: Buf) -> Vec<f32> {
        unpad_rows(buf.shape, &self.read(buf)).into_iter().map(f32::from_bits).collect()
    }

    /// Bytes of all allocations.
    pub fn bytes(&self) -> u64 {
        (0..self.allocs.len()).map(|i| 4 * self.alloc(i).len() as u64).sum()
    }

    pub(crate) fn alloc(&self, index: usize) -> RwLockReadGuard<'_, Vec<u32>> {
        self.lock(index as u16)
    }

    pub(crate) fn alloc_mut(&self, index: usize) -> RwLockWriteGuard<'_, Vec<u32>> {
        self.lock_mut(index as u16)
    }

    fn rows<T: Pod>(&self, buf: Buf) -> Rows<'_, T> {
        Rows { words: self.lock(buf.alloc), buf, element: PhantomData }
    }

    fn rows_mut<T: Pod>(&self, buf: Buf) -> RowsMut<'_, T> {
        RowsMut { words: self.lock_mut(buf.alloc), buf, element: PhantomData }
    }

    fn lock(&self, alloc: u16) -> RwLockReadGuard<'_, Vec<u32>> {
        self.allocs[alloc as usize].try_read().expect("an allocation is not read while it is written")
    }

    fn lock_mut(&self, alloc: u16) -> RwLockWriteGuard<'_, Vec<u32>> {
        self.allocs[alloc as usize].try_write().expect("an allocation has one writer")
    }
}

/// Read access to a buffer, row by row, padding hidden.
pub struct Rows<'a, T> {
    words: RwLockReadGuard<'a, Vec<u32>>,
    buf: Buf,
    element: PhantomData<T>,
}

impl<T: Pod> Rows<'_, T> {
    pub fn shape(&self) -> Shape {
        self.buf.shape
    }

    pub fn row(&self, row: usize) -> &[T] {
        let start = row * self.buf.shape.stride() as usize;
        &self.padded()[start..start + self.buf.cols() as usize]
    }

    /// All words, padding included.
    pub fn padded(&self) -> &[T] {
        bytemuck::cast_slice(&self.words[self.buf.range()])
    }
}

/// Write access to a buffer.
pub struct RowsMut<'a, T> {
    words: RwLockWriteGuard<'a, Vec<u32>>,
    buf: Buf,
    element: PhantomData<T>,
}

impl<T: Pod + Send + Sync> RowsMut<'_, T> {
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        let (start, cols) = (row * self.buf.shape.stride() as usize, self.buf.cols() as usize);
        &mut self.padded_mut()[start..start + cols]
    }

    pub fn padded_mut(&mut self) -> &mut [T] {
        let range = self.buf.range();
        bytemuck::cast_slice_mut(&mut self.words[range])
    }

    /// Calls `f(row number, row)` for all rows, in parallel where that pays. Pads are set to zero, as kernels must.
    pub fn for_each_row(&mut self, f: impl Fn(usize, &mut [T]) + Send + Sync) {
        let (cols, stride) = (self.buf.cols() as usize, self.buf.shape.stride() as usize);
        let body = |(i, row): (usize, &mut [T])| {
            let (row, pad) = row.split_at_mut(cols);
            f(i, row);
            pad.fill(T::zeroed());
        };
        // Small rows are grouped: a task of under a few thousand elements costs more to hand out than to do.
        const ELEMENTS: usize = 4096;
        let words = self.padded_mut();
        if words.len() <= ELEMENTS {
            words.chunks_mut(stride).enumerate().for_each(body);
        } else {
            words.par_chunks_mut(stride).with_min_len(ELEMENTS.div_ceil(stride)).enumerate().for_each(body);
        }
    }

    /// Calls `f(first word, words)` for blocks of whole rows, in parallel. Pads are included, and `f` must leave zero there:
    /// for kernels that treat all words alike, where a call for each of many short rows would cost more than the row.
    pub fn for_each_block(&mut self, f: impl Fn(usize, &mut [T]) + Send + Sync) {
        const WORDS: usize = 1 << 14;
        let stride = self.buf.shape.stride() as usize;
        let block = (WORDS / stride).max(1) * stride;
        self.padded_mut().par_chunks_mut(block).enumerate().for_each(|(i, words)| f(i * block, words));
    }
}
