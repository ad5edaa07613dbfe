// -log of the probability that the steps of a sample say its target, over the target's length, by the forward variables of Graves et al.
// (2006) in logarithms; less the largest of a step, so that they stay small. 0 where a target does not fit into the steps.
struct Params {
    time: u32,
    step_stride: u32,
    target_stride: u32,
    cols: u32,
    stride: u32, // of logits
    sum_stride: u32,
    alpha_stride: u32,
    batch: u32,
    loss_stride: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> steps: array<u32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> alphas: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// Of this step and of the last one.
var<workgroup> alpha: array<f32, 2u * STATES>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let example = invocation(group, 0u) / WG;
    let walk = walk_of(example, lane);
    let first_row = example * params.time;
    for (var step = lane; step < params.sum_stride; step += WG) {
        var log_sum = 0.0;
        if (step < walk.steps) {
            let found = log_sum_exp(first_row + step);
            log_sum = found.x + found.y;
        }
        log_sums[example * params.sum_stride + step] = log_sum;
    }
    storageBarrier();
    var total = 0.0;
    for (var step = 0u; step < walk.steps; step++) {
        let row = first_row + step;
        let log_sum = log_sums[example * params.sum_stride + step];
        let now = (step % 2u) * STATES;
        let before = STATES - now;
        var largest = LEAST;
        for (var s = lane; s < walk.states; s += WG) {
            var value = LEAST;
            if (step == 0u) {
                value = select(LEAST, 0.0, s < 2u);
            } else {
                var entered = LEAST;
                var skipped = LEAST;
                if (s > 0u) {
                    entered = alpha[before + s - 1u];
                }
                if (may_skip(example, s)) {
                    skipped = alpha[before + s - 2u];
                }
                value = log_add(alpha[before + s], entered, skipped);
            }
            value += logits[row * params.stride + class_of(example, s)] - log_sum;
            alpha[now + s] = value;
            largest = max(largest, value);
        }
        largest = largest_of(lane, largest);
        total += largest;
        for (var s = lane; s < params.alpha_stride; s += WG) {
            var value = 0.0;
            if (s < walk.states) {
                value = alpha[now + s] - largest;
                alpha[now + s] = value;
            }
            alphas[row * params.alpha_stride + s] = value;
        }
        workgroupBarrier();
    }
    for (var step = walk.steps; step < params.time; step++) {
        for (var s = lane; s < params.alpha_stride; s += WG) {
            alphas[(first_row + step) * params.alpha_stride + s] = 0.0;
        }
    }
    if (lane != 0u) {
        return;
    }
    var of_sample = 0.0;
    if (walk.steps > 0u) {
        let last = ((walk.steps - 1u) % 2u) * STATES + walk.states - 1u;
        var in_letter = LEAST;
        if (walk.letters > 0u) {
            in_letter = alpha[last - 1u];
        }
        of_sample = -(total + log_add(alpha[last], in_letter, LEAST)) / max(f32(walk.letters), 1.0);
    }
    loss[example] = of_sample;
    if (example == 0u) {
        for (var pad = params.batch; pad < params.loss_stride; pad++) {
            loss[pad] = 0.0;
        }
    }
}
