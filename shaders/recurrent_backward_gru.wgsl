// Of a gated recurrent unit, whose r stands between w_n h + b_n and n: that product's gradient is one of its own. What stands beside is
// z times the gradient of the state.
@group(0) @binding(6) var<storage, read> before: array<f32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>;
const GATES = 3u;

fn beside_last(at: u32) -> f32 {
    return 0.0;
}

fn retreat(u: u32, above: f32, row: u32, earlier: u32, is_later: bool) {
    let at = row * params.kept_stride + u;
    let to = row * params.grad_stride + u;
    let r = kept[at];
    let z = kept[at + WIDTH];
    let n = kept[at + 2u * WIDTH];
    let slope = above + beside[u];
    let by_z = slope * (before[row * params.stride + u] - n) * (z * (1.0 - z));
    let by_n = slope * (1.0 - z) * (1.0 - n * n);
    let by_r = by_n * kept[at + 3u * WIDTH] * (r * (1.0 - r));
    beside[u] = slope * z;
    slopes[u] = by_r;
    slopes[WIDTH + u] = by_z;
    slopes[2u * WIDTH + u] = by_n * r;
    grad[to] = by_r;
    grad[to + WIDTH] = by_z;
    grad[to + 2u * WIDTH] = by_n;
    hidden[to] = by_r;
    hidden[to + WIDTH] = by_z;
    hidden[to + 2u * WIDTH] = by_n * r;
}

fn clear(at: u32) {
    grad[at] = 0.0;
    hidden[at] = 0.0;
}
