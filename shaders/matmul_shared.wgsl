// A group of 8 x 8 invocations computes a tile of (8·ROWS) x (32·QUADS) outputs, ROWS x (4·QUADS) of them each. Slices of
// DEPTH k of both operands pass through workgroup memory, so that each value is loaded from the operands once per tile
// and not once per invocation: 8·ROWS·DEPTH + 32·QUADS·DEPTH floats, 8 KiB and padding in both sizes used, with two
// barriers per slice.
//
// Slices lie k by k as vec4s over rows (of a) and over columns (of b): the inner loop reads ROWS/4 + QUADS vec4s for
// 4·ROWS·QUADS multiply-adds, those of a the same for a row of invocations (a broadcast), those of b next to each other.
// A line is one vec4 longer than its contents, which spreads the transposing stores of a over the banks. Loads run along
// k where k runs along the row: eight invocations read 128 consecutive bytes.
//
// Registers: ROWS·QUADS vec4 accumulators (4 or 16) and a few vec4s more, which leaves several groups per core. 4 x 4
// outputs each and slices through shared memory are what reached 33 to 67 % of peak on an M2 (wgpu-mm), and are the best
// single choice over four vendors (ggml-webgpu); 8 x 8 is for large outputs, and `tune` for what this rule gets wrong.
const SIDE = 8u;
const A_BLOCKS = SIDE * ROWS / 4u;
const B_BLOCKS = SIDE * QUADS;
const K_BLOCKS = DEPTH / 4u;
var<workgroup> a_slice: array<array<vec4<f32>, A_BLOCKS + 1u>, DEPTH>;
var<workgroup> b_slice: array<array<vec4<f32>, B_BLOCKS + 1u>, DEPTH>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = invocation(group, 0u) / WG;
    let tile_cols = (params.c_quads + B_BLOCKS - 1u) / B_BLOCKS;
    let tile_rows = (params.m + 4u * A_BLOCKS - 1u) / (4u * A_BLOCKS);
    let part = tile / (tile_cols * tile_rows);
    let first_row = (tile / tile_cols % tile_rows) * (4u * A_BLOCKS);
    let first_quad = (tile % tile_cols) * B_BLOCKS;
    let y = lane / SIDE;
    let x = lane % SIDE;
    var sum: array<array<vec4<f32>, QUADS>, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        for (var q = 0u; q < QUADS; q++) {
            sum[r][q] = vec4(0.0);
        }
    }
    var row_sum: array<vec4<f32>, ROWS / 4u>;
    let end = min((part + 1u) * params.part_k, params.k);
    for (var k = part * params.part_k; k < end; k += DEPTH) {
        for (var i = lane; i < A_BLOCKS * K_BLOCKS; i += WG) {
            let block = a_block(first_row + 4u * (i / K_BLOCKS), k + 4u * (i % K_BLOCKS));
            for (var j = 0u; j < 4u; j++) {
                a_slice[4u * (i % K_BLOCKS) + j][i / K_BLOCKS] = block[j];
            }
        }
        for (var i = lane; i < B_BLOCKS * K_BLOCKS; i += WG) {
            let block = b_block(4u * (first_quad + i / K_BLOCKS), k + 4u * (i % K_BLOCKS));
            for (var j = 0u; j < 4u; j++) {
                b_slice[4u * (i % K_BLOCKS) + j][i / K_BLOCKS] = block[j];
            }
        }
        workgroupBarrier();
        let depth = min(DEPTH, end - k);
        for (var j = 0u; j < depth; j++) {
            var columns = array<vec4<f32>, QUADS>();
            for (var q = 0u; q < QUADS; q++) {
                columns[q] = b_slice[j][x + SIDE * q];
            }
            for (var r = 0u; r < ROWS; r += 4u) {
                let rows = a_slice[j][y + SIDE * (r / 4u)];
                if (SUMS && first_quad == 0u) {
                    row_sum[r / 4u] += rows;
                }
                for (var q = 0u; q < QUADS; q++) {
                    sum[r][q] += rows.x * columns[q];
                    sum[r + 1u][q] += rows.y * columns[q];
                    sum[r + 2u][q] += rows.z * columns[q];
                    sum[r + 3u][q] += rows.w * columns[q];
                }
            }
        }
        workgroupBarrier();
    }
    for (var q = 0u; q < QUADS; q++) {
        let quad = first_quad + x + SIDE * q;
        let shift = column_shift(quad);
        for (var r = 0u; r < ROWS; r++) {
            store(part, first_row + 4u * (y + SIDE * (r / 4u)) + r % 4u, quad, shift, sum[r][q]);
        }
    }
    for (var r = 0u; r < ROWS; r += 4u) {
        store_sums(part, first_row + 4u * (y + SIDE * (r / 4u)), first_quad + x, row_sum[r / 4u]);
    }
}
