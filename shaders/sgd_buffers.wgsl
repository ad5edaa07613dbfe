// What SGD updates, in place.
@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;

fn w_quad(i: u32) -> vec4<f32> {
    return w[i];
}

fn g_quad(i: u32) -> vec4<f32> {
    return g[i];
}

fn v_quad(i: u32) -> vec4<f32> {
    return v[i];
}
