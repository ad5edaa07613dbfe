// dlogits, four columns at a time: the kernel says what they are in a row, given the logits less the row's logΣexp.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let quad = i % params.quads;
    let g = gradient(row, 4u * quad + vec4(0u, 1u, 2u, 3u), logits[i] - log_sum[row]);
    dlogits[i] = select(vec4(0.0), g, inside(quad, params.cols));
}
