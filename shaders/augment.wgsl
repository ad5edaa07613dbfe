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

fn texel(start: u32, column: i32, line: i32, channel: u32) -> f32 {
    // Negative positions become huge and fall outside, too.
    if (u32(column) >= params.width || u32(line) >= params.height) {
        return 0.0;
    }
    let e = (u32(line) * params.width + u32(column)) * params.channels + channel;
    return f32((data[start + e / 4u] >> (8u * (e % 4u))) & 255u);
}

fn sample(start: u32, source: vec2<f32>, channel: u32) -> f32 {
    let corner = floor(source);
    let f = source - corner;
    let c = i32(corner.x);
    let l = i32(corner.y);
    let above = texel(start, c, l, channel) * (1.0 - f.x) + texel(start, c + 1, l, channel) * f.x;
    let below = texel(start, c, l + 1, channel) * (1.0 - f.x) + texel(start, c + 1, l + 1, channel) * f.x;
    return (above * (1.0 - f.y) + below * f.y) / 255.0;
}

// Of a node of the 4x4 grid, from the first pixel to the last.
fn displacement(at: u32, node: vec2<u32>) -> vec2<f32> {
    let pair = draws[at + 5u + 2u * node.y + node.x / 2u];
    return select(pair.xy, pair.zw, node.x % 2u == 1u);
}

fn elastic(at: u32, pixel: vec2<u32>) -> vec2<f32> {
    let last = max(vec2(params.width, params.height), vec2(2u)) - 1u;
    let cell = min(3u * pixel / last, vec2(2u));
    let f = vec2<f32>(3u * pixel - cell * last) / vec2<f32>(last);
    let above = displacement(at, cell) * (1.0 - f.x) + displacement(at, cell + vec2(1u, 0u)) * f.x;
    let below = displacement(at, cell + vec2(0u, 1u)) * (1.0 - f.x) + displacement(at, cell + vec2(1u, 1u)) * f.x;
    return above * (1.0 - f.y) + below * f.y;
}

// Where in the sample a pixel of the view comes from.
fn place(at: u32, pixel: vec2<u32>) -> vec2<f32> {
    let size = vec2(f32(params.width), f32(params.height));
    let middle = 0.5 * (size - 1.0);
    let d = vec2<f32>(pixel) - middle;
    let first = draws[at];
    let second = draws[at + 1u];
    var mapped = vec2(first.x * d.x + first.y * d.y + first.z, second.x * d.x + second.y * d.y + second.z) + middle;
    if (ELASTIC != 0u) {
        mapped += elastic(at, pixel);
    }
    // One pixel beyond the edge everything is zero, so far positions may be drawn in and stay small.
    return clamp(mapped, vec2(-params.beyond), size - 1.0 + params.beyond);
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
                source = place(at, position);
                if (COLOUR != 0u) {
                    colour = vec3(sample(start, source, 0u), sample(start, source, 1u), sample(start, source, 2u));
                }
            }
            var seen = 0.0;
            if (COLOUR != 0u) {
                seen = dot(draws[at + 2u + channel].xyz, colour);
            } else {
                seen = draws[at + 1u].w * sample(start, source, channel);
            }
            value[e] = finish(seen + draws[at].w, keys[view], element + e, position.x, position.y);
        }
    }
    x[i] = value;
}
