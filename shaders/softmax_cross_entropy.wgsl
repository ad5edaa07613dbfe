// loss = logΣexp(z) - (1 - s) z[target] - s mean(z) for each row, s the label smoothing. The row maximum is subtracted
// first, so the sum is at least 1 and its logarithm at least 0. Keeps logΣexp for the backward pass.
struct Params {
    rows: u32,
    padded_rows: u32,
    cols: u32,
    stride: u32,
    smoothing: f32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.rows) {
        if (i < params.padded_rows) {
            loss[i] = 0.0;
            log_sum[i] = 0.0;
        }
        return;
    }
    let start = i * params.stride;
    var largest = logits[start];
    for (var c = 1u; c < params.cols; c++) {
        largest = max(largest, logits[start + c]);
    }
    var sum = 0.0;
    var total = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let z = logits[start + c] - largest;
        sum += exp(max(z, -80.0));
        total += z;
    }
    let log_of_sum = log(sum);
    let target_logit = logits[start + targets[i]] - largest;
    loss[i] = log_of_sum - (1.0 - params.smoothing) * target_logit - params.smoothing * total / f32(params.cols);
    log_sum[i] = largest + log_of_sum;
}
