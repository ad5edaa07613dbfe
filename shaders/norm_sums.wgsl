// Sums of grad_y and of grad_y · (x - mean) · inverse for each column over each part of the rows: the gradients of a
// normalisation's beta and gamma, once the parts are added up. Mean and inverse belong to the column (batch
// normalisation: a row of means, a row of inverses) or to the row (BY_ROW, layer normalisation: a pair in each row).
// Where y was cut to 0 or a ceiling (CLIP) grad_y is zero, which x tells as well as y would: (x - mean) · inverse · gamma <= -beta.
struct Params {
    rows: u32,
    part_rows: u32,
    parts: u32,
    quads: u32,
    ceiling: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> moments: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> beta: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> products: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.parts * params.quads) {
        return;
    }
    let quad = i % params.quads;
    let first_row = i / params.quads * params.part_rows;
    var mean = moments[quad];
    var inverse = vec4(0.0);
    if (BY_ROW == 0u) {
        inverse = moments[params.quads + quad];
    }
    let scale = inverse * gamma[quad];
    let shift = beta[quad];
    var sum = vec4(0.0);
    var product = vec4(0.0);
    let end = min(first_row + params.part_rows, params.rows);
    for (var r = first_row; r < end; r++) {
        let at = r * params.quads + quad;
        if (BY_ROW != 0u) {
            mean = vec4(moments[r].x);
            inverse = vec4(moments[r].y);
        }
        let d = x[at] - mean;
        var g = grad_y[at];
        if (CLIP != 0u) {
            g = select(g, vec4(0.0), (d * scale <= -shift) | (d * scale >= params.ceiling - shift));
        }
        sum += g;
        product += g * (d * inverse);
    }
    sums[i] = sum;
    products[i] = product;
}
