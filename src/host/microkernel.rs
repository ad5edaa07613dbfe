//! Tiles of products, kept in registers while sums run.
//!
//! The right side lies in panels of a few vectors' width, as in Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication" (2008); rows of the left side are read where they lie, in pieces that may be anywhere, as in Dukhan, "The Indirect
//! Convolution Algorithm" (2019).

#![expect(clippy::needless_range_loop, reason = "loops over registers are unrolled, which those with iterators may not be")]

use std::marker::PhantomData;

/// Which vector instructions tiles are computed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    Avx512,
    Avx2,
    /// What the compiler makes of arrays of four.
    Portable,
}

/// In place of where a piece starts: it is zeros.
const OUTSIDE: u32 = u32::MAX;

/// Rows of a product's left side: each as many pieces of equal length, one after the other along the sum.
#[derive(Clone, Copy)]
pub struct Pieces<'a> {
    pub values: &'a [f32],
    pub starts: &'a Starts,
    /// Of a row.
    pub count: usize,
    pub length: usize,
}

/// Where the pieces of rows start: the first one of each row, then the second one of each, ... What is not said is zeros.
#[derive(Default)]
pub struct Starts {
    starts: Vec<u32>,
    last: u32,
}

impl Starts {
    /// Forgets all; there are `count` of them now.
    pub fn clear(&mut self, count: usize) {
        self.last = 0;
        self.starts.clear();
        self.starts.resize(count, OUTSIDE);
    }

    /// Says `count` of them, from `at` on: `first`, `first + step`, ...
    pub fn say(&mut self, at: usize, count: usize, first: u32, step: u32) {
        let last = u64::from(first) + (count.max(1) as u64 - 1) * u64::from(step);
        assert!(last < u64::from(OUTSIDE), "pieces start within 16 GiB");
        self.last = self.last.max(last as u32);
        (0..).zip(&mut self.starts[at..at + count]).for_each(|(i, start)| *start = first + i * step);
    }

    /// Says some of them, from `at` on: `first` plus each of `further`.
    pub fn say_each(&mut self, at: usize, first: u32, further: &[u32]) {
        let last = u64::from(first) + u64::from(further.iter().copied().max().unwrap_or(0));
        assert!(last < u64::from(OUTSIDE), "pieces start within 16 GiB");
        self.last = self.last.max(last as u32);
        self.starts[at..at + further.len()].iter_mut().zip(further).for_each(|(start, further)| *start = first + further);
    }

    #[cfg(test)]
    pub fn list(&self) -> Vec<Option<u32>> {
        self.starts.iter().map(|&start| Some(start).filter(|&start| start != OUTSIDE)).collect()
    }
}

/// Where the two factors of outer products start, in the order of their sum.
#[derive(Default)]
pub struct PairStarts {
    pairs: Vec<[u32; 2]>,
    last: [u32; 2],
}

impl PairStarts {
    pub fn clear(&mut self) {
        self.last = [0; 2];
        self.pairs.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Adds `count` of them: `first`, `first + step`, ...
    pub fn add(&mut self, count: usize, first: [u32; 2], step: [u32; 2]) {
        if count == 0 {
            return;
        }
        let last = [0, 1].map(|side| u64::from(first[side]) + (count as u64 - 1) * u64::from(step[side]));
        assert!(last.iter().all(|&last| last < u64::from(u32::MAX)), "factors start within 16 GiB");
        self.last = [0, 1].map(|side| self.last[side].max(last[side] as u32));
        self.pairs.extend((0..count as u32).map(|i| [first[0] + i * step[0], first[1] + i * step[1]]));
    }

    #[cfg(test)]
    pub fn list(&self) -> impl Iterator<Item = [usize; 2]> {
        self.pairs.iter().map(|pair| pair.map(|at| at as usize))
    }

    /// Second factors are to be moved to where they lie side by side, `step` apart: calls `from(start, to)` for each, where `to` counts
    /// them.
    pub fn gather(&mut self, step: u32, mut from: impl FnMut(usize, usize)) {
        for (to, pair) in self.pairs.iter_mut().enumerate() {
            from(pair[1] as usize, to);
            pair[1] = to as u32 * step;
        }
        self.last[1] = self.pairs.len().saturating_sub(1) as u32 * step;
    }
}

/// Columns of a product's right side, `vectors` vectors of them: value `j` of row `k` at `k * stride + j`.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    pub values: &'a [f32],
    pub vectors: usize,
    pub stride: usize,
}

/// Outer products whose sum is a tile. `left` has columns as high as the tile.
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    pub left: &'a [f32],
    pub right: &'a [f32],
    pub pairs: &'a PairStarts,
    pub vectors: usize,
}

/// Memory of a result, of which several threads may have the same: rows of theirs lie between those of others, where they have some
/// columns each.
pub struct ResultMemory<'a> {
    start: *mut f32,
    length: usize,
    of: PhantomData<&'a mut [f32]>,
}

// SAFETY: as of the slice that it stands for; what is shared is what callers of `again` have divided.
unsafe impl Send for ResultMemory<'_> {}
// SAFETY: nothing is read or written through a shared reference.
unsafe impl Sync for ResultMemory<'_> {}

impl<'a> ResultMemory<'a> {
    pub fn of(c: &'a mut [f32]) -> Self {
        ResultMemory { start: c.as_mut_ptr(), length: c.len(), of: PhantomData }
    }

    /// From place `first` on. Panics if that is beyond its end.
    pub fn from(&mut self, first: usize) -> ResultMemory<'_> {
        assert!(first <= self.length);
        // SAFETY: within the slice, or where it ends.
        ResultMemory { start: unsafe { self.start.add(first) }, length: self.length - first, of: PhantomData }
    }

    /// The same once more.
    ///
    /// # Safety
    ///
    /// Rows and columns that are written through one are neither written nor read through another.
    pub unsafe fn again(&self) -> ResultMemory<'a> {
        ResultMemory { start: self.start, length: self.length, of: PhantomData }
    }
}

/// Where a product goes.
pub struct ResultRows<'a> {
    pub c: ResultMemory<'a>,
    /// Where its rows start.
    pub rows: &'a [u32],
    pub columns: usize,
    pub accumulate: bool,
}

impl Isa {
    /// The fastest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// The fastest that this processor has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().find(|isa| isa.present()).unwrap_or(Isa::Portable)
    }

    /// Whether this processor has them.
    pub fn present(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            isa => isa == Isa::Portable,
        }
    }

    /// Floats of a vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Portable => 4,
        }
    }

    /// Vectors of a panel at most: there are 32 registers, or 16.
    pub fn widest(self) -> usize {
        if self == Isa::Avx512 { 4 } else { 2 }
    }

    /// Rows of a tile `vectors` vectors wide.
    pub fn height(self, vectors: usize) -> usize {
        match (self, vectors) {
            (Isa::Avx512, 1) => 16,
            (Isa::Avx512, 2) => 12,
            (Isa::Avx512, 3) => 8,
            (Isa::Avx2, 1) => 12,
            (Isa::Portable, 1) => 8,
            _ => 6,
        }
    }

    /// `left` times `panel`. Panics where something is too short for the sizes, or this processor lacks the instructions.
    #[inline(always)]
    pub fn multiply_rows(self, left: Pieces<'_>, panel: Panel<'_>, mut target: ResultRows<'_>) {
        let Pieces { values, starts, count, length } = left;
        self.check(panel.vectors, &target);
        assert!(starts.starts.len() == target.rows.len() * count);
        let last = (count * length).checked_sub(1).map_or(0, |last| last * panel.stride + panel.vectors * self.lanes());
        assert!(last <= panel.values.len());
        assert!(starts.starts.is_empty() || starts.last as usize + length <= values.len());
        let zeros = vec![0.0; length];
        // SAFETY: this processor has the instructions. Each row of the target has as many starts as pieces, and where one is not
        // outside, the piece ends within the values; the panel is long enough, and so is the target for its rows.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::rows_avx512(&left, &zeros, panel, &mut target),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::rows_avx2(&left, &zeros, panel, &mut target),
                _ => rows_portable(&left, &zeros, panel, &mut target),
            }
        }
    }

    /// The sum of outer products, of which the target may have fewer rows. Panics as [`Isa::multiply_rows`] does.
    #[inline(always)]
    pub fn add_outer(self, outer: Outer<'_>, mut target: ResultRows<'_>) {
        self.check(outer.vectors, &target);
        let (height, width) = (self.height(outer.vectors), outer.vectors * self.lanes());
        let last = outer.pairs.last.map(|last| last as usize);
        assert!(outer.pairs.pairs.is_empty() || last[0] + height <= outer.left.len() && last[1] + width <= outer.right.len());
        assert!(target.rows.len() <= height);
        // SAFETY: this processor has the instructions. The last factors on both sides are whole, and the target has room for its rows.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::outer_avx512(&outer, &mut target),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::outer_avx2(&outer, &mut target),
                _ => outer_portable(&outer, &mut target),
            }
        }
    }

    /// Writes rows of columns, `width` apart, from columns that lie `stride` apart: as many of both as vectors are long. Panics where something
    /// is too short, or this processor lacks the instructions.
    pub fn transpose(self, values: &[f32], stride: usize, to: &mut [f32], width: usize) {
        let lanes = self.lanes();
        assert!(self.present() && (lanes - 1) * stride + lanes <= values.len() && (lanes - 1) * width + lanes <= to.len());
        // SAFETY: this processor has the instructions, and both sides have whole vectors.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::transpose_avx512(values.as_ptr(), stride, to.as_mut_ptr(), width),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::transpose_avx2(values.as_ptr(), stride, to.as_mut_ptr(), width),
                _ => (0..lanes).for_each(|i| (0..lanes).for_each(|j| to[i * width + j] = values[j * stride + i])),
            }
        }
    }

    /// Panics unless this processor has the instructions, panels may be so wide and the target has room for its rows.
    #[inline]
    fn check(self, vectors: usize, target: &ResultRows<'_>) {
        assert!(self.present() && (1..=self.widest()).contains(&vectors) && target.columns <= vectors * self.lanes());
        let last = target.rows.iter().fold(0, |last, &row| last.max(row)) as usize;
        assert!(target.rows.is_empty() || last + target.columns <= target.c.length);
    }
}

/// A vector of floats. All functions may be called only where the processor has its instructions.
trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + a * b`
    unsafe fn plus(self, a: Self, b: Self) -> Self;
}

/// Tiles of `M` rows and `N` vectors, one below the other.
#[inline(always)]
unsafe fn rows<V: Vector, const M: usize, const N: usize>(left: &Pieces<'_>, zeros: &[f32], panel: Panel<'_>, target: &mut ResultRows<'_>) {
    let Pieces { values, starts, count, length } = *left;
    let all = target.rows.len();
    let mut first = 0;
    while first < all {
        let of_tile = M.min(all - first);
        let mut sums = unsafe { [[V::splat(0.0); N]; M] };
        let mut b = panel.values.as_ptr();
        for piece in 0..count {
            let mut a = [zeros.as_ptr(); M];
            let mut inside = false;
            for i in 0..M {
                let start = unsafe { *starts.starts.get_unchecked(piece * all + first + i.min(of_tile - 1)) };
                // Both addresses are at hand, so that this is no branch: borders are beyond prediction.
                let of_values = values.as_ptr().wrapping_add(start as usize);
                a[i] = if start == OUTSIDE { zeros.as_ptr() } else { of_values };
                inside |= start != OUTSIDE;
            }
            if !inside {
                b = b.wrapping_add(length * panel.stride);
                continue;
            }
            // A copy: compilers leave the sums themselves in memory.
            let mut run = sums;
            for k in 0..length {
                unsafe {
                    let mut w = [V::splat(0.0); N];
                    for j in 0..N {
                        w[j] = V::load(b.add(j * V::LANES));
                    }
                    for i in 0..M {
                        let x = V::splat(*a[i].add(k));
                        for j in 0..N {
                            run[i][j] = run[i][j].plus(x, w[j]);
                        }
                    }
                    b = b.wrapping_add(panel.stride);
                }
            }
            sums = run;
        }
        unsafe { finish(&sums, first, target) };
        first += M;
    }
}

/// A tile of `M` rows and `N` vectors.
#[inline(always)]
unsafe fn outer<V: Vector, const M: usize, const N: usize>(outer: &Outer<'_>, target: &mut ResultRows<'_>) {
    let mut sums = unsafe { [[V::splat(0.0); N]; M] };
    for &[a, b] in &outer.pairs.pairs {
        unsafe {
            let (a, b) = (outer.left.as_ptr().add(a as usize), outer.right.as_ptr().add(b as usize));
            let mut w = [V::splat(0.0); N];
            for j in 0..N {
                w[j] = V::load(b.add(j * V::LANES));
            }
            for i in 0..M {
                let x = V::splat(*a.add(i));
                for j in 0..N {
                    sums[i][j] = sums[i][j].plus(x, w[j]);
                }
            }
        }
    }
    unsafe { finish(&sums, 0, target) };
}

/// Stores or adds the sums of the rows of a tile, from row `first` of the target on.
#[inline(always)]
unsafe fn finish<V: Vector, const M: usize, const N: usize>(sums: &[[V; N]; M], first: usize, target: &mut ResultRows<'_>) {
    let ResultRows { c, rows, columns, accumulate } = target;
    let rows = &rows[first..];
    if *columns == N * V::LANES {
        for i in 0..M {
            if i < rows.len() {
                for j in 0..N {
                    unsafe {
                        let to = c.start.add(rows[i] as usize + j * V::LANES);
                        let sum = if *accumulate { V::load(to).plus(sums[i][j], V::splat(1.0)) } else { sums[i][j] };
                        sum.store(to);
                    }
                }
            }
        }
        return;
    }
    let mut row = [0.0_f32; 64];
    for i in 0..M {
        if i < rows.len() {
            for j in 0..N {
                unsafe { sums[i][j].store(row.as_mut_ptr().add(j * V::LANES)) };
            }
            let to = unsafe { std::slice::from_raw_parts_mut(c.start.add(rows[i] as usize), *columns) };
            if *accumulate {
                to.iter_mut().zip(&row).for_each(|(to, sum)| *to += sum);
            } else {
                to.copy_from_slice(&row[..*columns]);
            }
        }
    }
}

/// `rows` and `outer` with a set of instructions: tile heights by vectors, as `height` says.
macro_rules! tiles {
    ($(#[$feature:meta])? $vector:ty, $rows:ident, $outer:ident, $($n:literal => $m:literal),*) => {
        $(#[$feature])?
        pub(super) unsafe fn $rows(left: &Pieces<'_>, zeros: &[f32], panel: Panel<'_>, target: &mut ResultRows<'_>) {
            match panel.vectors {
                $($n => unsafe { rows::<$vector, $m, $n>(left, zeros, panel, target) },)*
                _ => unreachable!(),
            }
        }

        $(#[$feature])?
        pub(super) unsafe fn $outer(of: &Outer<'_>, target: &mut ResultRows<'_>) {
            match of.vectors {
                $($n => unsafe { outer::<$vector, $m, $n>(of, target) },)*
                _ => unreachable!(),
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! vector {
        ($vector:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fused:ident) => {
            impl Vector for $vector {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn plus(self, a: Self, b: Self) -> Self {
                    unsafe { $fused(a, b, self) }
                }
            }
        };
    }

    vector!(__m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);
    vector!(__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);

    /// A square of 16: pairs, fours and halves of columns meet in four rounds.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose_avx512(from: *const f32, stride: usize, to: *mut f32, width: usize) {
        unsafe {
            let mut fours = [_mm512_setzero_ps(); 16];
            for i in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|j| _mm512_loadu_ps(from.add((4 * i + j) * stride)));
                let low = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)].map(|pairs| _mm512_castps_pd(pairs));
                let high = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)].map(|pairs| _mm512_castps_pd(pairs));
                fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low[0], low[1]));
                fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low[0], low[1]));
                fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high[0], high[1]));
                fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high[0], high[1]));
            }
            for j in 0..4 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| fours[4 * i + j]);
                let even = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d)];
                let odd = [_mm512_shuffle_f32x4::<0xDD>(a, b), _mm512_shuffle_f32x4::<0xDD>(c, d)];
                let at = |row: usize| to.add(row * width);
                _mm512_storeu_ps(at(j), _mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
                _mm512_storeu_ps(at(j + 8), _mm512_shuffle_f32x4::<0xDD>(even[0], even[1]));
                _mm512_storeu_ps(at(j + 4), _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]));
                _mm512_storeu_ps(at(j + 12), _mm512_shuffle_f32x4::<0xDD>(odd[0], odd[1]));
            }
        }
    }

    /// A square of 8, in three rounds.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn transpose_avx2(from: *const f32, stride: usize, to: *mut f32, width: usize) {
        unsafe {
            let mut fours = [_mm256_setzero_ps(); 8];
            for i in 0..2 {
                let [a, b, c, d] = [0, 1, 2, 3].map(|j| _mm256_loadu_ps(from.add((4 * i + j) * stride)));
                let low = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)].map(|pairs| _mm256_castps_pd(pairs));
                let high = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)].map(|pairs| _mm256_castps_pd(pairs));
                fours[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low[0], low[1]));
                fours[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low[0], low[1]));
                fours[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high[0], high[1]));
                fours[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high[0], high[1]));
            }
            for j in 0..4 {
                let [a, b] = [fours[j], fours[4 + j]];
                _mm256_storeu_ps(to.add(j * width), _mm256_permute2f128_ps::<0x20>(a, b));
                _mm256_storeu_ps(to.add((j + 4) * width), _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
    }

    tiles!(#[target_feature(enable = "avx512f")] __m512, rows_avx512, outer_avx512, 1 => 16, 2 => 12, 3 => 8, 4 => 6);
    tiles!(#[target_feature(enable = "avx2,fma")] __m256, rows_avx2, outer_avx2, 1 => 12, 2 => 6);
}

impl Vector for [f32; 4] {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn plus(mut self, a: Self, b: Self) -> Self {
        for i in 0..4 {
            // Where there is no such instruction it would be a call.
            self[i] = if cfg!(target_arch = "aarch64") { a[i].mul_add(b[i], self[i]) } else { a[i] * b[i] + self[i] };
        }
        self
    }
}

tiles!([f32; 4], rows_portable, outer_portable, 1 => 8, 2 => 6);

#[cfg(test)]
mod tests {
    use super::*;

    /// Values with few bits, whose sums are exact.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed) % 13) as f32 - 6.0).collect()
    }

    /// Every set of instructions that is here, every width of panels with all columns and with some.
    fn tiles() -> impl Iterator<Item = (Isa, usize, usize)> {
        let present = Isa::ALL.into_iter().filter(|isa| isa.present());
        let widths = present.flat_map(|isa| (1..=isa.widest()).map(move |vectors| (isa, vectors)));
        widths.flat_map(|(isa, vectors)| [0, 3].map(|less| (isa, vectors, vectors * isa.lanes() - less)))
    }

    /// `product(row, column)`, or what is added to old contents, at all places of a result and nowhere else.
    fn assert_product(
        multiply: impl FnOnce(ResultRows<'_>),
        rows: usize,
        columns: usize,
        accumulate: bool,
        product: impl Fn(usize, usize) -> f32,
    ) {
        let stride = columns + 2;
        let old = values((rows + 1) * stride, 3);
        let mut expected = old.clone();
        for (row, to) in expected.chunks_mut(stride).take(rows).enumerate() {
            for (column, to) in to[..columns].iter_mut().enumerate() {
                *to = product(row, column) + if accumulate { *to } else { 0.0 };
            }
        }
        let (mut c, places) = (old, (0..rows).map(|row| (row * stride) as u32).collect::<Vec<_>>());
        multiply(ResultRows { c: ResultMemory::of(&mut c), rows: &places, columns, accumulate });
        assert_eq!(c, expected);
    }

    #[test]
    fn rows_times_panels() {
        for (isa, vectors, columns) in tiles() {
            let width = vectors * isa.lanes();
            let sizes = [(1, 1, 1), (17, 3, 5), (25, 2, 4), (12, 1, 0), (0, 1, 2), (3, 0, 2)];
            for ((rows, count, length), accumulate) in sizes.into_iter().flat_map(|size| [(size, false), (size, true)]) {
                let (left, right) = (values(60, 1), values(count * length * width, 2));
                let mut starts = Starts::default();
                starts.clear(rows * count);
                (0..rows * count).filter(|i| i % 5 != 3).for_each(|i| starts.say(i, 1, (i * 3 % 50) as u32, 0));
                let (pieces, panel) =
                    (Pieces { values: &left, starts: &starts, count, length }, Panel { values: &right, vectors, stride: width });
                assert_product(
                    |target| isa.multiply_rows(pieces, panel, target),
                    rows,
                    columns,
                    accumulate,
                    |row, column| {
                        let seen = (0..count).filter_map(|piece| Some((piece, starts.list()[piece * rows + row]?)));
                        let products = seen.flat_map(|(piece, start)| (0..length).map(move |k| (start as usize + k, piece * length + k)));
                        products.map(|(at, k)| left[at] * right[k * width + column]).sum()
                    },
                );
            }
        }
    }

    #[test]
    fn squares_are_transposed() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
            let (lanes, stride, width) = (isa.lanes(), 21, 19);
            let from: Vec<f32> = (0..lanes * stride).map(|i| i as f32).collect();
            let mut to = vec![-1.0; lanes * width];
            isa.transpose(&from, stride, &mut to, width);
            for (i, row) in to.chunks(width).enumerate() {
                let expected = (0..width).map(|j| if j < lanes { from[j * stride + i] } else { -1.0 });
                assert!(row.iter().copied().eq(expected), "{isa:?}: row {i}");
            }
        }
    }

    #[test]
    fn outer_products_are_summed() {
        for (isa, vectors, columns) in tiles() {
            let (width, height) = (vectors * isa.lanes(), isa.height(vectors));
            let (left, right) = (values(40 + height, 1), values(30 + width, 2));
            for (count, accumulate) in [(5, true), (1, false), (0, false)] {
                let mut pairs = PairStarts::default();
                pairs.add(count, [3, 30], [9, 0]);
                pairs.add(count, [40, 2], [0, 7]);
                for rows in [1, height] {
                    let outer = Outer { left: &left, right: &right, pairs: &pairs, vectors };
                    assert_product(
                        |target| isa.add_outer(outer, target),
                        rows,
                        columns,
                        accumulate,
                        |row, column| pairs.pairs.iter().map(|pair| left[pair[0] as usize + row] * right[pair[1] as usize + column]).sum(),
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic]
    fn pieces_end_within_values() {
        let mut starts = Starts::default();
        starts.clear(1);
        starts.say(0, 1, 3, 0);
        let left = Pieces { values: &[0.0; 4], starts: &starts, count: 1, length: 2 };
        Isa::Portable.multiply_rows(
            left,
            Panel { values: &[0.0; 8], vectors: 1, stride: 4 },
            ResultRows { c: ResultMemory::of(&mut [0.0; 4]), rows: &[0], columns: 4, accumulate: false },
        );
    }

    #[test]
    #[should_panic]
    fn factors_end_within_values() {
        let mut pairs = PairStarts::default();
        pairs.add(1, [2, 0], [0; 2]);
        let outer = Outer { left: &[0.0; 9], right: &[0.0; 8], pairs: &pairs, vectors: 1 };
        Isa::Portable.add_outer(outer, ResultRows { c: ResultMemory::of(&mut [0.0; 4]), rows: &[0], columns: 4, accumulate: false });
    }
}
