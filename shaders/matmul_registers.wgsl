// Each invocation keeps ROWS x (4·QUADS) outputs in registers and loads blocks straight from the operands: no shared
// memory, no barrier.
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
            columns[q] = b_block((quad + q) * 4u, k);
        }
        for (var r = 0u; r < ROWS; r += 4u) {
            let rows = a_block(row + r, k);
            for (var i = 0u; i < 4u; i++) {
                for (var q = 0u; q < QUADS; q++) {
                    sum[r][q] += rows[i].x * columns[q][i];
                    sum[r + 1u][q] += rows[i].y * columns[q][i];
                    sum[r + 2u][q] += rows[i].z * columns[q][i];
                    sum[r + 3u][q] += rows[i].w * columns[q][i];
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        for (var q = 0u; q < QUADS; q++) {
            store(row + r, quad + q, sum[r][q]);
        }
    }
}
