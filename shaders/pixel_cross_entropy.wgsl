// terms = (weight · (logΣexp(z) - z[target]), weight) for each row, weight that of the target's class; (0, 0) where the
// target is to be ignored. Keeps logΣexp for the backward pass.
struct Params {
    rows: u32,
    padded_rows: u32,
    cols: u32,
    stride: u32,
    ignored: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> terms: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.padded_rows) {
        return;
    }
    var loss = 0.0;
    var weight = 0.0;
    var log_of_all = 0.0;
    if (i < params.rows) {
        let sum = log_sum_exp(i);
        log_of_all = sum.x + sum.y;
        let wanted = targets[i];
        if (wanted != params.ignored && wanted < params.cols) {
            weight = weights[wanted];
            loss = weight * (sum.y - (logits[i * params.stride + wanted] - sum.x));
        }
    }
    terms[i] = loss;
    terms[params.padded_rows + i] = weight;
    log_sum[i] = log_of_all;
}
