// y = Σ of three chains of 8 · octets multiply-adds each, c ← factor · c + 1, which start at x, 2x and 3x. Three vec4 chains
// are enough independent work to hide an instruction's latency, and few enough to stay in registers anywhere.
struct Params {
    quads: u32,
    octets: u32,
    factor: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    var a = x[i];
    var b = 2.0 * a;
    var c = 3.0 * a;
    let factor = vec4(params.factor);
    let one = vec4(1.0);
    for (var octet = 0u; octet < params.octets; octet++) {
        // A constant count: compilers unroll it.
        for (var i = 0u; i < 8u; i++) {
            a = a * factor + one;
            b = b * factor + one;
            c = c * factor + one;
        }
    }
    y[i] = (a + b) + c;
}
