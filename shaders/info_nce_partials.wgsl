// For each row i of a and each part of the columns: the largest z_ij = a_i·b_j / τ, and Σ_j exp(z_ij - largest), by the
// online log-sum-exp of flash attention: a tile of 8 x 8 similarities at a time, in registers, and none of them stored.
// Over two views the pair (i, i) is left out. Parts follow from the shape alone.
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
    two_views: u32,
}
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> largest: array<f32>;
@group(0) @binding(4) var<storage, read_write> total: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const LEAST = -3.4e38;

fn largest_of(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// (largest, total) with eight more columns from `column`.
fn fold(so_far: vec2<f32>, row: u32, column: u32, left: vec4<f32>, right: vec4<f32>) -> vec2<f32> {
    let col = column + vec4(0u, 1u, 2u, 3u);
    let z_left = select(vec4(LEAST), left, counts(row, col, params.n));
    let z_right = select(vec4(LEAST), right, counts(row, col + 4u, params.n));
    let top = max(so_far.x, largest_of(max(z_left, z_right)));
    let terms = select(vec4(0.0), exp(max(z_left - top, vec4(-80.0))), counts(row, col, params.n))
        + select(vec4(0.0), exp(max(z_right - top, vec4(-80.0))), counts(row, col + 4u, params.n));
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
    let row_tiles = (params.m + ROWS - 1u) / ROWS;
    let part = tile / row_tiles;
    let row = (tile % row_tiles) * ROWS;
    let inverse_temperature = 1.0 / hyper[0];
    let start = vec2(LEAST, 0.0);
    // Indices are constants throughout: loops over registers are left as loops by some compilers.
    var state: array<vec2<f32>, 16> = array(
        start, start, start, start, start, start, start, start, start, start, start, start, start, start, start, start,
    );
    let end = min((part + 1u) * params.part_columns, params.n);
    for (var column = part * params.part_columns; column < end; column += 8u) {
        var left = array<mat4x4<f32>, 4>();
        var right = array<mat4x4<f32>, 4>();
        for (var k = 0u; k < params.k; k += 4u) {
            let left_columns = b_block(column, k);
            let right_columns = b_block(column + 4u, k);
            let rows0 = a_block(row, k);
            left[0] = multiply_add(left[0], rows0, left_columns);
            right[0] = multiply_add(right[0], rows0, right_columns);
            let rows1 = a_block(row + 4u, k);
            left[1] = multiply_add(left[1], rows1, left_columns);
            right[1] = multiply_add(right[1], rows1, right_columns);
            if (ROWS > 8u) {
                let rows2 = a_block(row + 8u, k);
                left[2] = multiply_add(left[2], rows2, left_columns);
                right[2] = multiply_add(right[2], rows2, right_columns);
                let rows3 = a_block(row + 12u, k);
                left[3] = multiply_add(left[3], rows3, left_columns);
                right[3] = multiply_add(right[3], rows3, right_columns);
            }
        }
        left[0] *= inverse_temperature;
        right[0] *= inverse_temperature;
        state[0] = fold(state[0], row, column, left[0][0], right[0][0]);
        state[1] = fold(state[1], row + 1u, column, left[0][1], right[0][1]);
        state[2] = fold(state[2], row + 2u, column, left[0][2], right[0][2]);
        state[3] = fold(state[3], row + 3u, column, left[0][3], right[0][3]);
        left[1] *= inverse_temperature;
        right[1] *= inverse_temperature;
        state[4] = fold(state[4], row + 4u, column, left[1][0], right[1][0]);
        state[5] = fold(state[5], row + 5u, column, left[1][1], right[1][1]);
        state[6] = fold(state[6], row + 6u, column, left[1][2], right[1][2]);
        state[7] = fold(state[7], row + 7u, column, left[1][3], right[1][3]);
        if (ROWS > 8u) {
            left[2] *= inverse_temperature;
            right[2] *= inverse_temperature;
            state[8] = fold(state[8], row + 8u, column, left[2][0], right[2][0]);
            state[9] = fold(state[9], row + 9u, column, left[2][1], right[2][1]);
            state[10] = fold(state[10], row + 10u, column, left[2][2], right[2][2]);
            state[11] = fold(state[11], row + 11u, column, left[2][3], right[2][3]);
            left[3] *= inverse_temperature;
            right[3] *= inverse_temperature;
            state[12] = fold(state[12], row + 12u, column, left[3][0], right[3][0]);
            state[13] = fold(state[13], row + 13u, column, left[3][1], right[3][1]);
            state[14] = fold(state[14], row + 14u, column, left[3][2], right[3][2]);
            state[15] = fold(state[15], row + 15u, column, left[3][3], right[3][3]);
        }
    }
    put(row, part, state[0]);
    put(row + 1u, part, state[1]);
    put(row + 2u, part, state[2]);
    put(row + 3u, part, state[3]);
    put(row + 4u, part, state[4]);
    put(row + 5u, part, state[5]);
    put(row + 6u, part, state[6]);
    put(row + 7u, part, state[7]);
    if (ROWS > 8u) {
        put(row + 8u, part, state[8]);
        put(row + 9u, part, state[9]);
        put(row + 10u, part, state[10]);
        put(row + 11u, part, state[11]);
        put(row + 12u, part, state[12]);
        put(row + 13u, part, state[13]);
        put(row + 14u, part, state[14]);
        put(row + 15u, part, state[15]);
    }
}
