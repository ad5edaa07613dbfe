// A gated recurrent unit (Cho et al., 2014) in PyTorch's form: r and z are sigmoids, n = tanh(x_n + r (w_n h + b_n)) and the next state
// is (1 - z) n + z h. Kept: r, z, n, w_n h + b_n.
const GATES = 3u;
const KEPT = 4u;
const STATES = 1u;

fn begin(lane: u32) {}

// Unit u of the next state.
fn advance(u: u32, x_at: u32, kept_at: u32) -> f32 {
    let inner = sums[2u * WIDTH + u];
    let r = sigmoid(x[x_at] + sums[u]);
    let z = sigmoid(x[x_at + WIDTH] + sums[WIDTH + u]);
    let n = hyperbolic_tangent(x[x_at + 2u * WIDTH] + r * inner);
    kept[kept_at] = r;
    kept[kept_at + WIDTH] = z;
    kept[kept_at + 2u * WIDTH] = n;
    kept[kept_at + 3u * WIDTH] = inner;
    return (1.0 - z) * n + z * units[u];
}

fn state_of(i: u32) -> f32 {
    return units[i];
}
