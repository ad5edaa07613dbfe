// y = scale · Σ x over the rows of each part of each group of rows, ascending. Parts are equally many in all groups, and
// the last ones may be short or empty.
struct Params {
    rows: u32, // of y: groups times parts
    quads: u32,
    parts: u32,
    group_rows: u32,
    part_rows: u32,
    scale: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    let row = i / params.quads;
    if (row >= params.rows) {
        return;
    }
    let before = (row / params.parts) * params.group_rows;
    let part = row % params.parts;
    let end = min((part + 1u) * params.part_rows, params.group_rows);
    var sum = vec4(0.0);
    for (var r = part * params.part_rows; r < end; r++) {
        sum += x[(before + r) * params.quads + i % params.quads];
    }
    y[i] = params.scale * sum;
}
