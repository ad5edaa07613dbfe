//! The tokens of a batch, of which some words are left out.

use super::{Cases, has};
use crate::core::buffer::{Buf, Fill, shape};
use crate::core::memory::HostMem;
use crate::core::program::{Exp, Kernel, Tolerance};
use crate::core::random::{threefry, threshold};
use crate::core::sample::{BEGINS_WORD, NO_TOKEN};

/// `clock`: `[1, 2]`, or anything where nothing is left out; `data`: `[texts, longest]`, with [`BEGINS_WORD`]; `lengths`:
/// `[1, texts]`; `indices`: `[1, samples]`; `tokens`: `[views * samples, width]`, [`NO_TOKEN`] behind the last one of a text. The width
/// is a multiple of four, and no wider than the longest text needs; tokens beyond it are cut off.
pub struct GatherTokens {
    pub clock: Buf,
    pub data: Buf,
    pub lengths: Buf,
    pub indices: Buf,
    pub tokens: Buf,
    /// Words next to each other that are looked at, if there are more; 0 is all.
    pub span: u32,
    /// Probability of leaving out each of them.
    pub drop: f32,
    pub key: [u32; 2],
}

impl GatherTokens {
    /// The width of `tokens`.
    pub fn width(longest: u32) -> u32 {
        longest.next_multiple_of(4)
    }

    /// Writes the tokens of `text` that stay.
    fn text(&self, text: &[u32], key: [u32; 2], tokens: &mut [u32]) {
        let drop = threshold(self.drop);
        let words = text.iter().filter(|&&token| token & BEGINS_WORD != 0).count() as u32;
        let draw = threefry(key, [0, 1]);
        let seen = if self.span > 0 { words.min(self.span) } else { words };
        let from = draw[1] % (words - seen + 1);
        let stays = from + draw[0] % seen.max(1);
        let (mut begun, mut kept, mut count) = (0, true, 0);
        for &token in text {
            if token & BEGINS_WORD != 0 {
                let within = (from..from + seen).contains(&begun);
                kept = begun == stays || (within && threefry(key, [begun, 0])[0] >> 8 >= drop);
                begun += 1;
            }
            if kept && count < tokens.len() {
                tokens[count] = token & !BEGINS_WORD;
                count += 1;
            }
        }
        tokens[count..].fill(NO_TOKEN);
    }
}

impl Kernel for GatherTokens {
    interface! {
        self runs "gather_tokens" after "random";
        bufs { clock, data, lengths, indices, tokens }
        params {
            rows: self.tokens.rows(),
            samples: self.indices.cols(),
            width: self.tokens.cols(),
            data_stride: self.data.shape.stride(),
            span,
            drop: threshold(self.drop),
            key_low: self.key[0],
            key_high: self.key[1],
        }
        constants { NO_TOKEN: NO_TOKEN }
        invocations { self.tokens.rows() }
    }

    fn check_shapes(&self) -> Result<(), String> {
        has("lengths", self.lengths, 1, self.data.rows())?;
        let (rows, width) = (self.tokens.rows().next_multiple_of(self.indices.cols()), self.tokens.cols());
        has("tokens", self.tokens, rows, Self::width(width.min(self.data.cols())))
    }

    fn twin(&self, m: &HostMem) {
        let (data, lengths, indices) = (m.u32(self.data), m.u32(self.lengths), m.u32(self.indices));
        let step = m.u32(self.clock).row(0)[0];
        m.u32_mut(self.tokens).for_each_row(|r, tokens| {
            let sample = indices.row(0)[r % indices.row(0).len()] as usize;
            self.text(&data.row(sample)[..lengths.row(0)[sample] as usize], threefry(self.key, [step, r as u32]), tokens);
        });
    }

    fn tolerance(&self, _: &str, _: &HostMem, _: Exp) -> Tolerance {
        Tolerance::Exact
    }

    /// Of the data, only what is gathered.
    fn bytes(&self) -> u64 {
        8 * self.tokens.shape.words()
    }

    fn work(&self) -> u64 {
        // An invocation works through a whole text, and draws for each word.
        50 * self.tokens.shape.words()
    }
}

pub fn cases(c: &mut Cases<'_>) {
    let (step, key) = (11, [3, 4]);
    // A probability that the draws of two words of the first row are just below, or just not.
    let first = threefry(key, [step, 0]);
    let just = |word: u32, more: u32| ((threefry(first, [word, 0])[0] >> 8) + more) as f32 / (1 << 24) as f32;
    for (texts, longest, samples, views, span, drop) in [
        (1, 1, 1, 1, 0, 0.0),
        (5, 7, 4, 2, 0, 0.5),
        (9, 130, 65, 1, 0, 0.3),
        (33, 13, 17, 2, 0, 1.0),
        (7, 64, 129, 2, 0, 0.0),
        (7, 64, 129, 2, 5, 0.0),
        (9, 130, 65, 1, 20, 0.3),
        (33, 13, 17, 2, 1, 0.5),
        (9, 130, 65, 1, 0, just(1, 1)),
        (9, 130, 65, 1, 0, just(2, 1)),
        (9, 130, 65, 1, 0, just(3, 0)),
        (9, 130, 65, 1, 0, just(4, 0)),
    ] {
        let clock = c.filled(shape(1, 2), Fill::U32(vec![step, 0]));
        // Some texts begin within a word, some are empty.
        let token = |i: u32| (i * 7919 % 1000) | if i.is_multiple_of(3) { BEGINS_WORD } else { 0 };
        let data = c.filled(shape(texts, longest), Fill::U32((0..texts * longest).map(token).collect()));
        let lengths = c.integers((0..texts).map(|text| (longest + 3 - text % 4).min(longest) % (longest + u32::from(text % 5 != 3))));
        let indices = c.integers((0..samples).map(|r| (r * 5 + 2) % texts));
        let tokens = c.integer_output(views * samples, GatherTokens::width(longest));
        c.add(GatherTokens { clock, data, lengths, indices, tokens, span, drop, key });
        if longest == 13 {
            let tokens = c.integer_output(views * samples, 8);
            c.add(GatherTokens { clock, data, lengths, indices, tokens, span, drop, key });
        }
    }
}
