// Where in the order of all places those of a token begin: a search for each.
struct Params {
    count: u32,
    entries: u32, // of starts
    padded: u32,
}
@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = invocation(group, lane);
    if (token >= params.padded) {
        return;
    }
    var low = 0u;
    var high = params.count;
    while (low < high) {
        let center = (low + high) / 2u;
        if (tokens[order[center]] < token) {
            low = center + 1u;
        } else {
            high = center;
        }
    }
    starts[token] = select(0u, low, token < params.entries);
}
