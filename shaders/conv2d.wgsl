// A convolution as a product of the matmul family (implicit GEMM): one operand is made of patches, which are looked up and
// never unfolded in memory. A row of patches is a pixel, and holds what the pixel sees tap after tap, channels innermost,
// zero outside the image.
//
// FORWARD: y = patches(x) · wᵀ, WEIGHTS: dw = dyᵀ · patches(x), INPUT: dx = patches(dy) · w with w as [(tap, output), input],
// where a pixel of dx sees the outputs that it had a part in. PASS, KERNEL (taps per side) and STRIDE are constants of the
// call, so that divisions by them are cheap.
const FORWARD = 0u;
const WEIGHTS = 1u;
const INPUT = 2u;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32, // in a row of the operand, patches unfolded
    b_quads: u32,
    c_quads: u32,
    a_line_shift: u32,
    b_line_shift: u32,
    parts: u32,
    part_k: u32,
    relu: u32,
    height: u32, // of the maps whose pixels are the rows of patches
    width: u32,
    source_height: u32, // of the maps that patches are taken from
    source_width: u32,
    source_quads: u32, // in a pixel of them
    padding: u32,
    outputs: u32, // rows of w
}
@group(0) @binding(5) var<uniform> params: Params;

// Where a quad of patches lies in the source: pixel, quad, and whether it is inside of the image at all.
fn source(row: u32, quad: u32) -> vec3<u32> {
    let tap = quad / params.source_quads;
    let column = row % params.width;
    let line = row / params.width;
    let image = line / params.height;
    let at = vec2(column, line % params.height);
    let offset = vec2(tap % KERNEL, tap / KERNEL);
    // What lies before the first pixel becomes huge and falls outside, too.
    var place = at * STRIDE + offset - params.padding;
    var between = vec2(0u);
    if (PASS == INPUT) {
        let ahead = at + params.padding - offset;
        place = ahead / STRIDE;
        between = ahead % STRIDE;
    }
    let inside = (place.x < params.source_width) & (place.y < params.source_height) & (between.x == 0u) & (between.y == 0u);
    let pixel = (image * params.source_height + place.y) * params.source_width + place.x;
    return vec3(select(0u, pixel, inside), quad % params.source_quads, select(0u, 1u, inside));
}

fn a_quad(row: u32, quad: u32) -> vec4<f32> {
    if (PASS == WEIGHTS) {
        return a_stored(row, quad, params.a_quads);
    }
    let place = source(row, quad);
    return select(vec4(0.0), a_stored(place.x, place.y, params.source_quads), place.z == 1u);
}

fn b_quad(row: u32, quad: u32) -> vec4<f32> {
    if (PASS == WEIGHTS) {
        let place = source(row, quad);
        return select(vec4(0.0), b_stored(place.x, place.y, params.source_quads), place.z == 1u);
    }
    if (PASS == INPUT) {
        // Outputs beyond the last meet the zeros that pad a pixel of dy.
        let output = min(row % (4u * params.source_quads), params.outputs - 1u);
        return b_stored(output, row / (4u * params.source_quads) * params.b_quads + quad, KERNEL * KERNEL * params.b_quads);
    }
    return b_stored(row, quad, params.b_quads);
}
