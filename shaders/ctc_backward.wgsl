// The gradient of the mean loss: softmax less the share of each class in the paths that say the target, by the backward variables of
// Graves et al. (2006). The shares of a step are divided by their sum, so that no error of a step goes beyond it.
struct Params {
    time: u32,
    step_stride: u32,
    target_stride: u32,
    cols: u32,
    stride: u32, // of logits and their gradient
    sum_stride: u32,
    alpha_stride: u32,
    batch: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> steps: array<u32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> log_sums: array<f32>;
@group(0) @binding(4) var<storage, read> alphas: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// What paths may still say, with the class of the step, of this step and of the next one.
var<workgroup> beta: array<f32, 2u * STATES>;
var<workgroup> shares: array<f32, STATES>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let example = invocation(group, 0u) / WG;
    let walk = walk_of(example, lane);
    let first_row = example * params.time;
    let weight = 1.0 / (f32(params.batch) * max(f32(walk.letters), 1.0));
    for (var back = 0u; back < walk.steps; back++) {
        let step = walk.steps - 1u - back;
        let row = first_row + step;
        let log_sum = log_sums[example * params.sum_stride + step];
        let now = (step % 2u) * STATES;
        let next = STATES - now;
        var largest = LEAST;
        for (var s = lane; s < walk.states; s += WG) {
            var value = LEAST;
            if (back == 0u) {
                value = select(LEAST, 0.0, s + 2u >= walk.states);
            } else {
                var left = LEAST;
                var skipped = LEAST;
                if (s + 1u < walk.states) {
                    left = beta[next + s + 1u];
                }
                // A letter has a blank behind it.
                if (s + 3u < walk.states) {
                    if (may_skip(example, s + 2u)) {
                        skipped = beta[next + s + 2u];
                    }
                }
                value = log_add(beta[next + s], left, skipped);
            }
            beta[now + s] = value;
            largest = max(largest, value + alphas[row * params.alpha_stride + s]);
        }
        largest = largest_of(lane, largest);
        for (var s = lane; s < walk.states; s += WG) {
            let value = beta[now + s] - largest;
            shares[s] = exp(max(value + alphas[row * params.alpha_stride + s], -80.0));
            beta[now + s] = value + (logits[row * params.stride + class_of(example, s)] - log_sum);
        }
        workgroupBarrier();
        var sum = 0.0;
        for (var s = 0u; s < walk.states; s++) {
            sum += shares[s];
        }
        for (var c = lane; c < params.stride; c += WG) {
            var slope = 0.0;
            if (c < params.cols) {
                var said = 0.0;
                for (var s = select(1u, 0u, c == 0u); s < walk.states; s += 2u) {
                    if (class_of(example, s) == c) {
                        said += shares[s];
                    }
                }
                slope = weight * (exp(max(logits[row * params.stride + c] - log_sum, -80.0)) - said / sum);
            }
            dlogits[row * params.stride + c] = slope;
        }
        workgroupBarrier();
    }
    for (var step = walk.steps; step < params.time; step++) {
        for (var c = lane; c < params.stride; c += WG) {
            dlogits[(first_row + step) * params.stride + c] = 0.0;
        }
    }
}
