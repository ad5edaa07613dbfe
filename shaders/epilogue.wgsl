// What becomes of a product: (zero where mask is not positive) (+ old c) (+ bias) (ReLU). MASK, ACCUMULATE and BIAS (0 or 1
// each) are constants of the call.
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

// What `store` adds to all rows of a quad of columns.
fn column_shift(quad: u32) -> vec4<f32> {
    var shift = vec4(0.0);
    if (BIAS != 0u) {
        shift = bias[min(quad, params.c_quads - 1u)];
    }
    return shift;
}

// One `if` and no return: drivers that run lanes under masks compile it four times faster so.
fn store(part: u32, row: u32, quad: u32, shift: vec4<f32>, sum: vec4<f32>) {
    if ((part < params.parts) & (row < params.m) & (quad < params.c_quads)) {
        let at = (part * params.m + result_row(row)) * params.c_quads + quad;
        var value = sum;
        if (MASK != 0u) {
            value = select(vec4(0.0), value, mask[at] > vec4(0.0));
        }
        if (ACCUMULATE != 0u) {
            value += c[at];
        }
        value += shift;
        value = select(value, vec4(0.0), (value <= vec4(0.0)) & vec4(params.relu != 0u));
        // Columns beyond n are the row's pad, which stays zero.
        c[at] = select(vec4(0.0), value, quad * 4u + vec4(0u, 1u, 2u, 3u) < vec4(params.n));
    }
}
