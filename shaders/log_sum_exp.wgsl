// (the largest logit of a row, log Σ exp(logit - largest)): the sum is at least 1, so its logarithm at least 0.
fn log_sum_exp(row: u32) -> vec2<f32> {
    let start = row * params.stride;
    var largest = logits[start];
    for (var c = 1u; c < params.cols; c++) {
        largest = max(largest, logits[start + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        sum += exp(max(logits[start + c] - largest, -80.0));
    }
    return vec2(largest, log(sum));
}
