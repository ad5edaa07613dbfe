// c = a·b, a·bᵀ or aᵀ·b, then (+ old c), (+ bias), (ReLU).
//
// Each invocation keeps ROWS x (4·QUADS) outputs in registers and reads vec4s straight from storage: no shared memory,
// no barrier. Every output sums k ascending in one accumulator, so tile sizes never change a bit.
const NN = 0u;
const NT = 1u;
const TN = 2u;
const BIAS = 1u;
const RELU = 2u;
const ACCUMULATE = 4u;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32, // quads from one row to the next
    b_quads: u32,
    c_quads: u32,
    epilogue: u32,
}
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

// Four rows of a from `row`, four values each from `k`: column r of the result is row r. Pads of a are zero, so
// k beyond the end adds nothing; where k runs down the rows of both matrices, it is cut here.
fn load_a(row: u32, k: u32) -> mat4x4<f32> {
    let last = params.m - 1u;
    if (LAYOUT == TN) {
        let at = min(row / 4u, params.a_quads - 1u);
        let end = params.k - 1u;
        return transpose(mat4x4(
            a[k * params.a_quads + at],
            select(vec4(0.0), a[min(k + 1u, end) * params.a_quads + at], k + 1u <= end),
            select(vec4(0.0), a[min(k + 2u, end) * params.a_quads + at], k + 2u <= end),
            select(vec4(0.0), a[min(k + 3u, end) * params.a_quads + at], k + 3u <= end),
        ));
    }
    let at = k / 4u;
    return mat4x4(
        a[min(row, last) * params.a_quads + at],
        a[min(row + 1u, last) * params.a_quads + at],
        a[min(row + 2u, last) * params.a_quads + at],
        a[min(row + 3u, last) * params.a_quads + at],
    );
}

// Four columns of b from quad `quad`, for four k from `k`: column i of the result is b[k + i, 4·quad ..].
fn load_b(quad: u32, k: u32) -> mat4x4<f32> {
    if (LAYOUT == NT) {
        let last = params.n - 1u;
        let col = quad * 4u;
        let at = k / 4u;
        return transpose(mat4x4(
            b[min(col, last) * params.b_quads + at],
            b[min(col + 1u, last) * params.b_quads + at],
            b[min(col + 2u, last) * params.b_quads + at],
            b[min(col + 3u, last) * params.b_quads + at],
        ));
    }
    let last = params.k - 1u;
    let at = min(quad, params.b_quads - 1u);
    return mat4x4(
        b[k * params.b_quads + at],
        b[min(k + 1u, last) * params.b_quads + at],
        b[min(k + 2u, last) * params.b_quads + at],
        b[min(k + 3u, last) * params.b_quads + at],
    );
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = invocation(group, lane);
    let tile_cols = (params.c_quads + QUADS - 1u) / QUADS;
    let row = (tile / tile_cols) * ROWS;
    let quad = (tile % tile_cols) * QUADS;
    var sum: array<array<vec4<f32>, QUADS>, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        for (var q = 0u; q < QUADS; q++) {
            sum[r][q] = vec4(0.0);
        }
    }
    for (var k = 0u; k < params.k; k += 4u) {
        var columns: array<mat4x4<f32>, QUADS>;
        for (var q = 0u; q < QUADS; q++) {
            columns[q] = load_b(quad + q, k);
        }
        for (var r = 0u; r < ROWS; r += 4u) {
            let rows = load_a(row + r, k);
            for (var i = 0u; i < 4u; i++) {
                for (var q = 0u; q < QUADS; q++) {
                    sum[r + i][q] += rows[i].x * columns[q][0];
                    sum[r + i][q] += rows[i].y * columns[q][1];
                    sum[r + i][q] += rows[i].z * columns[q][2];
                    sum[r + i][q] += rows[i].w * columns[q][3];
                }
            }
        }
    }
    for (var q = 0u; q < QUADS; q++) {
        if (quad + q >= params.c_quads) {
            break;
        }
        let col = (quad + q) * 4u + vec4(0u, 1u, 2u, 3u);
        for (var r = 0u; r < ROWS; r++) {
            if (row + r >= params.m) {
                break;
            }
            let at = (row + r) * params.c_quads + quad + q;
            var value = sum[r][q];
            if ((params.epilogue & ACCUMULATE) != 0u) {
                value += c[at];
            }
            if ((params.epilogue & BIAS) != 0u) {
                value += bias[quad + q];
            }
            if ((params.epilogue & RELU) != 0u) {
                value = select(value, vec4(0.0), value <= vec4(0.0));
            }
            // Columns beyond n are the row's pad, which stays zero.
            c[at] = select(vec4(0.0), value, col < vec4(params.n));
        }
    }
}
