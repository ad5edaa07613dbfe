// Stochastic gradient descent as PyTorch defines it: d = clip · g + decay · w; v = momentum · v + d;
// w -= lr · (Nesterov: d + momentum · v, else v). clip = min(1, max_norm / (‖g‖ + 1e-6)) over all gradients.
struct Params {
    quads: u32,
    lr_column: u32,
    momentum: f32,
    weight_decay: f32,
    nesterov: u32,
    max_norm: f32, // 0: no clipping
    line_shift: u32,
}
@group(0) @binding(3) var<storage, read> hyper: array<f32>;
@group(0) @binding(4) var<storage, read> norm: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.quads) {
        return;
    }
    var clip = 1.0;
    if (params.max_norm > 0.0) {
        clip = min(1.0, params.max_norm / (norm[0] + 1e-6));
    }
    let weight = w_quad(i);
    let d = clip * g_quad(i) + params.weight_decay * weight;
    let velocity = params.momentum * v_quad(i) + d;
    v[i] = velocity;
    var direction = velocity;
    if (params.nesterov != 0u) {
        direction = d + params.momentum * velocity;
    }
    w[i] = weight - hyper[params.lr_column] * direction;
}
