// Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000) in PyTorch's form: i, f and o are sigmoids, g is a tanh,
// the next cell is f c + i g, and the next state is o tanh(c). Kept: i, f, g, o, c.
const GATES = 4u;
const KEPT = 5u;
const STATES = 2u;

// c: each unit's is of one invocation alone.
var<workgroup> cells: array<f32, WIDTH>;

fn begin(lane: u32) {
    for (var u = lane; u < WIDTH; u += WG) {
        cells[u] = 0.0;
    }
}

// Unit u of the next state.
fn advance(u: u32, x_at: u32, kept_at: u32) -> f32 {
    let i = sigmoid(x[x_at] + sums[u]);
    let f = sigmoid(x[x_at + WIDTH] + sums[WIDTH + u]);
    let g = hyperbolic_tangent(x[x_at + 2u * WIDTH] + sums[2u * WIDTH + u]);
    let o = sigmoid(x[x_at + 3u * WIDTH] + sums[3u * WIDTH + u]);
    let c = f * cells[u] + i * g;
    cells[u] = c;
    kept[kept_at] = i;
    kept[kept_at + WIDTH] = f;
    kept[kept_at + 2u * WIDTH] = g;
    kept[kept_at + 3u * WIDTH] = o;
    kept[kept_at + 4u * WIDTH] = c;
    return o * hyperbolic_tangent(c);
}

// h, then c.
fn state_of(i: u32) -> f32 {
    if (i < WIDTH) {
        return units[i];
    }
    return cells[i - WIDTH];
}
