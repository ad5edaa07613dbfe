// What connectionist temporal classification has in common with its gradient: a workgroup walks through a sample, step by step. Its states
// are the letters of the target with a blank before, between and behind them: odd ones are letters.
// The logarithm of what cannot be.
const LEAST = -1e30;

var<workgroup> steps_found: u32;
var<workgroup> letters_found: u32;
var<workgroup> repeats_found: u32;
var<workgroup> of_lanes: array<f32, WG>;

struct Walk {
    // Of a target that fits; of others none.
    steps: u32,
    letters: u32,
    states: u32,
    fits: bool,
}

fn is_step(example: u32, place: u32) -> bool {
    return (place < params.time) && (steps[example * params.step_stride + place] != NO_TOKEN);
}

fn letter(example: u32, place: u32) -> u32 {
    return targets[example * params.target_stride + place];
}

fn is_letter(example: u32, place: u32) -> bool {
    return (place < LONGEST) && (letter(example, place) != NO_TOKEN);
}

fn walk_of(example: u32, lane: u32) -> Walk {
    if (lane == 0u) {
        steps_found = 0u;
        letters_found = 0u;
        repeats_found = 0u;
    }
    workgroupBarrier();
    for (var place = lane; place < params.time; place += WG) {
        if (is_step(example, place) && !is_step(example, place + 1u)) {
            steps_found = place + 1u;
        }
    }
    for (var place = lane; place < LONGEST; place += WG) {
        if (is_letter(example, place) && !is_letter(example, place + 1u)) {
            letters_found = place + 1u;
        }
    }
    let steps = workgroupUniformLoad(&steps_found);
    let letters = workgroupUniformLoad(&letters_found);
    if (lane == 0u) {
        var repeats = 0u;
        for (var place = 1u; place < letters; place++) {
            if (letter(example, place) == letter(example, place - 1u)) {
                repeats++;
            }
        }
        repeats_found = repeats;
    }
    // Between equal letters there must be a blank.
    let fits = steps >= letters + workgroupUniformLoad(&repeats_found);
    return Walk(select(0u, steps, fits), letters, 2u * letters + 1u, fits);
}

// The class of a state.
fn class_of(example: u32, state: u32) -> u32 {
    if (state % 2u == 0u) {
        return 0u;
    }
    return letter(example, state / 2u);
}

// Whether a path may go on to a state from the last but one: to a letter that is another than that.
fn may_skip(example: u32, state: u32) -> bool {
    if ((state % 2u == 0u) || (state < 3u)) {
        return false;
    }
    return letter(example, state / 2u) != letter(example, state / 2u - 1u);
}

// log(exp(a) + exp(b) + exp(c))
fn log_add(a: f32, b: f32, c: f32) -> f32 {
    let largest = max(max(a, b), c);
    return largest + log(exp(max(a - largest, -80.0)) + exp(max(b - largest, -80.0)) + exp(max(c - largest, -80.0)));
}

// Of all lanes, for all of them.
fn largest_of(lane: u32, value: f32) -> f32 {
    of_lanes[lane] = value;
    workgroupBarrier();
    var largest = of_lanes[0];
    for (var i = 1u; i < WG; i++) {
        largest = max(largest, of_lanes[i]);
    }
    workgroupBarrier();
    return largest;
}
