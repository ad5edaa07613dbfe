// Past this the normal distribution has 2^-119 left.
const FAR: f32 = 12.6;

fn within_far(x: vec4<f32>) -> vec4<f32> {
    return select(abs(x), vec4(FAR), abs(x) > vec4(FAR));
}

// What a standard normal variable has beyond u, 0 <= u <= FAR, over exp(-u²/2): a polynomial in 1 / (1 + u/4), fitted at
// Chebyshev nodes, with a relative error of 1.1e-8.
fn tail_ratio(u: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.25 * u);
    var p = 0.014200194 * t - 0.049586937;
    p = p * t + 0.019830698;
    p = p * t + 0.072069906;
    p = p * t - 0.024748314;
    p = p * t + 0.10750606;
    p = p * t + 0.06448702;
    p = p * t + 0.09720356;
    p = p * t + 0.09927818;
    p = p * t + 0.09975962;
    return p * t;
}

// GELU by tanh is x σ(2 √(2/π) (x + 0.044715 x³)): what σ is taken of.
fn bent(u: vec4<f32>) -> vec4<f32> {
    return 1.5957691 * u * (1.0 + 0.044715 * u * u);
}
