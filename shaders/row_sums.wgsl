// Beside aᵀ·b, the sums of the rows of aᵀ: with the gradient of a layer's output as a, the gradient of its bias, from
// blocks that the gradient of its weights has loaded anyway. k ascends in one accumulator; parts of k have sums of their
// own, as they have products. Only products of layout TN have them: there a row's pad is zero.
const SUMS = true;
@group(0) @binding(6) var<storage, read_write> sums: array<vec4<f32>>;

// The first column of tiles keeps the sums of its rows.
fn store_sums(part: u32, row: u32, quad: u32, sum: vec4<f32>) {
    if ((quad == 0u) & (part < params.parts) & (row < params.m)) {
        let at = part * params.a_quads + row / 4u;
        var value = sum;
        if (ACCUMULATE != 0u) {
            value += sums[at];
        }
        sums[at] = value;
    }
}
