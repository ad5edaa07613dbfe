// targets[r] = labels[indices[r]].
struct Params {
    rows: u32,
    padded_rows: u32,
}
@group(0) @binding(0) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> targets: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.padded_rows) {
        return;
    }
    targets[i] = select(0u, labels[indices[i]], i < params.rows);
}
