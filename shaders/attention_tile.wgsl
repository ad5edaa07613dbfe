// What attention has in common with its gradients: an invocation has a place of a sequence, its own, and goes over the others, which
// pass through workgroup memory, TILE places at a time, so that each is loaded once for all invocations of a group. `of_others` says
// what is loaded of a place.
struct Pair {
    first: vec4<f32>,
    second: vec4<f32>,
}

const QUADS = (HEAD + 3u) / 4u;
var<workgroup> first_tile: array<vec4<f32>, TILE * QUADS>;
var<workgroup> second_tile: array<vec4<f32>, TILE * QUADS>;
// Places of the tile that have a token: the first ones.
var<workgroup> filled: u32;

fn is_token(sequence: u32, place: u32) -> bool {
    return (place < params.length) && (tokens[sequence * params.token_stride + place] != NO_TOKEN);
}

// Where the columns of a head begin in the row of a place.
fn start_of(sequence: u32, place: u32, head: u32) -> u32 {
    return (sequence * params.length + place) * params.stride + head * HEAD;
}

// Where the values of a quad of a head lie. Behind its last column that is another time its last value: not to be used.
fn columns_of(start: u32, quad: u32) -> vec4<u32> {
    return start + min(4u * quad + vec4(0u, 1u, 2u, 3u), vec4(HEAD - 1u));
}

fn of_key(start: u32, quad: u32) -> Pair {
    let at = columns_of(start, quad);
    let kept = inside(quad, HEAD);
    let first = select(vec4(0.0), vec4(k[at.x], k[at.y], k[at.z], k[at.w]), kept);
    let second = select(vec4(0.0), vec4(v[at.x], v[at.y], v[at.z], v[at.w]), kept);
    return Pair(first, second);
}

// Before: a barrier since the last use of a tile. What is no token may hold anything and counts as zeros.
fn load_tile(sequence: u32, head: u32, start: u32, lane: u32) {
    for (var i = lane; i < TILE * QUADS; i += WG) {
        let place = start + i / QUADS;
        var pair = Pair(vec4(0.0), vec4(0.0));
        if (is_token(sequence, place)) {
            pair = of_others(start_of(sequence, place, head), i % QUADS);
        }
        first_tile[i] = pair.first;
        second_tile[i] = pair.second;
    }
    if (lane < TILE) {
        let place = start + lane;
        if (is_token(sequence, place) && ((lane == TILE - 1u) || !is_token(sequence, place + 1u))) {
            filled = lane + 1u;
        }
    }
    workgroupBarrier();
}

// `own` times four places of the tile.
fn products(own: vec4<f32>, first: u32, quad: u32) -> vec4<f32> {
    let at = first * QUADS + quad;
    return vec4(
        dot(own, first_tile[at]),
        dot(own, first_tile[at + QUADS]),
        dot(own, first_tile[at + 2u * QUADS]),
        dot(own, first_tile[at + 3u * QUADS]),
    );
}
