// grad_x = Σ grad_y of the windows in which this pixel was the largest (+ old grad_x), windows in the order of their places here.
struct Params {
    rows: u32, // of grad_x
    quads: u32,
    height: u32, // of grad_x
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_y: u32, // pixels of a window down
    kernel_x: u32,
    stride_y: u32,
    stride_x: u32,
    padding_y: u32,
    padding_x: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> at: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    let scanline = row / params.width;
    let map = scanline / params.height;
    let bottom = scanline % params.height + params.padding_y;
    let right = row % params.width + params.padding_x;
    var sum = vec4(0.0);
    for (var ky = bottom % params.stride_y; ky < params.kernel_y; ky += params.stride_y) {
        for (var kx = right % params.stride_x; kx < params.kernel_x; kx += params.stride_x) {
            // Windows before the first wrap around to beyond the last.
            let oy = (bottom - ky) / params.stride_y;
            let ox = (right - kx) / params.stride_x;
            if (oy < params.out_height && ox < params.out_width) {
                let window = ((map * params.out_height + oy) * params.out_width + ox) * params.quads + quad;
                sum += select(vec4(0.0), grad_y[window], at[window] == vec4(ky * params.kernel_x + kx));
            }
        }
    }
    if (params.accumulate != 0u) {
        sum += grad_x[i];
    }
    grad_x[i] = sum;
}
