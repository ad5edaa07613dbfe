// y = f(x): GELU x Φ(x) and its approximation by a sigmoid, tanh, sigmoid σ, SiLU x σ(x); ReLU6, the piecewise linear σ and x σ(x); and a leaky ReLU with an end. The smooth ones come from exp of
// what is not positive, which cannot overflow: WGSL has no erf, and its tanh is good to 1e-5 only.
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
    cols: u32,
    quads: u32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

fn f(x: vec4<f32>) -> vec4<f32> {
    if (FUNCTION == GELU) {
        let u = within_far(x);
        return select(x, vec4(0.0), x <= vec4(0.0)) - u * (exp(-0.5 * u * u) * tail_ratio(u));
    }
    if (FUNCTION == GELU_TANH) {
        let u = within_far(x);
        let e = exp(-bent(u));
        return select(x, vec4(0.0), x <= vec4(0.0)) - u * (e / (1.0 + e));
    }
    if (FUNCTION == TANH) {
        let e = exp(-2.0 * abs(x));
        let large = (1.0 - e) / (1.0 + e);
        // Near zero 1 - e would lose digits: the first terms of tanh's series, the next one below 2^-26 of x.
        let s = x * x;
        let small = x + x * s * (s * (s * (s * 0.021869488 - 0.053968254) + 0.13333333) - 0.33333333);
        return select(sign(x) * large, small, abs(x) < vec4(0.25));
    }
    if (FUNCTION == RELU6) {
        return clamp(x, vec4(0.0), vec4(6.0));
    }
    if (FUNCTION == HARD_SIGMOID) {
        return clamp(x + 3.0, vec4(0.0), vec4(6.0)) / 6.0;
    }
    if (FUNCTION == HARD_SWISH) {
        return x * (clamp(x + 3.0, vec4(0.0), vec4(6.0)) / 6.0);
    }
    if (FUNCTION == LEAKY_FLOOR) {
        return max(select(0.2 * x, x, x > vec4(0.0)), vec4(-0.4));
    }
    let e = exp(-abs(x));
    let large = 1.0 / (1.0 + e);
    let sigmoid = select(large, e * large, x < vec4(0.0));
    if (FUNCTION == SILU) {
        // Where σ vanishes a device may leave the smallest number, by which the largest must not be multiplied.
        return max(x, vec4(-87.0)) * sigmoid;
    }
    return sigmoid;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.size) {
        return;
    }
    // sigmoid(0) is not zero, and pads must be.
    y[i] = select(vec4(0.0), f(x[i]), inside(i % params.quads, params.cols));
}
