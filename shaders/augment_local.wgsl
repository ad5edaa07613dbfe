// What depends on a pixel's neighbours: strokes made thicker or thinner by going towards the largest or smallest of the 3x3
// pixels around, and a binomial blur over them. Beyond the edge the image goes on as it is at the edge.
struct Params {
    rows: u32,
    rows_per_view: u32,
    cols: u32,
    quads: u32,
    view_stride: u32,  // words
    pixel_stride: u32,
    width: u32,
    height: u32,
    channels: u32,
    noise: f32, // standard deviation
    erase: u32, // side of the square, pixels
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> draws: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

fn around(start: u32, position: vec2<u32>, thickness: f32, blur: f32) -> f32 {
    let here = x[start + (position.y * params.width + position.x) * params.pixel_stride];
    var most = here;
    var least = here;
    var mean = 0.0;
    for (var down = 0u; down < 3u; down++) {
        for (var across = 0u; across < 3u; across++) {
            let at = clamp(position + vec2(across, down), vec2(1u), vec2(params.width, params.height)) - 1u;
            let value = x[start + (at.y * params.width + at.x) * params.pixel_stride];
            most = max(most, value);
            least = min(least, value);
            mean += value * select(0.25, 0.5, across == 1u) * select(0.25, 0.5, down == 1u);
        }
    }
    return here + abs(thickness) * (select(least, most, thickness > 0.0) - here) + blur * (mean - here);
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
    let thickness = draws[QUADS * view + 2u].w;
    let blur = draws[QUADS * view + 3u].w;
    var value = vec4(0.0);
    for (var e = 0u; e < 4u; e++) {
        if (col + e < params.cols) {
            let channel = (element + e) % params.channels;
            let pixel = (element + e) / params.channels;
            let position = vec2(pixel % params.width, pixel / params.width);
            let changed = around(view * params.view_stride + channel, position, thickness, blur);
            value[e] = finish(changed, keys[view], element + e, position.x, position.y);
        }
    }
    y[i] = value;
}
