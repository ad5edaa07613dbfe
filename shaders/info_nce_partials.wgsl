// For each row i of a and each part of the columns: the largest z_ij = a_i·b_j / τ, and Σ_j exp(z_ij - largest), by the
// online log-sum-exp of flash attention: a tile of 8 x 8 similarities at a time, in registers, and none of them stored.
// Over two views (EXCLUDE_SELF) the pair (i, i) is left out. Parts follow from the shape alone.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_quads: u32,
    b_quads: u32,
    a_line_shift: u32,
    b_line_shift: u32,
    parts: u32,
    part_columns: u32, // a multiple of 8
    exclude_self: u32,
}
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> total: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const LEAST = -3.4e38;

fn counts(row: u32, col: vec4<u32>) -> vec4<bool> {
    return col < vec4(params.n) & ((col != vec4(row)) | vec4(params.exclude_self == 0u));
}

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// (largest, total) with eight more columns from `column`.
fn fold(so_far: vec2<f32>, row: u32, column: u32, left: vec4<f32>, right: vec4<f32>) -> vec2<f32> {
    let col = column + vec4(0u, 1u, 2u, 3u);
    let z_left = select(vec4(LEAST), left, counts(row, col));
    let z_right = select(vec4(LEAST), right, counts(row, col + 4u));
    let top = max(so_far.x, largest_of(max(z_left, z_right)));
    let terms = select(vec4(0.0), exp(max(z_left - top, vec4(-80.0))), counts(row, col))
        + select(vec4(0.0), exp(max(z_right - top, vec4(-80.0))), counts(row, col + 4u));
    let rescaled = select(so_far.y * exp(max(so_far.x - top, -80.0)), 0.0, so_far.x == LEAST);
    return vec2(top, rescaled + ((terms.x + terms.y) + (terms.z + terms.w)));
}

fn put(row: u32, part: u32, state: vec2<f32>) {
    if ((row < params.m) & (part < params.parts)) {
        largest[row * params.parts + part] = state.x;
        total[row * params.parts + part] = state.y;
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = invocation(group, lane);
    // Neighbours have other rows and the same columns, which then come from caches.
    let row_tiles = (params.m + 7u) / 8u;
    let part = tile / row_tiles;
    let row = (tile % row_tiles) * 8u;
    let inverse_temperature = 1.0 / hyper[0];
    let start = vec2(LEAST, 0.0);
    var state: array<vec2<f32>, 8> = array(start, start, start, start, start, start, start, start);
    let end = min((part + 1u) * params.part_columns, params.n);
    for (var column = part * params.part_columns; column < end; column += 8u) {
        var sum: array<mat4x4<f32>, 4>;
        for (var k = 0u; k < params.k; k += 4u) {
            let rows = a_block(row, k);
            let more_rows = a_block(row + 4u, k);
            let left = b_block(column, k);
            sum[0] = multiply_add(sum[0], rows, left);
            sum[1] = multiply_add(sum[1], more_rows, left);
            let right = b_block(column + 4u, k);
            sum[2] = multiply_add(sum[2], rows, right);
            sum[3] = multiply_add(sum[3], more_rows, right);
        }
        for (var block = 0u; block < 4u; block++) {
            sum[block] = sum[block] * inverse_temperature;
        }
        state[0] = fold(state[0], row, column, sum[0][0], sum[2][0]);
        state[1] = fold(state[1], row + 1u, column, sum[0][1], sum[2][1]);
        state[2] = fold(state[2], row + 2u, column, sum[0][2], sum[2][2]);
        state[3] = fold(state[3], row + 3u, column, sum[0][3], sum[2][3]);
        state[4] = fold(state[4], row + 4u, column, sum[1][0], sum[3][0]);
        state[5] = fold(state[5], row + 5u, column, sum[1][1], sum[3][1]);
        state[6] = fold(state[6], row + 6u, column, sum[1][2], sum[3][2]);
        state[7] = fold(state[7], row + 7u, column, sum[1][3], sum[3][3]);
    }
    put(row, part, state[0]);
    put(row + 1u, part, state[1]);
    put(row + 2u, part, state[2]);
    put(row + 3u, part, state[3]);
    put(row + 4u, part, state[4]);
    put(row + 5u, part, state[5]);
    put(row + 6u, part, state[6]);
    put(row + 7u, part, state[7]);
}
