// What views of sounds have beside: a smooth curve over the pitches, which are lines, and a stripe of moments and one of pitches where
// there is nothing.
struct Params {
    rows: u32,
    rows_per_view: u32,
    cols: u32,
    quads: u32,
    width: u32,
    height: u32,
    channels: u32,
    curve: f32,   // standard deviation of its knots
    columns: u32, // of the widest stripe
    lines: u32,   // of the highest stripe
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// A whole number from 0 to below `count`, of 16 bits.
fn below(bits: u32, count: u32) -> u32 {
    return ((bits >> 16u) * count) >> 16u;
}

fn knot(key: vec2<u32>, number: u32) -> f32 {
    return bell(threefry(key, vec2(2u + number, 1u)));
}

// Between four knots, the first at the first line and the last at the last one, level at each.
fn curve(key: vec2<u32>, scanline: u32) -> f32 {
    let last = max(params.height, 2u) - 1u;
    let cell = min(3u * scanline / last, 2u);
    let f = f32(3u * scanline - cell * last) / f32(last);
    let share = f * f * (3.0 - 2.0 * f);
    return params.curve * (knot(key, cell) * (1.0 - share) + knot(key, cell + 1u) * share);
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
    let key = keys[view].xy;
    let sides = threefry(key, vec2(0u, 1u));
    let places = threefry(key, vec2(1u, 1u));
    let wide = below(sides.x, params.columns + 1u);
    let high = below(sides.y, params.lines + 1u);
    let left = below(places.x, params.width - wide + 1u);
    let top = below(places.y, params.height - high + 1u);
    let seen = x[i];
    var value = vec4(0.0);
    var scanline = params.height;
    var added = 0.0;
    for (var e = 0u; e < 4u; e++) {
        if (col + e < params.cols) {
            let pixel = (element + e) / params.channels;
            let position = vec2(pixel % params.width, pixel / params.width);
            if (position.y != scanline) {
                scanline = position.y;
                added = curve(key, scanline);
            }
            // What lies before a stripe is far behind it.
            if (position.x - left >= wide && position.y - top >= high) {
                value[e] = seen[e] + added;
            }
        }
    }
    y[i] = value;
}
