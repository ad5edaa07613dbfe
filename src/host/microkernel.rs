//! Tiles of products, kept in registers while sums run.
//!
//! The right side lies in panels of a few vectors' width, as in Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication" (2008); rows of the left side are read where they lie, in pieces that may be anywhere, as in Dukhan, "The Indirect
//! Convolution Algorithm" (2019).

/// Which vector instructions tiles are computed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    Avx512,
    Avx2,
    /// What the compiler makes of arrays of four.
    Portable,
}

/// In place of where a piece starts: it is zeros.
pub const OUTSIDE: u32 = u32::MAX;

/// Rows of a product's left side: each as many pieces of equal length, one after the other along the sum.
#[derive(Clone, Copy)]
pub struct Pieces<'a> {
    pub values: &'a [f32],
    /// Where pieces start, or [`OUTSIDE`]: those of the first row, those of the second, ...
    pub starts: &'a [u32],
    /// Of a row.
    pub count: usize,
    pub length: usize,
}

impl Pieces<'_> {
    /// The rows in one piece each.
    pub fn unfold(&self, rows: &mut Vec<f32>) {
        let Pieces { values, starts, length, .. } = *self;
        rows.resize(starts.len() * length, 0.0);
        for (to, &start) in rows.chunks_exact_mut(length).zip(starts) {
            match start {
                OUTSIDE => to.fill(0.0),
                start => to.iter_mut().zip(&values[start as usize..]).for_each(|(to, from)| *to = *from),
            }
        }
    }
}

/// Columns of a product's right side, `vectors` vectors of them: value `j` of row `k` at `k * width + j`.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    pub values: &'a [f32],
    pub vectors: usize,
}

/// Where a product goes.
pub struct Target<'a> {
    /// From its first value on.
    pub c: &'a mut [f32],
    /// From one row to the next.
    pub stride: usize,
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
    pub fn multiply_rows(self, left: Pieces<'_>, panel: Panel<'_>, target: Target<'_>) {
        let rows = left.starts.len() / left.count.max(1);
        self.check(rows, left.count * left.length, panel, &target);
        let last = left.values.len() as u64;
        assert!(left.starts.iter().all(|&start| start == OUTSIDE || u64::from(start) + left.length as u64 <= last));
        assert!(left.count > 0 && rows * left.count == left.starts.len());
        let zeros = vec![0.0; left.length];
        // SAFETY: this processor has the instructions. Each row has as many starts as pieces, and where one is not outside, the piece
        // ends within the values; panel and target were checked.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::rows_avx512(left, &zeros, panel, target),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::rows_avx2(left, &zeros, panel, target),
                _ => rows_portable(left, &zeros, panel, target),
            }
        }
    }

    /// The sum of the outer products of rows of `left`, those that `steps` names, with the rows of `panel` in their order. A row of
    /// `left` has a tile's height, of which the first `rows` values count. Panics as [`Isa::multiply_rows`] does.
    pub fn multiply_columns(self, left: &[f32], steps: &[u32], rows: usize, panel: Panel<'_>, target: Target<'_>) {
        self.check(rows, steps.len(), panel, &target);
        let height = self.height(panel.vectors);
        let last = steps.iter().max().map_or(0, |&last| last as usize + 1);
        assert!(last * height <= left.len() && rows <= height);
        // SAFETY: this processor has the instructions. The last step of `left` is whole; panel and target were checked.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => x86::columns_avx512(left, steps, rows, panel, target),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::columns_avx2(left, steps, rows, panel, target),
                _ => columns_portable(left, steps, rows, panel, target),
            }
        }
    }

    /// Panics unless this processor has the instructions, the panel `k` rows and the target `rows`.
    fn check(self, rows: usize, k: usize, panel: Panel<'_>, target: &Target<'_>) {
        let width = panel.vectors * self.lanes();
        assert!(self.present() && (1..=self.widest()).contains(&panel.vectors) && k * width <= panel.values.len());
        assert!(target.columns <= width && (rows == 0 || (rows - 1) * target.stride + target.columns <= target.c.len()));
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
unsafe fn rows<V: Vector, const M: usize, const N: usize>(left: Pieces<'_>, zeros: &[f32], panel: Panel<'_>, target: &mut Target<'_>) {
    let Pieces { values, starts, count, length } = left;
    let all = starts.len() / count;
    let mut first = 0;
    while first < all {
        let of_tile = M.min(all - first);
        let mut sums = unsafe { [[V::splat(0.0); N]; M] };
        let mut b = panel.values.as_ptr();
        for piece in 0..count {
            let mut a = [zeros.as_ptr(); M];
            let mut inside = false;
            for i in 0..M {
                let start = unsafe { *starts.get_unchecked((first + i.min(of_tile - 1)) * count + piece) };
                // Both addresses are at hand, so that this is no branch: borders are beyond prediction.
                let of_values = values.as_ptr().wrapping_add(start as usize);
                a[i] = if start == OUTSIDE { zeros.as_ptr() } else { of_values };
                inside |= start != OUTSIDE;
            }
            if !inside {
                b = unsafe { b.add(length * N * V::LANES) };
                continue;
            }
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
                    b = b.add(N * V::LANES);
                }
            }
            sums = run;
        }
        unsafe { finish(&sums, first, of_tile, target) };
        first += M;
    }
}

#[inline(always)]
unsafe fn columns<V: Vector, const M: usize, const N: usize>(
    left: &[f32],
    steps: &[u32],
    rows: usize,
    panel: Panel<'_>,
    target: &mut Target<'_>,
) {
    let mut sums = unsafe { [[V::splat(0.0); N]; M] };
    let (a, mut b) = (left.as_ptr(), panel.values.as_ptr());
    for &step in steps {
        unsafe {
            let a = a.add(step as usize * M);
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
            b = b.add(N * V::LANES);
        }
    }
    unsafe { finish(&sums, 0, rows, target) };
}

/// Stores or adds the sums of a tile's rows.
#[inline(always)]
unsafe fn finish<V: Vector, const M: usize, const N: usize>(sums: &[[V; N]; M], first: usize, rows: usize, target: &mut Target<'_>) {
    let Target { c, stride, columns, accumulate } = target;
    if *columns == N * V::LANES {
        for i in 0..M {
            if i < rows {
                for j in 0..N {
                    unsafe {
                        let to = c.as_mut_ptr().add((first + i) * *stride + j * V::LANES);
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
        if i < rows {
            for j in 0..N {
                unsafe { sums[i][j].store(row.as_mut_ptr().add(j * V::LANES)) };
            }
            let to = &mut c[(first + i) * *stride..][..*columns];
            if *accumulate {
                to.iter_mut().zip(&row).for_each(|(to, sum)| *to += sum);
            } else {
                to.copy_from_slice(&row[..*columns]);
            }
        }
    }
}

/// `rows` and `columns` with a set of instructions: tile heights by vectors, as `height` says.
macro_rules! tiles {
    ($(#[$feature:meta])? $vector:ty, $rows:ident, $columns:ident, $($n:literal => $m:literal),*) => {
        $(#[$feature])?
        pub(super) unsafe fn $rows(left: Pieces<'_>, zeros: &[f32], panel: Panel<'_>, mut target: Target<'_>) {
            match panel.vectors {
                $($n => unsafe { rows::<$vector, $m, $n>(left, zeros, panel, &mut target) },)*
                _ => unreachable!(),
            }
        }

        $(#[$feature])?
        pub(super) unsafe fn $columns(left: &[f32], steps: &[u32], count: usize, panel: Panel<'_>, mut target: Target<'_>) {
            match panel.vectors {
                $($n => unsafe { columns::<$vector, $m, $n>(left, steps, count, panel, &mut target) },)*
                _ => unreachable!(),
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    impl Vector for __m512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn plus(self, a: Self, b: Self) -> Self {
            unsafe { _mm512_fmadd_ps(a, b, self) }
        }
    }

    impl Vector for __m256 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self) }
        }
        #[inline(always)]
        unsafe fn plus(self, a: Self, b: Self) -> Self {
            unsafe { _mm256_fmadd_ps(a, b, self) }
        }
    }

    tiles!(#[target_feature(enable = "avx512f")] __m512, rows_avx512, columns_avx512, 1 => 16, 2 => 12, 3 => 8, 4 => 6);
    tiles!(#[target_feature(enable = "avx2,fma")] __m256, rows_avx2, columns_avx2, 1 => 12, 2 => 6);
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

tiles!([f32; 4], rows_portable, columns_portable, 1 => 8, 2 => 6);

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

    /// `product(row, column)`, or what is added to old contents, at all places of the result and nowhere else.
    fn assert_product(
        c: &[f32],
        old: &[f32],
        [rows, columns, stride]: [usize; 3],
        accumulate: bool,
        product: impl Fn(usize, usize) -> f32,
    ) {
        for (at, (&c, &old)) in c.iter().zip(old).enumerate() {
            let (row, column) = (at / stride, at % stride);
            let expected = if row < rows && column < columns { product(row, column) + if accumulate { old } else { 0.0 } } else { old };
            assert_eq!(c, expected, "row {row}, column {column}");
        }
    }

    #[test]
    fn rows_times_panels() {
        for (isa, vectors, columns) in tiles() {
            let width = vectors * isa.lanes();
            for ((rows, count, length), accumulate) in
                [(1, 1, 1), (17, 3, 5), (25, 2, 4), (12, 1, 0), (0, 1, 2)].into_iter().zip([false, true].into_iter().cycle())
            {
                let (left, right, old) = (values(60, 1), values(count * length * width, 2), values((rows + 1) * (columns + 1), 3));
                let starts: Vec<u32> = (0..rows * count).map(|i| if i % 5 == 3 { OUTSIDE } else { (i * 3 % 50) as u32 }).collect();
                let mut c = old.clone();
                let target = Target { c: &mut c, stride: columns + 1, columns, accumulate };
                isa.multiply_rows(Pieces { values: &left, starts: &starts, count, length }, Panel { values: &right, vectors }, target);
                assert_product(&c, &old, [rows, columns, columns + 1], accumulate, |row, column| {
                    let pieces = starts[row * count..][..count].iter().enumerate().filter(|&(_, &start)| start != OUTSIDE);
                    let products = pieces.flat_map(|(piece, &start)| (0..length).map(move |k| (start as usize + k, piece * length + k)));
                    products.map(|(at, k)| left[at] * right[k * width + column]).sum()
                });
            }
        }
    }

    #[test]
    fn outer_products_are_summed() {
        for (isa, vectors, columns) in tiles() {
            let (width, height) = (vectors * isa.lanes(), isa.height(vectors));
            for (steps, accumulate) in [(&[0, 3, 4, 9][..], true), (&[2], false), (&[], false)] {
                for rows in [1, height] {
                    let (left, right, old) = (values(10 * height, 1), values(steps.len() * width, 2), values(rows * (columns + 2), 3));
                    let mut c = old.clone();
                    let target = Target { c: &mut c, stride: columns + 2, columns, accumulate };
                    isa.multiply_columns(&left, steps, rows, Panel { values: &right, vectors }, target);
                    assert_product(&c, &old, [rows, columns, columns + 2], accumulate, |row, column| {
                        steps.iter().enumerate().map(|(k, &step)| left[step as usize * height + row] * right[k * width + column]).sum()
                    });
                }
            }
        }
    }

    #[test]
    #[should_panic]
    fn pieces_end_within_values() {
        let left = Pieces { values: &[0.0; 4], starts: &[3], count: 1, length: 2 };
        Isa::Portable.multiply_rows(
            left,
            Panel { values: &[0.0; 8], vectors: 1 },
            Target { c: &mut [0.0; 4], stride: 4, columns: 4, accumulate: false },
        );
    }
}
