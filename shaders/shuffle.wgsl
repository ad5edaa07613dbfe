// Which samples form this step: position in the epoch -> keyed bijection of 0..positions -> sample.
// A step needs nothing from the host, so the order is computed and not uploaded. 
struct Params {
    positions: u32, // in one epoch
    samples: u32,   // fewer than positions if samples repeat
    batch: u32,
    padded_batch: u32,
    batch_stride: u32, // positions per full step; a tail batch is shorter than that
    steps_per_epoch: u32,
    shuffled: u32,
    half_bits: u32,
    bucket: u32,
    first_sample: u32, // of the bucket
    first_batch: u32,
    batches: u32, // full ones of all buckets; 0 where batches have their turns in order
    batches_half_bits: u32,
    key_low: u32,
    key_high: u32,
}
// The counter of the turns of batches, beside those of buckets.
const TURNS = 0xFFFFFFFFu;
@group(0) @binding(0) var<storage, read> clock: array<u32>;
@group(0) @binding(1) var<storage, read_write> indices: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = invocation(group, lane);
    if (i >= params.padded_batch) {
        return;
    }
    let step = clock[0];
    let epoch = step / params.steps_per_epoch;
    let key = vec2(params.key_low, params.key_high);
    var number = step % params.steps_per_epoch;
    if (params.shuffled != 0u && number < params.batches) {
        number = permute(threefry(key, vec2(epoch, TURNS)), params.batches, params.batches_half_bits, number);
    }
    let position = (number - params.first_batch) * params.batch_stride + i;
    var at = position;
    if (params.shuffled != 0u) {
        let within = min(position, params.positions - 1u);
        at = permute(threefry(key, vec2(epoch, params.bucket)), params.positions, params.half_bits, within);
    }
    indices[i] = select(params.first_sample + at % params.samples, 0u, i >= params.batch);
}
