// loss = logΣexp(z) - (1 - s) z[target] - s mean(z) for each row, s the label smoothing.
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

fn loss_of(row: u32, largest: f32, log_of_sum: f32) -> f32 {
    let start = row * params.stride;
    var total = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        total += logits[start + c] - largest;
    }
    let target_logit = logits[start + targets[row]] - largest;
    return log_of_sum - (1.0 - params.smoothing) * target_logit - params.smoothing * total / f32(params.cols);
}
