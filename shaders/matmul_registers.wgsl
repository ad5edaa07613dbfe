// Each invocation keeps ROWS x (4·QUADS) outputs in registers and loads blocks straight from the operands: no shared
// memory, no barrier. ROWS is 4, 8 or 16, QUADS is 1, 2 or 4; compilers drop what smaller tiles have no use for, and sums
// of rows that nobody stores.
//
// Blocks are written out, not looped over: with constant indices every compiler keeps `sum` in registers, while loops over
// it are left as they are by some, which costs a third of the speed on llvmpipe.
fn store_block(part: u32, row: u32, quad: u32, sum: mat4x4<f32>) {
    let shift = column_shift(quad);
    store(part, row, quad, shift, sum[0]);
    store(part, row + 1u, quad, shift, sum[1]);
    store(part, row + 2u, quad, shift, sum[2]);
    store(part, row + 3u, quad, shift, sum[3]);
}

fn add_columns(sum: vec4<f32>, block: mat4x4<f32>) -> vec4<f32> {
    return (((sum + block[0]) + block[1]) + block[2]) + block[3];
}

fn store_blocks(part: u32, row: u32, quad: u32, s0: mat4x4<f32>, s1: mat4x4<f32>, s2: mat4x4<f32>, s3: mat4x4<f32>) {
    store_block(part, row, quad, s0);
    if (QUADS > 1u) {
        store_block(part, row, quad + 1u, s1);
    }
    if (QUADS > 2u) {
        store_block(part, row, quad + 2u, s2);
        store_block(part, row, quad + 3u, s3);
    }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = invocation(group, lane);
    let tile_cols = (params.c_quads + QUADS - 1u) / QUADS;
    let tile_rows = (params.m + ROWS - 1u) / ROWS;
    let part = tile / (tile_cols * tile_rows);
    let row = (tile / tile_cols % tile_rows) * ROWS;
    let quad = (tile % tile_cols) * QUADS;
    var sum: array<mat4x4<f32>, 16>; // quad q of rows 4·r to 4·r + 3 is sum[4·r + q]
    var row_sum: array<vec4<f32>, 4>;
    let end = min((part + 1u) * params.part_k, params.k);
    for (var k = part * params.part_k; k < end; k += 4u) {
        let columns0 = b_block(4u * quad, k);
        var columns1 = mat4x4<f32>();
        var columns2 = mat4x4<f32>();
        var columns3 = mat4x4<f32>();
        if (QUADS > 1u) {
            columns1 = b_block(4u * quad + 4u, k);
        }
        if (QUADS > 2u) {
            columns2 = b_block(4u * quad + 8u, k);
            columns3 = b_block(4u * quad + 12u, k);
        }
        let rows0 = a_block(row, k);
        sum[0] = multiply_add(sum[0], rows0, columns0);
        sum[1] = multiply_add(sum[1], rows0, columns1);
        sum[2] = multiply_add(sum[2], rows0, columns2);
        sum[3] = multiply_add(sum[3], rows0, columns3);
        row_sum[0] = add_columns(row_sum[0], rows0);
        if (ROWS > 4u) {
            let rows1 = a_block(row + 4u, k);
            sum[4] = multiply_add(sum[4], rows1, columns0);
            sum[5] = multiply_add(sum[5], rows1, columns1);
            sum[6] = multiply_add(sum[6], rows1, columns2);
            sum[7] = multiply_add(sum[7], rows1, columns3);
            row_sum[1] = add_columns(row_sum[1], rows1);
        }
        if (ROWS > 8u) {
            let rows2 = a_block(row + 8u, k);
            sum[8] = multiply_add(sum[8], rows2, columns0);
            sum[9] = multiply_add(sum[9], rows2, columns1);
            sum[10] = multiply_add(sum[10], rows2, columns2);
            sum[11] = multiply_add(sum[11], rows2, columns3);
            row_sum[2] = add_columns(row_sum[2], rows2);
            let rows3 = a_block(row + 12u, k);
            sum[12] = multiply_add(sum[12], rows3, columns0);
            sum[13] = multiply_add(sum[13], rows3, columns1);
            sum[14] = multiply_add(sum[14], rows3, columns2);
            sum[15] = multiply_add(sum[15], rows3, columns3);
            row_sum[3] = add_columns(row_sum[3], rows3);
        }
    }
    store_blocks(part, row, quad, sum[0], sum[1], sum[2], sum[3]);
    store_sums(part, row, quad, row_sum[0]);
    if (ROWS > 4u) {
        store_blocks(part, row + 4u, quad, sum[4], sum[5], sum[6], sum[7]);
        store_sums(part, row + 4u, quad, row_sum[1]);
    }
    if (ROWS > 8u) {
        store_blocks(part, row + 8u, quad, sum[8], sum[9], sum[10], sum[11]);
        store_sums(part, row + 8u, quad, row_sum[2]);
        store_blocks(part, row + 12u, quad, sum[12], sum[13], sum[14], sum[15]);
        store_sums(part, row + 12u, quad, row_sum[3]);
    }
}
