//! Feature maps made smaller: largest values of windows, averages of whole maps.

use super::{GradientCase, case_input, case_input_filled};
use crate::core::buffer::{Buf, Dtype, Fill, Maps, shape};
use crate::core::tape::Tape;
use crate::kernels::group_sums::GroupSums;
use crate::kernels::group_sums_backward::GroupSumsBackward;
use crate::kernels::max_pool2d::{MaxPool2d, Window};
use crate::kernels::max_pool2d_backward::MaxPool2dBackward;

/// The largest value of each window, channel by channel. Padding never is the largest; of equal values the first gets the
/// gradient.
pub fn max_pool2d(t: &mut Tape<'_>, name: &str, x: Maps, window: Window) -> Maps {
    let [height, width] = window.count([x.height, x.width]);
    let of_y = shape(x.batch * height * width, x.channels());
    let y = Maps::new(t.scratch(name, of_y), x.batch, height, width);
    let at = t.scratch_of(&format!("{name} places"), Dtype::U32, of_y);
    t.call(name, MaxPool2d { x, y, at, window });
    let name = name.to_string();
    t.op(&[x.buf], y.buf, move |t, grad_y| {
        if let Some(to) = t.grad(x.buf) {
            let (grad_y, grad_x) = (y.with(grad_y), x.with(to.buf));
            t.call(format!("{name}: gradient"), MaxPool2dBackward { at, grad_y, grad_x, window, accumulate: to.accumulate });
        }
    });
    y
}

/// The average of each map, `[batch, channels]`.
pub fn global_avg_pool(t: &mut Tape<'_>, name: &str, x: Maps) -> Buf {
    let y = group_means(t, name, x.buf, x.batch);
    let name = name.to_string();
    t.op(&[x.buf], y, move |t, grad_y| {
        if let Some(to) = t.grad(x.buf) {
            let scale = 1.0 / (x.height * x.width) as f32;
            t.call(format!("{name}: gradient"), GroupSumsBackward { grad_y, grad_x: to.buf, scale, accumulate: to.accumulate });
        }
    });
    y
}

/// The mean row of each of `groups` groups of rows of `x`, `[groups, cols]`; long groups are summed in parts.
pub(super) fn group_means(t: &mut Tape<'_>, name: &str, x: Buf, groups: u32) -> Buf {
    let rows = x.rows() / groups;
    let y = t.scratch(name, shape(groups, x.cols()));
    let parts = GroupSums::parts(rows);
    let summed = if parts == 1 {
        x
    } else {
        let sums = t.scratch(&format!("{name} in parts"), shape(groups * parts, x.cols()));
        t.call(format!("{name}, in parts"), GroupSums { x, y: sums, groups, scale: 1.0 });
        sums
    };
    t.call(name, GroupSums { x: summed, y, groups, scale: 1.0 / rows as f32 });
    y
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn pooled(t: &mut Tape<'_>, window: Window) -> (Vec<Buf>, Buf) {
        // All different, further apart than the differences are wide: where the largest changes there is no derivative.
        let values = (0..120).map(|i| ((i * 37) % 120) as f32 * 0.05 - 3.0).collect();
        let x = case_input_filled(t, "x", shape(40, 3), Fill::F32(values));
        let y = max_pool2d(t, "y", Maps::new(x, 2, 5, 4), window);
        (vec![x], y.buf)
    }
    fn averaged(t: &mut Tape<'_>, batch: u32, height: u32, width: u32) -> (Vec<Buf>, Buf) {
        let x = case_input(t, "x", batch * height * width, 3);
        (vec![x], global_avg_pool(t, "y", Maps::new(x, batch, height, width)))
    }
    vec![
        GradientCase { name: "max pool", record: |t| pooled(t, Window::square(2, 2, 0)) },
        GradientCase { name: "max pool, overlapping and padded", record: |t| pooled(t, Window::square(3, 2, 1)) },
        GradientCase {
            name: "max pool of windows that are not square",
            record: |t| pooled(t, Window { kernel: [1, 2], stride: [2, 1], padding: [0, 1] }),
        },
        GradientCase { name: "global average pool", record: |t| averaged(t, 2, 3, 4) },
        GradientCase { name: "global average pool, in parts", record: |t| averaged(t, 1, 11, 7) },
        GradientCase {
            name: "max pool and global average pool of the same maps",
            record: |t| {
                let (inputs, y) = pooled(t, Window::square(1, 1, 0));
                let maps = Maps::new(y, 2, 5, 4);
                let small = max_pool2d(t, "small", maps, Window::square(5, 5, 1));
                let (left, right) = (global_avg_pool(t, "left", maps), global_avg_pool(t, "right", small));
                let maps = |buf| Maps::new(buf, 2, 1, 1);
                (inputs, super::concat(t, "both", maps(left), maps(right)).buf)
            },
        },
    ]
}
