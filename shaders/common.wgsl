// What every kernel starts from. Groups are numbered in one dimension; the executor folds them to two dimensions and
// slices long dispatches, and says through `launch` which part of the numbers this dispatch covers.
struct Launch {
    first_group: u32,
    groups_per_row: u32,
}
@group(1) @binding(0) var<uniform> launch: Launch;

fn invocation(group: vec3<u32>, lane: u32) -> u32 {
    return (launch.first_group + group.y * launch.groups_per_row + group.x) * WG + lane;
}
