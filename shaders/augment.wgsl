// Augmented views: view v is sample indices[v mod batch], in one row of x or a pixel in each of several rows, resampled (bilinear, zero outside) through the affine map in
// draws[r], with contrast, brightness and noise, and a square erased.
struct Params {
    rows: u32,
    rows_per_view: u32,
    batch: u32,
    cols: u32,
    quads: u32,
    data_stride: u32,
    width: u32,
    height: u32,
    channels: u32,
    noise: f32, // standard deviation
    erase: u32, // side of the square, pixels
}
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> draws: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

fn texel(start: u32, column: i32, line: i32, channel: u32) -> f32 {
    // Negative positions become huge and fall outside, too.
    if (u32(column) >= params.width || u32(line) >= params.height) {
        return 0.0;
    }
    let e = (u32(line) * params.width + u32(column)) * params.channels + channel;
    return f32((data[start + e / 4u] >> (8u * (e % 4u))) & 255u);
}

fn sample(start: u32, first: vec4<f32>, second: vec4<f32>, key: vec4<u32>, element: u32) -> f32 {
    let channel = element % params.channels;
    let pixel = element / params.channels;
    let column = pixel % params.width;
    let line = pixel / params.width;
    if (column + params.erase - key.z < params.erase && line + params.erase - key.w < params.erase) {
        return 0.0;
    }
    let middle = 0.5 * vec2(f32(params.width) - 1.0, f32(params.height) - 1.0);
    let d = vec2(f32(column), f32(line)) - middle;
    let mapped = vec2(first.x * d.x + first.y * d.y + first.z, second.x * d.x + second.y * d.y + second.z) + middle;
    // One pixel beyond the edge everything is zero, so far positions may be drawn in and stay small.
    let source = clamp(mapped, vec2(-2.0), vec2(f32(params.width), f32(params.height)) + 1.0);
    let corner = floor(source);
    let f = source - corner;
    let c = i32(corner.x);
    let l = i32(corner.y);
    let above = texel(start, c, l, channel) * (1.0 - f.x) + texel(start, c + 1, l, channel) * f.x;
    let below = texel(start, c, l + 1, channel) * (1.0 - f.x) + texel(start, c + 1, l + 1, channel) * f.x;
    var value = (above * (1.0 - f.y) + below * f.y) / 255.0 * second.w + first.w;
    if (params.noise > 0.0) {
        // Four 16-bit uniforms: variance 1/3, near enough to a normal distribution.
        let bits = threefry(key.xy, vec2(element, 0u));
        let sum = f32(bits.x & 0xFFFFu) + f32(bits.x >> 16u) + f32(bits.y & 0xFFFFu) + f32(bits.y >> 16u);
        value += params.noise * 1.7320508 * (sum * (1.0 / 65536.0) - 2.0);
    }
    return value;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let view = row / params.rows_per_view;
    let col = (i % params.quads) * 4u;
    let element = (row % params.rows_per_view) * params.cols + col;
    let first = draws[2u * view];
    let second = draws[2u * view + 1u];
    let key = keys[view];
    let start = indices[view % params.batch] * params.data_stride;
    var value = vec4(0.0);
    for (var e = 0u; e < 4u; e++) {
        if (col + e < params.cols) {
            value[e] = sample(start, first, second, key, element + e);
        }
    }
    x[i] = value;
}
