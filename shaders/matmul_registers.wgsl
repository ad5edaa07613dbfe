// Each invocation keeps ROWS x (4·QUADS) outputs in registers and loads blocks straight from the operands: no shared
// memory, no barrier. ROWS x QUADS is 4x1, 8x2 or 8x4.
//
// Blocks are written out, not looped over: with constant indices every compiler keeps `sum` in registers, while loops over
// it are left as they are by some, which costs a third of the speed on llvmpipe.
fn store_block(row: u32, quad: u32, sum: mat4x4<f32>) {
    store(row, quad, sum[0]);
    store(row + 1u, quad, sum[1]);
    store(row + 2u, quad, sum[2]);
    store(row + 3u, quad, sum[3]);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = invocation(group, lane);
    let tile_cols = (params.c_quads + QUADS - 1u) / QUADS;
    let row = (tile / tile_cols) * ROWS;
    let quad = (tile % tile_cols) * QUADS;
    var sum: array<mat4x4<f32>, 8>; // quad q of rows 4·r to 4·r + 3 is sum[4·r + q]
    for (var k = 0u; k < params.k; k += 4u) {
        let rows = a_block(row, k);
        var more_rows = mat4x4<f32>();
        if (ROWS > 4u) {
            more_rows = a_block(row + 4u, k);
        }
        let columns = b_block(4u * quad, k);
        sum[0] = multiply_add(sum[0], rows, columns);
        sum[4] = multiply_add(sum[4], more_rows, columns);
        if (QUADS > 1u) {
            let columns = b_block(4u * quad + 4u, k);
            sum[1] = multiply_add(sum[1], rows, columns);
            sum[5] = multiply_add(sum[5], more_rows, columns);
        }
        if (QUADS > 2u) {
            let columns = b_block(4u * quad + 8u, k);
            sum[2] = multiply_add(sum[2], rows, columns);
            sum[6] = multiply_add(sum[6], more_rows, columns);
            let last_columns = b_block(4u * quad + 12u, k);
            sum[3] = multiply_add(sum[3], rows, last_columns);
            sum[7] = multiply_add(sum[7], more_rows, last_columns);
        }
    }
    store_block(row, quad, sum[0]);
    if (ROWS > 4u) {
        store_block(row + 4u, quad, sum[4]);
    }
    if (QUADS > 1u) {
        store_block(row, quad + 1u, sum[1]);
        store_block(row + 4u, quad + 1u, sum[5]);
    }
    if (QUADS > 2u) {
        store_block(row, quad + 2u, sum[2]);
        store_block(row + 4u, quad + 2u, sum[6]);
        store_block(row, quad + 3u, sum[3]);
        store_block(row + 4u, quad + 3u, sum[7]);
    }
}
