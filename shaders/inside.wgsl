// Which columns of a quad lie inside the matrix and not in its pad.
fn inside(quad: u32, cols: u32) -> vec4<bool> {
    return vec4(4u * quad) + vec4(0u, 1u, 2u, 3u) < vec4(cols);
}
