// One of the gradients of attention (+ its old contents), with probabilities p_ij = exp(q_i·k_j · scale - log_sum_i) computed once more
// and g_ij = p_ij · (grad_y_i·v_j - delta_i) · scale:
//   of q: Σ_j g_ij k_j    of k: Σ_i g_ij q_i    of v: Σ_i p_ij grad_y_i
// An invocation has a place of its own, whose gradient it computes, and goes over the others in order; with a query go q and grad_y,
// with a key k and v. Padding takes no part, whatever it holds.
struct Params {
    length: u32,
    token_stride: u32,
    stride: u32,
    heads: u32,
    sums_stride: u32,
    blocks: u32, // of WG places in a sequence
    scale: f32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read> log_sums: array<f32>;
@group(0) @binding(5) var<storage, read> deltas: array<f32>;
@group(0) @binding(6) var<storage, read> tokens: array<u32>;
@group(0) @binding(7) var<storage, read_write> grad: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

// What the gradient is of.
const QUERIES = 0u;
const VALUES = 2u;

// log_sum and delta of each place of the tile, where those are queries.
var<workgroup> sums_tile: array<vec2<f32>, TILE>;

fn of_query(start: u32, quad: u32) -> Pair {
    let at = columns_of(start, quad);
    let kept = inside(quad, HEAD);
    let first = select(vec4(0.0), vec4(q[at.x], q[at.y], q[at.z], q[at.w]), kept);
    let second = select(vec4(0.0), vec4(grad_y[at.x], grad_y[at.y], grad_y[at.z], grad_y[at.w]), kept);
    return Pair(first, second);
}

fn of_others(start: u32, quad: u32) -> Pair {
    if (OF == QUERIES) {
        return of_key(start, quad);
    }
    return of_query(start, quad);
}

fn of_own(start: u32, quad: u32) -> Pair {
    if (OF == QUERIES) {
        return of_query(start, quad);
    }
    return of_key(start, quad);
}

fn sums_of(sequence: u32, place: u32, head: u32) -> vec2<f32> {
    let at = (sequence * params.length + place) * params.sums_stride + head;
    return vec2(log_sums[at], deltas[at]);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = invocation(group, 0u) / WG;
    let sequence = block / (params.heads * params.blocks);
    let head = block / params.blocks % params.heads;
    let first_place = block % params.blocks * WG;
    let place = first_place + lane;
    let start = start_of(sequence, place, head);
    let counts = is_token(sequence, place);
    var own_first: array<vec4<f32>, QUADS>;
    var own_second: array<vec4<f32>, QUADS>;
    var sum: array<vec4<f32>, QUADS>;
    for (var i = 0u; i < QUADS; i++) {
        var pair = Pair(vec4(0.0), vec4(0.0));
        if (counts) {
            pair = of_own(start, i);
        }
        own_first[i] = pair.first * params.scale;
        own_second[i] = pair.second;
        sum[i] = vec4(0.0);
    }
    var own_sums = vec2(0.0);
    if (counts) {
        own_sums = sums_of(sequence, place, head);
    }
    var log_sum = vec4(own_sums.x);
    var delta = vec4(own_sums.y);
    // Tokens come first: where the block has none, there is nothing to do.
    let end = select(0u, params.length, is_token(sequence, first_place));
    for (var tile = 0u; tile < end; tile += TILE) {
        if (!is_token(sequence, tile)) {
            break;
        }
        if (lane < TILE) {
            var sums = vec2(0.0);
            if (is_token(sequence, tile + lane)) {
                sums = sums_of(sequence, tile + lane, head);
            }
            sums_tile[lane] = sums;
        }
        load_tile(sequence, head, tile, lane);
        let others = filled;
        for (var j = 0u; j < others; j += 4u) {
            var z = vec4(0.0);
            for (var i = 0u; i < QUADS; i++) {
                z += products(own_first[i], j, i);
            }
            if (OF != QUERIES) {
                let sums = array(sums_tile[j], sums_tile[j + 1u], sums_tile[j + 2u], sums_tile[j + 3u]);
                log_sum = vec4(sums[0].x, sums[1].x, sums[2].x, sums[3].x);
                delta = vec4(sums[0].y, sums[1].y, sums[2].y, sums[3].y);
            }
            let kept = j + vec4(0u, 1u, 2u, 3u) < vec4(others);
            // A probability: rounding must not make it exceed one.
            var weight = select(vec4(0.0), exp(clamp(z - log_sum, vec4(-80.0), vec4(0.0))), kept);
            if (OF != VALUES) {
                var slope = vec4(0.0);
                for (var i = 0u; i < QUADS; i++) {
                    let at = j * QUADS + i;
                    slope += vec4(
                        dot(own_second[i], second_tile[at]),
                        dot(own_second[i], second_tile[at + QUADS]),
                        dot(own_second[i], second_tile[at + 2u * QUADS]),
                        dot(own_second[i], second_tile[at + 3u * QUADS]),
                    );
                }
                weight *= (slope - delta) * params.scale;
            }
            for (var i = 0u; i < QUADS; i++) {
                let at = j * QUADS + i;
                if (OF == VALUES) {
                    let left = weight.x * second_tile[at] + weight.y * second_tile[at + QUADS];
                    sum[i] += left + (weight.z * second_tile[at + 2u * QUADS] + weight.w * second_tile[at + 3u * QUADS]);
                } else {
                    let left = weight.x * first_tile[at] + weight.y * first_tile[at + QUADS];
                    sum[i] += left + (weight.z * first_tile[at + 2u * QUADS] + weight.w * first_tile[at + 3u * QUADS]);
                }
            }
        }
        workgroupBarrier();
    }
    if (place < params.length) {
        // What is no token has gone through all sums along with its group.
        for (var i = 0u; i < HEAD; i++) {
            let value = select(0.0, sum[i / 4u][i % 4u], counts);
            if (params.accumulate != 0u) {
                grad[start + i] += value;
            } else {
                grad[start + i] = value;
            }
        }
        if ((head == params.heads - 1u) && (params.accumulate == 0u)) {
            let row = sequence * params.length + place;
            for (var i = params.heads * HEAD; i < params.stride; i++) {
                grad[row * params.stride + i] = 0.0;
            }
        }
    }
}
