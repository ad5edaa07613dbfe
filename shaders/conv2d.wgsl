// A convolution as a product of the matmul family (implicit GEMM): one operand is made of patches, which are looked up and
// never unfolded in memory. A row of patches is a pixel, and holds what the pixel sees tap after tap, channels innermost,
// zero outside the image.
//
// FORWARD: y = patches(x) · wᵀ, WEIGHTS: grad_w = grad_yᵀ · patches(x), INPUT: grad_x = patches(grad_y) · w
// with w as [(tap, output), input].
// With a stride, pixels of grad_x had parts in outputs through few of the taps: those of one phase, every STRIDE-th in both
// directions, through the same, so a call computes one phase. PASS, KERNEL_TAPS, KERNEL_ACROSS (taps in a line), STRIDE, TAPS (that a patch has
// across), PATCH_STRIDE (from one pixel's patch to the next), SOURCE_QUADS (in a pixel that patches are taken from), HEIGHT and
// WIDTH (of the pixels that have a patch) are constants of the call: divisions by them are cheap.
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
    source_height: u32, // of the maps that patches are taken from
    source_width: u32,
    first_y: u32, // where the first pixel's patch begins in them; what lies before their first pixel is huge
    first_x: u32,
    outputs: u32, // rows of w
    result_height: u32, // INPUT: of grad_x, the phase, and the taps of the kernel through which patches see first
    result_width: u32,
    phase_y: u32,
    phase_x: u32,
    tap_y: u32,
    tap_x: u32,
}
@group(0) @binding(5) var<uniform> params: Params;

// Where a quad of patches lies in the source: pixel, quad, and whether it is inside of the image at all.
fn source(row: u32, quad: u32) -> vec3<u32> {
    let tap = quad / SOURCE_QUADS;
    let scanline = row / WIDTH;
    let image = scanline / HEIGHT;
    let x = (row % WIDTH) * PATCH_STRIDE + params.first_x + tap % TAPS;
    let y = (scanline % HEIGHT) * PATCH_STRIDE + params.first_y + tap / TAPS;
    let inside = (x < params.source_width) & (y < params.source_height);
    let pixel = (image * params.source_height + y) * params.source_width + x;
    return vec3(select(0u, pixel, inside), quad % SOURCE_QUADS, select(0u, 1u, inside));
}

fn a_quad(row: u32, quad: u32) -> vec4<f32> {
    if (PASS == WEIGHTS) {
        return a_stored(row, quad, params.a_quads);
    }
    let place = source(row, quad);
    return select(vec4(0.0), a_stored(place.x, place.y, SOURCE_QUADS), place.z == 1u);
}

fn b_quad(row: u32, quad: u32) -> vec4<f32> {
    if (PASS == WEIGHTS) {
        let place = source(row, quad);
        return select(vec4(0.0), b_stored(place.x, place.y, SOURCE_QUADS), place.z == 1u);
    }
    if (PASS == INPUT) {
        // Outputs beyond the last meet the zeros that pad a pixel of grad_y.
        let output_channel = min(row % (4u * SOURCE_QUADS), params.outputs - 1u);
        let tap = row / (4u * SOURCE_QUADS);
        let of_kernel = (params.tap_y - STRIDE * (tap / TAPS)) * KERNEL_ACROSS + params.tap_x - STRIDE * (tap % TAPS);
        return b_stored(output_channel, of_kernel * params.b_quads + quad, KERNEL_TAPS * params.b_quads);
    }
    return b_stored(row, quad, params.b_quads);
}

fn result_row(row: u32) -> u32 {
    if (PASS != INPUT || STRIDE == 1u) {
        return row;
    }
    let scanline = row / WIDTH;
    let x = (row % WIDTH) * STRIDE + params.phase_x;
    let y = (scanline % HEIGHT) * STRIDE + params.phase_y;
    return (scanline / HEIGHT * params.result_height + y) * params.result_width + x;
}
