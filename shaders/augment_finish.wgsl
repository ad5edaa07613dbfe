// What ends augmentation, whichever pass is the last: pixel noise, and a square of zeros.
fn finish(value: f32, key: vec4<u32>, element: u32, column: u32, scanline: u32) -> f32 {
    if (column + params.erase - key.z < params.erase && scanline + params.erase - key.w < params.erase) {
        return 0.0;
    }
    if (params.noise > 0.0) {
        return value + params.noise * bell(threefry(key.xy, vec2(element, 0u)));
    }
    return value;
}
