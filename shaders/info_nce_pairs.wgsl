// Which of four columns count in a row of similarities: those before `end`, but over two views not the row's own.
fn counts(row: u32, col: vec4<u32>, end: u32) -> vec4<bool> {
    return (col < vec4(end)) & ((col != vec4(row)) | vec4(params.two_views == 0u));
}
