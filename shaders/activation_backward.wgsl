// grad_x = grad_y · f'(x) (+ old grad_x). `kept` is x for GELU, whose derivative is Φ(x) + x φ(x), for its approximation, for SiLU, σ(x) + x σ(x) σ(-x), and for
// the piecewise linear ones (a division may have rounded where y is 1); for the others it is y, of which tanh's and sigmoid's are
// 1 - y² and y (1 - y).
const GELU = 0u;
const TANH = 1u;
const SIGMOID = 2u;
const SILU = 3u;
const RELU6 = 4u;
const HARD_SIGMOID = 5u;
const HARD_SWISH = 6u;
const LEAKY_FLOOR = 7u;
const GELU_TANH = 8u;
struct Params {
    size: u32,
    accumulate: u32,
}
@group(0) @binding(0) var<storage, read> kept: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> grad_y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grad_x: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

fn derivative(v: vec4<f32>) -> vec4<f32> {
    if (FUNCTION == GELU) {
        let u = within_far(v);
        let bell = exp(-0.5 * u * u);
        let tail = bell * tail_ratio(u);
        let slope = 0.3989423 * u * bell;
        return select(1.0 - tail + slope, tail - slope, v < vec4(0.0));
    }
    if (FUNCTION == GELU_TANH) {
        let u = within_far(v);
        let e = exp(-bent(u));
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let slope = u * (large * small) * (1.5957691 * (1.0 + 3.0 * 0.044715 * u * u));
        return select(large + slope, small - slope, v < vec4(0.0));
    }
    if (FUNCTION == TANH) {
        return (1.0 - v) * (1.0 + v);
    }
    if (FUNCTION == SILU) {
        let x = clamp(v, vec4(-87.0), vec4(87.0));
        let e = exp(-abs(x));
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        return select(large, small, x < vec4(0.0)) + x * (large * small);
    }
    if (FUNCTION == RELU6) {
        return select(vec4(0.0), vec4(1.0), (v > vec4(0.0)) & (v < vec4(6.0)));
    }
    if (FUNCTION == HARD_SIGMOID) {
        return select(vec4(0.0), vec4(1.0 / 6.0), (v > vec4(-3.0)) & (v < vec4(3.0)));
    }
    if (FUNCTION == HARD_SWISH) {
        let inside = select((2.0 * v + 3.0) / 6.0, vec4(1.0), v >= vec4(3.0));
        return select(inside, vec4(0.0), v <= vec4(-3.0));
    }
    if (FUNCTION == LEAKY_FLOOR) {
        return select(vec4(0.0), select(vec4(0.2), vec4(1.0), v > vec4(0.0)), v > vec4(-0.4));
    }
    return v * (1.0 - v);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.size) {
        return;
    }
    let value = grad_y[i] * derivative(kept[i]);
    if (params.accumulate != 0u) {
        grad_x[i] += value;
    } else {
        grad_x[i] = value;
    }
}
