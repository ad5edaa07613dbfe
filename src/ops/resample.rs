//! Feature maps made larger, and put together: what a decoder with skip connections needs.

use super::{GradientCase, case_input};
use crate::core::buffer::{Buf, Maps, shape};
use crate::core::tape::Tape;
use crate::kernels::concat::Concat;
use crate::kernels::take_columns::TakeColumns;
use crate::kernels::upsample_nearest::UpsampleNearest;
use crate::kernels::upsample_nearest_backward::UpsampleNearestBackward;

/// Every pixel repeated `scale` times in both directions.
pub fn upsample_nearest(t: &mut Tape<'_>, name: &str, x: Maps, scale: u32) -> Maps {
    upsample_to(t, name, x, scale, [x.height * scale, x.width * scale])
}

/// [`upsample_nearest`], cut to `height` and `width`, which are to need all pixels of `x`: undoes a stride over odd sizes.
pub fn upsample_to(t: &mut Tape<'_>, name: &str, x: Maps, scale: u32, [height, width]: [u32; 2]) -> Maps {
    let y = t.scratch(name, shape(x.batch * height * width, x.channels()));
    let y = Maps::new(y, x.batch, height, width);
    t.call(name, UpsampleNearest { x, y, scale });
    let name = name.to_string();
    t.op(&[x.buf], y.buf, move |t, grad_y| {
        if let Some(to) = t.grad(x.buf) {
            let call = UpsampleNearestBackward { grad_y: y.with(grad_y), grad_x: x.with(to.buf), scale, accumulate: to.accumulate };
            t.call(format!("{name}: gradient"), call);
        }
    });
    y
}

/// The channels of `a`, then those of `b`. Panics if the maps differ in number or size.
pub fn concat(t: &mut Tape<'_>, name: &str, a: Maps, b: Maps) -> Maps {
    assert_eq!((a.batch, a.height, a.width), (b.batch, b.height, b.width), "`{name}`: maps to put together are of one size");
    let y = t.scratch(name, shape(a.buf.rows(), a.channels() + b.channels()));
    t.call(name, Concat { a: a.buf, b: b.buf, y });
    let name = name.to_string();
    t.op(&[a.buf, b.buf], y, move |t, grad_y| {
        for (what, x, first) in [("left", a.buf, 0), ("right", b.buf, a.channels())] {
            if let Some(to) = t.grad(x) {
                let call = TakeColumns { x: grad_y, y: to.buf, first, accumulate: to.accumulate };
                t.call(format!("{name}: {what} gradient"), call);
            }
        }
    });
    a.with(y)
}

pub(super) fn gradient_cases() -> Vec<GradientCase> {
    fn maps(t: &mut Tape<'_>, name: &str, channels: u32) -> Maps {
        Maps::new(case_input(t, name, 12, channels), 2, 3, 2)
    }
    fn of_one(t: &mut Tape<'_>, op: fn(&mut Tape<'_>, Maps) -> Maps) -> (Vec<Buf>, Buf) {
        let x = maps(t, "x", 3);
        (vec![x.buf], op(t, x).buf)
    }
    vec![
        GradientCase { name: "nearest upsampling", record: |t| of_one(t, |t, x| upsample_nearest(t, "y", x, 3)) },
        GradientCase { name: "nearest upsampling, cut", record: |t| of_one(t, |t, x| upsample_to(t, "y", x, 2, [5, 4])) },
        GradientCase {
            name: "concat",
            record: |t| {
                let (a, b) = (maps(t, "a", 3), maps(t, "b", 5));
                (vec![a.buf, b.buf], concat(t, "y", a, b).buf)
            },
        },
        GradientCase {
            name: "maps beside themselves, used twice",
            record: |t| {
                of_one(t, |t, x| {
                    let twice = concat(t, "twice", x, x);
                    let (a, b) = (upsample_nearest(t, "a", twice, 2), upsample_nearest(t, "b", x, 2));
                    concat(t, "y", a, b)
                })
            },
        },
    ]
}
