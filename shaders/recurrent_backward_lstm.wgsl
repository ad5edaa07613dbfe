// Of long short-term memory. What stands beside is the gradient of the cell.
const GATES = 4u;

fn beside_last(at: u32) -> f32 {
    return grad_last[at + WIDTH];
}

fn retreat(u: u32, slope: f32, row: u32, earlier: u32, is_later: bool) {
    let at = row * params.kept_stride + u;
    let to = row * params.grad_stride + u;
    let i = kept[at];
    let f = kept[at + WIDTH];
    let g = kept[at + 2u * WIDTH];
    let o = kept[at + 3u * WIDTH];
    let t = hyperbolic_tangent(kept[at + 4u * WIDTH]);
    var c = 0.0;
    if (is_later) {
        c = kept[earlier * params.kept_stride + 4u * WIDTH + u];
    }
    let of_cell = beside[u] + slope * o * (1.0 - t * t);
    let by_gates = array(of_cell * g * (i * (1.0 - i)), of_cell * c * (f * (1.0 - f)), of_cell * i * (1.0 - g * g), slope * t * (o * (1.0 - o)));
    beside[u] = of_cell * f;
    slopes[u] = by_gates[0];
    slopes[WIDTH + u] = by_gates[1];
    slopes[2u * WIDTH + u] = by_gates[2];
    slopes[3u * WIDTH + u] = by_gates[3];
    grad[to] = by_gates[0];
    grad[to + WIDTH] = by_gates[1];
    grad[to + 2u * WIDTH] = by_gates[2];
    grad[to + 3u * WIDTH] = by_gates[3];
}

fn clear(at: u32) {
    grad[at] = 0.0;
}
