// A loss for each row, and its logΣexp, which the backward pass wants. The kernel says how a row's exponentials are summed:
// (the largest term, log Σ exp(term - largest)). And what the loss is, given those.
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
    let sum = log_sum_exp(i);
    loss[i] = loss_of(i, sum.x, sum.y);
    log_sum[i] = sum.x + sum.y;
}
