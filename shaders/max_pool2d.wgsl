// y = the largest value of each window of x, channel by channel; at = its place in the window, ky · kernel_x + kx, of equal
// values the first. Places outside the maps do not count.
struct Params {
    rows: u32, // of y
    cols: u32,
    quads: u32,
    height: u32, // of x
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_y: u32, // pixels of a window down
    kernel_x: u32,
    stride_y: u32,
    stride_x: u32,
    padding_y: u32,
    padding_x: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> at: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    let scanline = row / params.out_width;
    let map = scanline / params.out_height;
    // Places before the first wrap around to beyond the last.
    let top = (scanline % params.out_height) * params.stride_y - params.padding_y;
    let left = (row % params.out_width) * params.stride_x - params.padding_x;
    var largest = vec4(0.0);
    var place = vec4(0u);
    var first = true;
    for (var ky = 0u; ky < params.kernel_y; ky++) {
        for (var kx = 0u; kx < params.kernel_x; kx++) {
            if (top + ky < params.height && left + kx < params.width) {
                let value = x[((map * params.height + top + ky) * params.width + left + kx) * params.quads + quad];
                let larger = (value > largest) | vec4(first);
                largest = select(largest, value, larger);
                place = select(place, vec4(ky * params.kernel_x + kx), larger);
                first = false;
            }
        }
    }
    y[i] = largest;
    at[i] = select(vec4(0u), place, quad * 4u + vec4(0u, 1u, 2u, 3u) < vec4(params.cols));
}
