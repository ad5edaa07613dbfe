// The places of tokens in order of the tokens, within each block of BLOCK; equal tokens in order of their places.
struct Params {
    count: u32,
}
@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = invocation(group, lane);
    if (place >= params.count) {
        return;
    }
    let first = place - place % BLOCK;
    let token = tokens[place];
    var rank = first;
    for (var other = first; other < min(first + BLOCK, params.count); other++) {
        let before = tokens[other] < token || (tokens[other] == token && other < place);
        rank += select(0u, 1u, before);
    }
    order[rank] = place;
}
