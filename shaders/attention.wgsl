// y = softmax(q kᵀ · scale) v for each head, over the keys that are tokens; log_sums = logΣexp(q kᵀ · scale). The softmax streams over
// the keys: largest logit and sums so far, rescaled where a larger one comes (Dao et al., FlashAttention, 2022). An invocation is a
// query of a head.
struct Params {
    length: u32,
    token_stride: u32,
    stride: u32,
    heads: u32,
    sums_stride: u32,
    blocks: u32, // of WG queries in a sequence
    scale: f32,
}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

const LEAST = -3.4e38;

fn of_others(start: u32, quad: u32) -> Pair {
    return of_key(start, quad);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = invocation(group, 0u) / WG;
    let sequence = block / (params.heads * params.blocks);
    let head = block / params.blocks % params.heads;
    let first_query = block % params.blocks * WG;
    let query = first_query + lane;
    let start = start_of(sequence, query, head);
    let counts = is_token(sequence, query);
    var own: array<vec4<f32>, QUADS>;
    var sum: array<vec4<f32>, QUADS>;
    for (var i = 0u; i < QUADS; i++) {
        own[i] = vec4(0.0);
        sum[i] = vec4(0.0);
        if (counts) {
            let at = columns_of(start, i);
            own[i] = select(vec4(0.0), vec4(q[at.x], q[at.y], q[at.z], q[at.w]) * params.scale, inside(i, HEAD));
        }
    }
    var largest = LEAST;
    var total = 0.0;
    // Tokens come first: where the block has none, there is nothing to do.
    let end = select(0u, params.length, is_token(sequence, first_query));
    for (var tile = 0u; tile < end; tile += TILE) {
        if (!is_token(sequence, tile)) {
            break;
        }
        load_tile(sequence, head, tile, lane);
        let keys = filled;
        for (var j = 0u; j < keys; j += 4u) {
            var z = vec4(0.0);
            for (var i = 0u; i < QUADS; i++) {
                z += products(own[i], j, i);
            }
            let kept = j + vec4(0u, 1u, 2u, 3u) < vec4(keys);
            z = select(vec4(LEAST), z, kept);
            let top = max(largest, max(max(z.x, z.y), max(z.z, z.w)));
            let p = select(vec4(0.0), exp(max(z - top, vec4(-80.0))), kept);
            // Where nothing changes, exponentials of zero would add up their errors.
            var rescale = 1.0;
            if (top > largest) {
                rescale = exp(max(largest - top, -80.0));
            }
            total = total * rescale + ((p.x + p.y) + (p.z + p.w));
            for (var i = 0u; i < QUADS; i++) {
                let at = j * QUADS + i;
                let left = p.x * second_tile[at] + p.y * second_tile[at + QUADS];
                let right = p.z * second_tile[at + 2u * QUADS] + p.w * second_tile[at + 3u * QUADS];
                sum[i] = sum[i] * rescale + (left + right);
            }
            largest = top;
        }
        workgroupBarrier();
    }
    if (query < params.length) {
        var inverse = 0.0;
        var log_sum = 0.0;
        if (counts) {
            inverse = 1.0 / total;
            log_sum = largest + log(total);
        }
        for (var i = 0u; i < HEAD; i++) {
            y[start + i] = sum[i / 4u][i % 4u] * inverse;
        }
        let row = sequence * params.length + query;
        log_sums[row * params.sums_stride + head] = log_sum;
        if (head == params.heads - 1u) {
            for (var i = params.heads * HEAD; i < params.stride; i++) {
                y[row * params.stride + i] = 0.0;
            }
            for (var i = params.heads; i < params.sums_stride; i++) {
                log_sums[row * params.sums_stride + i] = 0.0;
            }
        }
    }
}
