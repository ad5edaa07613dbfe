// tokens[r] = the tokens of data[indices[r % samples]], without those of words that are left out, then NO_TOKEN. Of a text with more
// than `span` words, so many next to each other are looked at; each of these is left out with the same probability, but one stays.
struct Params {
    rows: u32,
    samples: u32,
    width: u32,
    data_stride: u32,
    span: u32, // 0 for all
    drop: u32, // probability in units of 2^-24
    key_low: u32,
    key_high: u32,
}
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = invocation(group, lane);
    if (row >= params.rows) {
        return;
    }
    let source = indices[row % params.samples];
    let first = source * params.data_stride;
    let length = lengths[source];
    let at = row * params.width;
    let key = threefry(vec2(params.key_low, params.key_high), vec2(clock[0], row));
    var words = 0u;
    if (params.drop > 0u || params.span > 0u) {
        for (var i = 0u; i < length; i++) {
            words += data[first + i] >> 31u;
        }
    }
    let draw = threefry(key, vec2(0u, 1u));
    let seen = select(words, min(words, params.span), params.span > 0u);
    let start = draw.y % (words - seen + 1u);
    let stays = start + draw.x % max(seen, 1u);
    var begun = 0u;
    var kept = true;
    var count = 0u;
    for (var i = 0u; i < length; i++) {
        let token = data[first + i];
        if (token >> 31u == 1u) {
            let within = words == 0u || (begun >= start && begun < start + seen);
            kept = begun == stays || (within && (threefry(key, vec2(begun, 0u)).x >> 8u) >= params.drop);
            begun++;
        }
        if (kept && count < params.width) {
            tokens[at + count] = token & 0x7FFFFFFFu;
            count++;
        }
    }
    for (; count < params.width; count++) {
        tokens[at + count] = NO_TOKEN;
    }
}
