//! Tokens that are hidden to be predicted (Devlin et al., 2018): 15 % of a text's, of which 80 % become the mask, 10 % another token and
//! 10 % stay.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::random::{permute, threefry, threshold};
use crate::core::sample::NO_TOKEN;

/// In percent of a text's tokens, to the nearest number, at least one.
const CHOSEN: u32 = 15;

/// `clock`: `[1, n]`, of which the first is the step; `tokens`, `masked`: `[texts, width]`, [`NO_TOKEN`] behind the last one of a text;
/// `places`, where chosen tokens are among all, and `targets`, what they are: `[1, count]`, [`NO_TOKEN`] where none is, with room for
/// [`slots`](Self::slots) of each text at least.
pub struct MaskTokens {
    pub clock: Buf,
    pub tokens: Buf,
    pub masked: Buf,
    pub places: Buf,
    pub targets: Buf,
    /// The token that stands for those that are hidden.
    pub mask: u32,
    /// Special tokens at the beginning and the end of each text, which stay.
    pub before: u32,
    pub after: u32,
    pub vocabulary: u32,
    /// Of those that are chosen, the share that becomes the mask, and that which becomes the mask or another token.
    pub shares: [f32; 2],
    pub key: [u32; 2],
}

/// Of so many tokens, how many are chosen.
fn chosen(tokens: u32) -> u32 {
    ((tokens * CHOSEN + 50) / 100).max(tokens.min(1))
}

impl MaskTokens {
    /// BERT's.
    pub const SHARES: [f32; 2] = [0.8, 0.9];

    /// Places that are kept for a text of so many tokens.
    pub fn slots(width: u32) -> u32 {
        chosen(width).next_multiple_of(4)
    }
}

impl Kernel for MaskTokens {
    interface! {
        self runs "mask_tokens" after "random", "permute";
        bufs { clock, tokens, masked, places, targets }
        params {
            texts: self.tokens.rows(),
            width: self.tokens.cols(),
            slots: Self::slots(self.tokens.cols()),
            count: self.places.cols(),
            percent: CHOSEN,
            mask,
            before,
            after,
            vocabulary,
            masked_below: threshold(self.shares[0]),
            random_below: threshold(self.shares[1]),
            key_low: self.key[0],
            key_high: self.key[1],
        }
        constants { NO_TOKEN: NO_TOKEN }
        invocations { self.tokens.rows() + 1 }
    }

    fn check_shapes(&self) -> Result<(), String> {
        let (texts, width, count) = (self.tokens.rows(), self.tokens.cols().next_multiple_of(4), self.places.cols());
        has("tokens", self.tokens, texts, width)?;
        has("masked", self.masked, texts, width)?;
        has("places", self.places, 1, count.max(texts * Self::slots(width)).next_multiple_of(4))?;
        has("targets", self.targets, 1, count)
    }

    fn twin(&self, m: &HostMem) {
        let (tokens, step) = (m.u32(self.tokens), m.u32(self.clock).row(0)[0]);
        let (mut masked, mut places, mut targets) = (m.u32_mut(self.masked), m.u32_mut(self.places), m.u32_mut(self.targets));
        places.padded_mut().fill(NO_TOKEN);
        targets.padded_mut().fill(NO_TOKEN);
        masked.padded_mut().copy_from_slice(tokens.padded());
        let (width, slots) = (self.tokens.cols() as usize, Self::slots(self.tokens.cols()));
        for text in 0..self.tokens.rows() {
            let row = tokens.row(text as usize);
            let length = row.iter().filter(|&&token| token != NO_TOKEN).count() as u32;
            let free = length.saturating_sub(self.before + self.after);
            let key = threefry(self.key, [step, text]);
            let order = threefry(key, [0, 1]);
            for i in 0..chosen(free).min(slots) {
                let at = (self.before + permute(order, free, i)) as usize;
                let [share, other] = threefry(key, [i, 0]);
                let (place, slot) = (text as usize * width + at, (text * slots + i) as usize);
                places.padded_mut()[slot] = place as u32;
                targets.padded_mut()[slot] = row[at];
                if share >> 8 < threshold(self.shares[0]) {
                    masked.padded_mut()[place] = self.mask;
                } else if share >> 8 < threshold(self.shares[1]) {
                    masked.padded_mut()[place] = other % self.vocabulary;
                }
            }
        }
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    fn work(&self) -> u64 {
        // An invocation works through a whole text, and draws a sixth of its places.
        50 * self.tokens.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let (step, key) = (11, [3, 4]);
    // Shares that the first draw of the first text is just below.
    let just = ((threefry(threefry(key, [step, 0]), [0, 0])[0] >> 8) + 1) as f32 / (1 << 24) as f32;
    for (texts, width, before, after, more, shares) in [
        (1, 4, 0, 0, 0, MaskTokens::SHARES),
        (5, 8, 1, 1, 44, MaskTokens::SHARES),
        (33, 16, 0, 0, 4, MaskTokens::SHARES),
        (9, 64, 2, 1, 0, MaskTokens::SHARES),
        (3, 260, 0, 1, 20, MaskTokens::SHARES),
        (1, 8, 0, 0, 0, [just, 1.0]),
        (1, 8, 0, 0, 0, [0.0, just]),
    ] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, step + 1]));
        // Full texts, empty ones, and some with hardly more than special tokens.
        let length = |text: u32| [width, 0, before + after, before + after + 1, 1, width - 1, width / 2][text as usize % 7];
        let token = |i: u32| if i % width < length(i / width) { i * 7919 % 1000 } else { NO_TOKEN };
        let tokens = c.filled(shape(texts, width), Fill::U32((0..texts * width).map(token).collect()));
        let count = texts * MaskTokens::slots(width) + more;
        let masked = c.integer_output(texts, width);
        let [places, targets] = [(); 2].map(|()| c.integer_output(1, count));
        c.add(MaskTokens { clock, tokens, masked, places, targets, mask: 1000, before, after, vocabulary: 997, shares, key });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::buffer::{Arena, Dtype, Role};

    #[test]
    fn shares_are_as_told() {
        let (texts, width) = (500, 40);
        let mut arena = Arena::new(1, u64::MAX);
        let fill = Fill::U32((0..texts * width).map(|i| 10 + i % 50).collect());
        let tokens = arena.buffer("tokens", Role::Input, Dtype::U32, shape(texts, width), fill);
        let clock = arena.buffer("clock", Role::Input, Dtype::U32, shape(1, 2), Fill::U32(vec![1, 2]));
        let masked = arena.scratch("masked", Dtype::U32, shape(texts, width));
        let [places, targets] = ["places", "targets"].map(|name| arena.scratch(name, Dtype::U32, shape(1, texts * MaskTokens::slots(width))));
        let call = MaskTokens { clock, tokens, masked, places, targets, mask: 5, before: 0, after: 0, vocabulary: 1 << 30, shares: MaskTokens::SHARES, key: [1, 2] };
        let m = HostMem::new(&arena);
        call.twin(&m);
        let (before, after, places) = (m.u32(tokens), m.u32(masked), m.u32(places));
        let mut chosen: Vec<usize> = places.row(0).iter().filter(|&&place| place != NO_TOKEN).map(|&place| place as usize).collect();
        assert_eq!(chosen.len(), 6 * texts as usize, "15 % of 40");
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen.len(), 6 * texts as usize, "none twice");
        let count = |which: &dyn Fn(usize) -> bool| chosen.iter().filter(|&&place| which(place)).count() as f64 / chosen.len() as f64;
        let hidden = count(&|place| after.padded()[place] == 5);
        let kept = count(&|place| after.padded()[place] == before.padded()[place]);
        assert!((hidden - 0.8).abs() < 0.03 && (kept - 0.1).abs() < 0.02, "{hidden} hidden, {kept} kept");
        let others = (0..(texts * width) as usize).filter(|place| chosen.binary_search(place).is_err());
        assert!(others.into_iter().all(|place| after.padded()[place] == before.padded()[place]), "others stay");
    }
}
