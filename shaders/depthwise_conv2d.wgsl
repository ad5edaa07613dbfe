// Convolution of each channel with a kernel of its own, whose taps are rows of w: (+ old contents).
// FORWARD: y (c) from x (a) and w (b). INPUT: grad_x (c) from grad_y (a) and w (b): outputs that saw the pixel, in the order of taps.
// WEIGHTS: a part of grad_w (c) from x (a) and grad_y (b): a row of c is a tap of a part of the pixels.
const FORWARD = 0u;
const WEIGHTS = 1u;
struct Params {
    rows: u32, // of the result
    quads: u32,
    height: u32, // of x
    width: u32,
    out_height: u32,
    out_width: u32,
    before_y: u32, // zeros before the first line and the first pixel of a line
    before_x: u32,
    pixels: u32, // of y
    part_rows: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

fn forward(row: u32, quad: u32) -> vec4<f32> {
    let scanline = row / params.out_width;
    let image = scanline / params.out_height;
    let top = (scanline % params.out_height) * STRIDE;
    let left = (row % params.out_width) * STRIDE;
    var sum = vec4(0.0);
    if (BIAS != 0u) {
        sum = bias[quad];
    }
    for (var ky = 0u; ky < KERNEL; ky++) {
        for (var kx = 0u; kx < KERNEL; kx++) {
            // What lies before the first wraps around to beyond the last.
            let y = top + ky - params.before_y;
            let x = left + kx - params.before_x;
            if (y < params.height && x < params.width) {
                let at = (image * params.height + y) * params.width + x;
                sum += a[at * params.quads + quad] * b[(ky * KERNEL + kx) * params.quads + quad];
            }
        }
    }
    return sum;
}

fn input_gradient(row: u32, quad: u32) -> vec4<f32> {
    let scanline = row / params.width;
    let image = scanline / params.height;
    let bottom = scanline % params.height + params.before_y;
    let right = row % params.width + params.before_x;
    var sum = vec4(0.0);
    for (var ky = bottom % STRIDE; ky < KERNEL; ky += STRIDE) {
        for (var kx = right % STRIDE; kx < KERNEL; kx += STRIDE) {
            let y = (bottom - ky) / STRIDE;
            let x = (right - kx) / STRIDE;
            if (ky <= bottom && kx <= right && y < params.out_height && x < params.out_width) {
                let at = (image * params.out_height + y) * params.out_width + x;
                sum += a[at * params.quads + quad] * b[(ky * KERNEL + kx) * params.quads + quad];
            }
        }
    }
    return sum;
}

fn weight_gradient(row: u32, quad: u32) -> vec4<f32> {
    let tap = row % (KERNEL * KERNEL);
    let first = row / (KERNEL * KERNEL) * params.part_rows;
    var sum = vec4(0.0);
    for (var pixel = first; pixel < min(first + params.part_rows, params.pixels); pixel++) {
        let scanline = pixel / params.out_width;
        let y = (scanline % params.out_height) * STRIDE + tap / KERNEL - params.before_y;
        let x = (pixel % params.out_width) * STRIDE + tap % KERNEL - params.before_x;
        if (y < params.height && x < params.width) {
            let at = (scanline / params.out_height * params.height + y) * params.width + x;
            sum += a[at * params.quads + quad] * b[pixel * params.quads + quad];
        }
    }
    return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    var value = vec4(0.0);
    if (PASS == FORWARD) {
        value = forward(row, quad);
    } else if (PASS == WEIGHTS) {
        value = weight_gradient(row, quad);
    } else {
        value = input_gradient(row, quad);
    }
    if (params.accumulate != 0u) {
        value += c[i];
    }
    c[i] = value;
}
