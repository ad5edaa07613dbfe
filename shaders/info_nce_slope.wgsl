// The gradient of mean InfoNCE with respect to four similarities of a row: g_ij = (p_ij - [j is i's positive]) / (rows τ).
// Over two views the similarity matrix is symmetric and its own transpose's gradient is added here, so that one product
// g·z gives the gradient of the embeddings. What took no part gets nothing.
fn slope(similarity: vec4<f32>, row: u32, col: vec4<u32>, end: u32, row_log_sum: f32, column_log_sum: vec4<f32>) -> vec4<f32> {
    let inverse_temperature = 1.0 / hyper[0];
    let z = similarity * inverse_temperature;
    var g = exp(clamp(z - row_log_sum, vec4(-80.0), vec4(0.0)));
    var positives = 1.0;
    if (params.two_views != 0u) {
        g += exp(clamp(z - column_log_sum, vec4(-80.0), vec4(0.0)));
        positives = 2.0;
    }
    g -= select(vec4(0.0), vec4(positives), col == vec4((row + params.shift) % params.cols));
    return select(vec4(0.0), g * (inverse_temperature / f32(params.rows)), counts(row, col, end));
}
