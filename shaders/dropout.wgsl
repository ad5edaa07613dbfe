// y = x / (1 - p), or 0 with probability p (+ old y). Four values share a draw of 64 bits, which clock and place tell: so backward draws
// the same mask again.
struct Params {
    quads: u32,
    drop: u32, // probability in units of 2^-16
    scale: f32,
    accumulate: u32,
    key_low: u32,
    key_high: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    let key = threefry(vec2(params.key_low, params.key_high), vec2(clock[0], 0u));
    let bits = threefry(key, vec2(i, 0u));
    let draws = vec4(bits.x & 0xFFFFu, bits.x >> 16u, bits.y & 0xFFFFu, bits.y >> 16u);
    let value = select(x[i] * params.scale, vec4(0.0), draws < vec4(params.drop));
    if (params.accumulate != 0u) {
        y[i] += value;
    } else {
        y[i] = value;
    }
}
