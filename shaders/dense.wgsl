// Operands and results that are stored as they are multiplied.
fn a_quad(row: u32, quad: u32) -> vec4<f32> {
    return a_stored(row, quad, params.a_quads);
}

fn b_quad(row: u32, quad: u32) -> vec4<f32> {
    return b_stored(row, quad, params.b_quads);
}

fn result_row(row: u32) -> u32 {
    return row;
}
