//! Folders of sounds, which are read as pictures of their pitches over time.

use anyhow::{Context, Result, ensure};

use super::decode::{Look, PictureOptions, Seen};
use super::decode_cache::Codec;
use super::excerpt::Excerpt;
use super::folder::{self, Medium};
use super::kinds::Kind;
use super::reader::Reader;
use super::sound::{self, SoundLook};
use super::sound_form::SoundForm;
use super::spectrogram::Spectrogram;
use super::tree::{Entry, Tree};
use super::{Dataset, MOST_SIDE, ReadOptions, Resize, TruthKind};
use crate::core::sample::{Image, Subject};

pub(super) static READER: Sounds = Sounds;

pub(super) struct Sounds;

impl Reader for Sounds {
    fn name(&self) -> &'static str {
        "a folder of sounds"
    }

    fn help(&self) -> &'static str {
        "WAV, FLAC, MP3, Ogg Vorbis or AIFF: a folder for each class, or an index.csv, which may name parts of long ones by columns start and end."
    }

    /// Where none can be read, but nothing else is there, it is said what makes some that can.
    fn is_in(&self, tree: &Tree) -> bool {
        let foreign = tree.files.iter().any(|file| matches!(file.kind, Kind::Foreign(Subject::Sounds, ..)));
        let others = tree.files.iter().any(|file| matches!(file.kind, Kind::Sample(_) | Kind::Data));
        let [sounds, pictures] = [Subject::Sounds, Subject::Pictures].map(|subject| tree.count(subject));
        sounds > pictures || (foreign && !others)
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        folder::read::<Sounds>(tree, options)
    }
}

impl Codec for Sounds {
    type Look = SoundLook;
    const KIND: &'static str = "sounds";

    fn look(entry: &Entry, _: u64) -> Result<SoundLook> {
        sound::look(entry.source()?)
    }

    fn decode(entry: &Entry, excerpt: Option<Excerpt>, options: &PictureOptions) -> Result<Seen> {
        sound::decode(entry.source()?, excerpt, options)
    }
}

impl Medium for Sounds {
    const SUBJECT: Subject = Subject::Sounds;

    fn choose(looks: &[(SoundLook, Option<Excerpt>)], options: &ReadOptions, notes: &mut Vec<String>) -> Result<PictureOptions> {
        let letters = options.truth == Some(TruthKind::Transcripts);
        let form = options.sound_form.unwrap_or_else(|| {
            let usual = usual(looks, options, notes);
            SoundForm::Picture(if letters { usual.unstretched() } else { usual })
        });
        let stretches = matches!(form, SoundForm::Picture(Spectrogram { column: None, .. }));
        ensure!(
            !letters || !stretches,
            "the run to begin with stretches sounds over their pictures, from which no letters can be read: say --from scratch"
        );
        let [height, width] = match (options.size, form) {
            (Some(size), _) => size,
            (None, SoundForm::Picture(spectrogram)) if !stretches => [Spectrogram::SIZE[0], room(looks, &spectrogram, notes)?],
            (None, _) => Spectrogram::SIZE,
        };
        let image = Image { height, width, channels: if options.grey == Some(false) { 3 } else { 1 } };
        notes.push(form.described(image));
        Ok(PictureOptions { sound_form: Some(form), ..PictureOptions::plain(image) })
    }

    fn check(name: &str, options: &ReadOptions) -> Result<()> {
        let given = [(options.resize != Resize::Letterbox, "--resize"), (options.bits.is_some(), "--bits")];
        let given = given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag);
        ensure!(given.is_none(), "{} is for pictures, {name} holds sounds, which are stretched to --size", given.unwrap_or_default());
        if let (Some(of_run), Some(rate)) = (options.sound_form, options.rate) {
            ensure!(of_run.rate() == rate, "the run takes sounds of {} samples per second: leave out --rate {rate}", of_run.rate());
        }
        if options.sound_form.is_some_and(|form| form.frames().is_some()) {
            let given = [(options.size.is_some(), "--size"), (options.grey.is_some(), "--grey")];
            let given = given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag);
            ensure!(given.is_none(), "{} is for pictures, the network takes sounds as frames of numbers", given.unwrap_or_default());
        }
        Ok(())
    }

    fn seen(_: SoundLook) -> Option<Look> {
        None
    }
}

/// So much wider than the longest sound are pictures that it is not stretched over: views of it that are stretched and moved fit in.
const ROOM: f64 = 1.25;

/// Moments that all sounds have room for, the longest and more. Fails where that is not known, or too many.
fn room(looks: &[(SoundLook, Option<Excerpt>)], spectrogram: &Spectrogram, notes: &mut Vec<String>) -> Result<u32> {
    let seconds = |(look, excerpt): &(SoundLook, Option<Excerpt>)| {
        let (first, end) = excerpt.map_or((0, u64::MAX), |excerpt| excerpt.samples(look.rate));
        let end = end.min(look.length.unwrap_or(u64::MAX));
        (end < u64::MAX).then(|| end.saturating_sub(first) as f64 / f64::from(look.rate))
    };
    let longest = looks.iter().map(seconds).try_fold(0.0, |longest: f64, seconds| Some(longest.max(seconds?)));
    let column = spectrogram.column.unwrap_or_default();
    let longest = longest.with_context(|| {
        format!("some sounds do not say how long they are: --size HEIGHTxWIDTH says for how many moments of {column} ms there is room")
    })?;
    let columns = spectrogram.columns(1000.0 * ROOM * longest).next_multiple_of(8);
    ensure!(
        columns <= MOST_SIDE,
        "the longest sound has {longest:.1} s, which want {columns} moments of {column} ms; {MOST_SIDE} are the most: cut it into parts"
    );
    notes.push(format!(
        "the longest sound has {longest:.2} s: all have room for {columns} moments of {column} ms; --size HEIGHTxWIDTH names other sizes"
    ));
    Ok(columns)
}

/// That of the rate that was asked for, or else that most sounds have, if it is no higher than usual.
fn usual(looks: &[(SoundLook, Option<Excerpt>)], options: &ReadOptions, notes: &mut Vec<String>) -> Spectrogram {
    let mut rates: Vec<u32> = looks.iter().map(|(look, _)| look.rate).collect();
    rates.sort_unstable();
    let runs: Vec<(usize, u32)> = rates.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
    let most = runs.iter().max().map_or(Spectrogram::USUAL_RATE, |(_, rate)| *rate);
    let rate = options.rate.unwrap_or(most.min(Spectrogram::USUAL_RATE));
    if runs.iter().any(|(_, other)| *other != rate) {
        let found: Vec<String> = runs.iter().map(|(count, rate)| format!("{count} of {rate}")).collect();
        let hint = if options.rate.is_none() { " (--rate names another)" } else { "" };
        notes.push(format!("samples per second: {} sounds; all are read at {rate}{hint}", found.join(", ")));
    }
    Spectrogram::of_rate(rate)
}
