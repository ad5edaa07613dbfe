// Where a quad of a row lies in a texture: its lines hold 1 << line_shift rows of `quads` texels side by side, or, if
// rows run on from line to line, as many texels.
fn texel(row: u32, quad: u32, quads: u32, line_shift: u32) -> vec2<u32> {
    return vec2((row & ((1u << line_shift) - 1u)) * quads + quad, row >> line_shift);
}

fn texel_running_on(row: u32, quad: u32, quads: u32, line_shift: u32) -> vec2<u32> {
    let at = row * quads + quad;
    return vec2(at & ((1u << line_shift) - 1u), at >> line_shift);
}
