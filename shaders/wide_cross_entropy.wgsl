// loss = logΣexp(z) - z[target] for each row, 0 where the target is none; counted = 1 or 0. A workgroup is a row: its lanes share the
// columns, and their results meet in a tree.
struct Params {
    rows: u32,
    cols: u32,
    stride: u32,
    ignored: u32,
}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> counted: array<f32>;
@group(0) @binding(4) var<storage, read_write> log_sum: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const LEAST = -3.4e38;

var<workgroup> of_lanes: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = invocation(group, 0u) / WG;
    let start = row * params.stride;
    var largest = LEAST;
    for (var c = lane; c < params.cols; c += WG) {
        largest = max(largest, logits[start + c]);
    }
    of_lanes[lane] = largest;
    for (var reach = WG / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if (lane < reach) {
            of_lanes[lane] = max(of_lanes[lane], of_lanes[lane + reach]);
        }
    }
    workgroupBarrier();
    largest = of_lanes[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var c = lane; c < params.cols; c += WG) {
        sum += exp(max(logits[start + c] - largest, -80.0));
    }
    of_lanes[lane] = sum;
    for (var reach = WG / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if (lane < reach) {
            of_lanes[lane] += of_lanes[lane + reach];
        }
    }
    if (lane != 0u || row >= params.rows) {
        return;
    }
    let log_of_sum = log(of_lanes[0]);
    let wanted = targets[row];
    let counts = wanted != params.ignored && wanted < params.cols;
    var of_row = 0.0;
    if (counts) {
        of_row = log_of_sum - (logits[start + wanted] - largest);
    }
    loss[row] = of_row;
    counted[row] = select(0.0, 1.0, counts);
    log_sum[row] = largest + log_of_sum;
}
