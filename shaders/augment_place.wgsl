// Where in the sample a pixel of a view comes from: the map in the draws that begin at quad `at`, and their elastic displacements.

// Of a node of the 4x4 grid, from the first pixel to the last.
fn displacement(at: u32, node: vec2<u32>) -> vec2<f32> {
    let pair = draws[at + 5u + 2u * node.y + node.x / 2u];
    return select(pair.xy, pair.zw, node.x % 2u == 1u);
}

fn elastic(at: u32, pixel: vec2<u32>) -> vec2<f32> {
    let last = max(vec2(params.width, params.height), vec2(2u)) - 1u;
    let cell = min(3u * pixel / last, vec2(2u));
    let f = vec2<f32>(3u * pixel - cell * last) / vec2<f32>(last);
    let above = displacement(at, cell) * (1.0 - f.x) + displacement(at, cell + vec2(1u, 0u)) * f.x;
    let below = displacement(at, cell + vec2(0u, 1u)) * (1.0 - f.x) + displacement(at, cell + vec2(1u, 1u)) * f.x;
    return above * (1.0 - f.y) + below * f.y;
}

fn place(at: u32, pixel: vec2<u32>) -> vec2<f32> {
    let middle = 0.5 * (vec2(f32(params.width), f32(params.height)) - 1.0);
    let d = vec2<f32>(pixel) - middle;
    let first = draws[at];
    let second = draws[at + 1u];
    var mapped = vec2(first.x * d.x + first.y * d.y + first.z, second.x * d.x + second.y * d.y + second.z) + middle;
    if (ELASTIC != 0u) {
        mapped += elastic(at, pixel);
    }
    return mapped;
}

