//! Folders of sounds, which are read as pictures of their pitches over time.

use anyhow::{Result, ensure};

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
use super::{Dataset, ReadOptions, Resize};
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

    fn choose(looks: &[SoundLook], options: &ReadOptions, notes: &mut Vec<String>) -> PictureOptions {
        let [height, width] = options.size.unwrap_or(Spectrogram::SIZE);
        let image = Image { height, width, channels: if options.grey == Some(false) { 3 } else { 1 } };
        let form = options.sound_form.unwrap_or_else(|| SoundForm::Picture(usual(looks, options, notes)));
        notes.push(form.described(image));
        PictureOptions { sound_form: Some(form), ..PictureOptions::plain(image) }
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

/// That of the rate that was asked for, or else that most sounds have, if it is no higher than usual.
fn usual(looks: &[SoundLook], options: &ReadOptions, notes: &mut Vec<String>) -> Spectrogram {
    let mut rates: Vec<u32> = looks.iter().map(|look| look.rate).collect();
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
