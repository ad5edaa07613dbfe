// Operands of a matmul in storage buffers.
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

fn a_stored(row: u32, quad: u32, quads: u32) -> vec4<f32> {
    return a[row * quads + quad];
}

fn b_stored(row: u32, quad: u32, quads: u32) -> vec4<f32> {
    return b[row * quads + quad];
}
