// Operands of a matmul in storage buffers.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

fn a_quad(row: u32, quad: u32) -> vec4<f32> {
    return a[row * params.a_quads + quad];
}

fn b_quad(row: u32, quad: u32) -> vec4<f32> {
    return b[row * params.b_quads + quad];
}
