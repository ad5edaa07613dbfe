// y = a + b, (zero where that is not positive).
struct Params {
    quads: u32,
    relu: u32,
}
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let sum = a[i] + b[i];
    y[i] = select(sum, vec4(0.0), (sum <= vec4(0.0)) & vec4(params.relu != 0u));
}
