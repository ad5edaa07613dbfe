// What a recurrent layer has in common with its gradients: a workgroup walks through a sequence, step by step.
const UNIT_QUADS = (WIDTH + 3u) / 4u;
// Tokens of the sequence: the first places.
var<workgroup> filled: u32;

fn is_token(sequence: u32, place: u32) -> bool {
    return (place < params.length) && (tokens[sequence * params.token_stride + place] != NO_TOKEN);
}

// How many steps the sequence has.
fn count_of(sequence: u32, lane: u32) -> u32 {
    if (lane == 0u) {
        filled = 0u;
    }
    workgroupBarrier();
    for (var place = lane; place < params.length; place += WG) {
        if (is_token(sequence, place) && !is_token(sequence, place + 1u)) {
            filled = place + 1u;
        }
    }
    return workgroupUniformLoad(&filled);
}

// The row of a step: the first one is the last place if the layer goes backward.
fn row_of(sequence: u32, step: u32, count: u32) -> u32 {
    return sequence * params.length + select(step, count - 1u - step, REVERSE == 1u);
}

// σ and tanh from exp of what is not positive, which cannot overflow: WGSL's tanh is good to 1e-5 only.
fn sigmoid(a: f32) -> f32 {
    let e = exp(-abs(a));
    return select(1.0, e, a < 0.0) / (1.0 + e);
}

fn hyperbolic_tangent(a: f32) -> f32 {
    if (abs(a) < 0.25) {
        // Near zero 1 - e would lose digits: the first terms of tanh's series, the next one below 2^-26 of a.
        let s = a * a;
        return a + a * s * (s * (s * (s * 0.021869488 - 0.053968254) + 0.13333333) - 0.33333333);
    }
    let e = exp(-2.0 * abs(a));
    return sign(a) * ((1.0 - e) / (1.0 + e));
}
