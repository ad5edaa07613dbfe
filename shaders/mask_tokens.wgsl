// Of each text, some tokens that are no special ones, drawn by a keyed bijection of their places: what they are is kept as a target, and
// in their place comes the mask, another token or the same. An invocation is a text; one more clears places beyond the last text's.
struct Params {
    texts: u32,
    width: u32,
    slots: u32, // of a text
    count: u32, // of places in all
    percent: u32,
    mask: u32,
    before: u32,
    after: u32,
    vocabulary: u32,
    masked_below: u32,
    random_below: u32,
    key_low: u32,
    key_high: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> tokens: array<u32>;
@group(0) @binding(2) var<storage, read_write> masked: array<u32>;
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
@group(0) @binding(4) var<storage, read_write> targets: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let text = invocation(group, lane);
    if (text > params.texts) {
        return;
    }
    var slot = text * params.slots;
    var end = min(slot + params.slots, params.count);
    if (text < params.texts) {
        let start = text * params.width;
        var length = 0u;
        for (var i = 0u; i < params.width; i++) {
            masked[start + i] = tokens[start + i];
            length += select(0u, 1u, tokens[start + i] != NO_TOKEN);
        }
        let free = length - min(length, params.before + params.after);
        let wanted = min(max((free * params.percent + 50u) / 100u, min(free, 1u)), params.slots);
        let half_bits = max((33u - countLeadingZeros(max(free, 1u) - 1u)) / 2u, 1u);
        let key = threefry(vec2(params.key_low, params.key_high), vec2(clock[0], text));
        let order = threefry(key, vec2(0u, 1u));
        for (var i = 0u; i < wanted; i++) {
            let place = start + params.before + permute(order, free, half_bits, i);
            let token = tokens[place];
            let draw = threefry(key, vec2(i, 0u));
            let share = draw.x >> 8u;
            places[slot] = place;
            targets[slot] = token;
            if (share < params.masked_below) {
                masked[place] = params.mask;
            } else if (share < params.random_below) {
                masked[place] = draw.y % params.vocabulary;
            }
            slot++;
        }
    } else {
        end = params.count;
    }
    for (; slot < end; slot++) {
        places[slot] = NO_TOKEN;
        targets[slot] = NO_TOKEN;
    }
}
