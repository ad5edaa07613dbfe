// Pairs of sorted runs become one: each place goes as far as there are tokens before it in its own run and in the other.
struct Params {
    count: u32,
    run: u32,
}
@group(0) @binding(0) var<storage, read> tokens: array<u32>;
@group(0) @binding(1) var<storage, read> parts: array<u32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.count) {
        return;
    }
    let first = i - i % (2u * params.run);
    let middle = min(first + params.run, params.count);
    let in_first = i < middle;
    let place = parts[i];
    let token = tokens[place];
    // In the other run: of equal tokens, those of the first run come first.
    var low = select(first, middle, in_first);
    var high = select(middle, min(middle + params.run, params.count), in_first);
    let begin = low;
    while (low < high) {
        let center = (low + high) / 2u;
        let other = tokens[parts[center]];
        if (other < token || (other == token && !in_first)) {
            low = center + 1u;
        } else {
            high = center;
        }
    }
    order[i - select(middle - first, 0u, in_first) + low - begin] = place;
}
