// grad_x = scale · (x - x of the other view) + what came through the gram matrix of its view (+ old grad_x).
struct Params {
    quads: u32, // of one view
    scale: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> through_a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> through_b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let apart = params.scale * (x[i] - x[params.quads + i]);
    var a = through_a[i] + apart;
    var b = through_b[i] - apart;
    if (params.accumulate != 0u) {
        a += grad_x[i];
        b += grad_x[params.quads + i];
    }
    grad_x[i] = a;
    grad_x[params.quads + i] = b;
}
