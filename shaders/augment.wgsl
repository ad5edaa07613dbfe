// Augmented views: view v is sample indices[v mod batch], in one row of x or a pixel in each of several rows, resampled
// (bilinear) where the map in draws and its elastic displacements say, in other colours or contrast, and
// finished as `finish` does.
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
    beyond: f32, // how far beyond the outermost pixels positions may lie: 1 for zeros there, 0 for more of the same
    noise: f32,  // standard deviation
    erase: u32,  // side of the square, pixels
}
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> draws: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

fn texel(start: u32, column: i32, scanline: i32, channel: u32) -> f32 {
    // Negative positions become huge and fall outside, too.
    if (u32(column) >= params.width || u32(scanline) >= params.height) {
        return 0.0;
    }
    let e = (u32(scanline) * params.width + u32(column)) * params.channels + channel;
    return f32((data[start + e / 4u] >> (8u * (e % 4u))) & 255u);
}

fn sample_at(start: u32, source: vec2<f32>, channel: u32) -> f32 {
    let corner = floor(source);
    let f = source - corner;
    let c = i32(corner.x);
    let l = i32(corner.y);
    let above = texel(start, c, l, channel) * (1.0 - f.x) + texel(start, c + 1, l, channel) * f.x;
    let below = texel(start, c, l + 1, channel) * (1.0 - f.x) + texel(start, c + 1, l + 1, channel) * f.x;
    return (above * (1.0 - f.y) + below * f.y) / 255.0;
}

// Where in the sample a pixel of the view comes from. One pixel beyond the edge everything is zero, so far positions may be
// drawn in and stay small.
fn drawn_in(at: u32, pixel: vec2<u32>) -> vec2<f32> {
    return clamp(place(at, pixel), vec2(-params.beyond), vec2(f32(params.width), f32(params.height)) - 1.0 + params.beyond);
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
    let at = QUADS * view;
    let start = indices[view % params.batch] * params.data_stride;
    var source = vec2(0.0);
    var colour = vec3(0.0);
    var value = vec4(0.0);
    for (var e = 0u; e < 4u; e++) {
        if (col + e < params.cols) {
            let channel = (element + e) % params.channels;
            let pixel = (element + e) / params.channels;
            let position = vec2(pixel % params.width, pixel / params.width);
            // Once for all channels of a pixel.
            if (e == 0u || channel == 0u) {
                source = drawn_in(at, position);
                if (COLOUR != 0u) {
                    colour = vec3(sample_at(start, source, 0u), sample_at(start, source, 1u), sample_at(start, source, 2u));
                }
            }
            var seen = 0.0;
            if (COLOUR != 0u) {
                seen = dot(draws[at + 2u + channel].xyz, colour);
            } else {
                seen = draws[at + 1u].w * sample_at(start, source, channel);
            }
            value[e] = finish(seen + draws[at].w, keys[view], element + e, position.x, position.y);
        }
    }
    x[i] = value;
}
