//! Sounds as networks see them: pictures of their pitches over time. Readers of data sets and `predict` share this, so that training and
//! use see the same.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::Time;

use super::decode::{PictureOptions, Remarks, Seen, stretched};
use super::excerpt::Excerpt;
use super::guard::guarded;
use super::kinds::{HEAD, foreign_sound, is_picture, misnamed};
use super::log_mel::LogMel;
use super::sound_form::SoundForm;
use super::spectrogram::Spectrogram;
use super::tree::FileBytes;
use crate::core::sample::Image;
use crate::host::mel::MelBank;
use crate::host::rate::RateConverter;
use crate::host::stft::Stft;

/// What the head of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SoundLook {
    /// Samples per second.
    pub rate: u32,
    pub channels: u32,
    /// Samples of each channel, where the header says.
    pub length: Option<u64>,
}

/// Of a sound without any: as far as numbers in a file go.
const SILENCE: f64 = 1e-15;
/// What is weaker is nothing.
const LEAST_POWER: f64 = 1e-30;
/// A decoder keeps a block of each.
const MOST_CHANNELS: u32 = 255;
/// Where an excerpt begins later than this, what is before it is skipped rather than decoded.
const SEEK_FROM_SECONDS: f64 = 2.0;
/// Lengths in headers from here on stand for unknown ones, as programs write them that do not know the end yet.
const UNKNOWN_LENGTH: u32 = 0x7FFF_F000;

/// A file whose header is mended: in the place of some of its bytes there are others.
struct Mended {
    source: FileBytes,
    length: u64,
    at: u64,
    patches: Vec<(u64, [u8; 4])>,
}

impl Read for Mended {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(into)?;
        for (place, bytes) in &self.patches {
            for (place, byte) in (*place..).zip(bytes) {
                if let Some(byte_there) = place.checked_sub(self.at).and_then(|i| into[..read].get_mut(i as usize)) {
                    *byte_there = *byte;
                }
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Mended {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.at = self.source.seek(to)?;
        Ok(self.at)
    }
}

impl MediaSource for Mended {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

impl Mended {
    /// With the lengths that a WAV really has in its header; and whether it should have been longer.
    fn new(mut source: FileBytes) -> Result<(Self, Vec<u8>, bool)> {
        let length = source.seek(SeekFrom::End(0))?;
        let mut mended = Mended { source, length, at: length, patches: Vec::new() };
        let head = mended.part(0, HEAD as u64)?;
        let mut cut = false;
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
            cut = mended.mend()?.unwrap_or(false);
        }
        mended.seek(SeekFrom::Start(0))?;
        Ok((mended, head, cut))
    }

    fn part(&mut self, from: u64, count: u64) -> Result<Vec<u8>> {
        self.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        self.by_ref().take(count).read_to_end(&mut bytes).context("cannot be read")?;
        Ok(bytes)
    }

    /// Says whether the samples end early; `None` where there is no header of samples.
    fn mend(&mut self) -> Result<Option<bool>> {
        const MOST_CHUNKS: usize = 1000;
        let mut at = 12;
        for _ in 0..MOST_CHUNKS {
            let head = self.part(at, 8)?;
            let Some((id, size)) = head.first_chunk::<4>().zip(head.last_chunk::<4>()).filter(|_| head.len() == 8) else { return Ok(None) };
            let (size, there) = (u32::from_le_bytes(*size), self.length - at - 8);
            if id != b"data" {
                at += 8 + u64::from(size) + u64::from(size % 2);
                continue;
            }
            let whole_file = self.part(4, 4)?;
            let told = whole_file.first_chunk().map_or(0, |told| u64::from(u32::from_le_bytes(*told)));
            // A recorder that was stopped has written no length, of the samples nor of the file.
            let untold = size == 0 && there > 0 && told + 8 != self.length;
            if untold || u64::from(size) > there {
                let told = |length: u64| u32::try_from(length).unwrap_or(u32::MAX - 1).to_le_bytes();
                self.patches = vec![(4, told(self.length - 8)), (at + 4, told(there))];
            }
            return Ok(Some(untold || (u64::from(size) > there && size < UNKNOWN_LENGTH)));
        }
        Ok(None)
    }
}

/// A sound that is ready to be decoded.
struct OpenedSound<'a> {
    reader: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    look: SoundLook,
    /// Units of time stamps are samples.
    by_samples: bool,
    remarks: Remarks,
}

impl OpenedSound<'_> {
    fn open(source: FileBytes) -> Result<Self> {
        let (mended, head, cut) = Mended::new(source)?;
        ensure!(!head.is_empty(), "is empty, not a sound");
        if let Some((format, how)) = foreign_sound(&head) {
            bail!("is in {format}, which is not read: {how}");
        }
        ensure!(!is_picture(&head), "is a picture, not a sound");
        if let Some(what) = misnamed(&head) {
            bail!("{what}");
        }
        let stream = MediaSourceStream::new(Box::new(mended), MediaSourceStreamOptions::default());
        let unreadable = "is not a WAV, AIFF, FLAC, MP3 or Ogg Vorbis that can be read";
        let probe = || symphonia::default::get_probe().probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default());
        let reader = guarded(probe).context(unreadable)?.map_err(|error| anyhow::anyhow!("{unreadable} ({error})"))?;
        let track = reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio)).context("has no sound")?;
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).context(unreadable)?;
        let rate = parameters.sample_rate.context("does not say how many samples it has per second")?;
        ensure!(
            Spectrogram::RATES.contains(&rate),
            "has {rate} samples per second; {} to {} can be read",
            Spectrogram::RATES.start(),
            Spectrogram::RATES.end()
        );
        let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count() as u32);
        ensure!(channels <= MOST_CHANNELS, "has {channels} channels; at most {MOST_CHANNELS} are read");
        let decoder = guarded(|| symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default()))
            .context(unreadable)?
            .map_err(|error| {
                anyhow::anyhow!("is written in a way that is not read ({error}): `ffmpeg -i FILE FILE.wav` makes WAV of it")
            })?;
        let by_samples = track.time_base.is_some_and(|base| base.numer.get() == 1 && base.denom.get() == rate);
        let (track, length) = (track.id, track.num_frames);
        let remarks = Remarks { ends_early: cut, ..Remarks::default() };
        Ok(OpenedSound { reader, decoder, track, look: SoundLook { rate, channels, length }, by_samples, remarks })
    }

    /// Calls `take` with the mean of the channels, some samples after the other, of all or of a part; returns how many there were.
    fn each(&mut self, excerpt: Option<Excerpt>, mut take: impl FnMut(&[f64]) -> Result<()>) -> Result<u64> {
        let (first, end) = excerpt.map_or((0, u64::MAX), |excerpt| excerpt.samples(self.look.rate));
        let start = excerpt.map_or(0.0, Excerpt::start);
        let mut at = Some(0);
        if start > SEEK_FROM_SECONDS && self.by_samples {
            let to = SeekTo::Time { time: Time::try_from_secs_f64(start - 1.0).unwrap_or(Time::ZERO), track_id: Some(self.track) };
            // What cannot be skipped is decoded.
            if guarded(|| self.reader.seek(SeekMode::Accurate, to))?.is_ok() {
                self.decoder.reset();
                at = None;
            }
        }
        let (mut interleaved, mut mixed, mut taken) = (Vec::<f32>::new(), Vec::new(), 0);
        loop {
            let packet = match guarded(|| self.reader.next_packet()) {
                Ok(Ok(Some(packet))) => packet,
                Ok(Ok(None)) => break,
                Ok(Err(_)) | Err(_) => {
                    self.remarks.ends_early = true;
                    break;
                }
            };
            if packet.track_id != self.track {
                continue;
            }
            let begin = at.unwrap_or_else(|| packet.pts.get().max(0) as u64);
            let decoded = match guarded(|| self.decoder.decode(&packet)) {
                Ok(Ok(decoded)) => decoded,
                Ok(Err(Error::DecodeError(_))) => {
                    self.remarks.ends_early = true;
                    continue;
                }
                Ok(Err(_)) | Err(_) => {
                    self.remarks.ends_early = true;
                    break;
                }
            };
            ensure!(decoded.spec().rate() == self.look.rate, "changes its rate on the way: make a WAV of it");
            let channels = decoded.spec().channels().count().max(1);
            decoded.copy_to_vec_interleaved(&mut interleaved);
            mixed.clear();
            for samples in interleaved.chunks_exact(channels) {
                let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / channels as f64;
                self.remarks.no_numbers |= !mean.is_finite();
                mixed.push(if mean.is_finite() { mean } else { 0.0 });
            }
            let count = mixed.len() as u64;
            let within = |sample: u64| sample.saturating_sub(begin).min(count) as usize;
            let wanted = &mixed[within(first)..within(end).max(within(first))];
            taken += wanted.len() as u64;
            take(wanted)?;
            at = Some(begin + count);
            if begin + count >= end {
                return Ok(taken);
            }
        }
        let there = at.unwrap_or(0);
        self.remarks.ends_early |= self.look.length.is_some_and(|length| there < length);
        ensure!(
            excerpt.is_none() || taken > 0,
            "ends after {:.2} s, before the part {}",
            there as f64 / f64::from(self.look.rate),
            excerpt_text(excerpt)
        );
        Ok(taken)
    }
}

fn excerpt_text(excerpt: Option<Excerpt>) -> String {
    excerpt.map_or(String::new(), |excerpt| excerpt.to_string())
}

/// Rate, channels and length of a sound, without decoding it.
pub(super) fn look(source: FileBytes) -> Result<SoundLook> {
    Ok(OpenedSound::open(source)?.look)
}

/// Decibels of bands, frame after frame.
struct Frames {
    stft: Stft,
    bank: MelBank,
    gain: f64,
    bands: usize,
    decibels: Vec<f32>,
    /// The power of all bands of each frame.
    strength: Vec<f64>,
}

impl Frames {
    fn new(spectrogram: &Spectrogram, bands: u32) -> Result<Self> {
        let (bank, fft) = spectrogram.bank(bands).with_context(|| {
            format!("would have {bands} bands, more than windows of {} ms can tell apart: ask for fewer with --size", spectrogram.window)
        })?;
        let mut stft = Stft::new(spectrogram.window_samples(), spectrogram.hop_samples(), fft);
        let gain = stft.gain();
        stft.push(std::iter::repeat_n(0.0, fft / 2), |_| {});
        Ok(Frames { stft, bank, gain, bands: bands as usize, decibels: Vec::new(), strength: Vec::new() })
    }

    fn push(&mut self, samples: impl IntoIterator<Item = f64>) {
        let Frames { stft, bank, gain, decibels, strength, .. } = self;
        stft.push(samples, |power| {
            let mut sum = 0.0;
            decibels.extend(bank.of(power).map(|power| {
                sum += power / *gain;
                (10.0 * libm::log10((power / *gain).max(LEAST_POWER))) as f32
            }));
            strength.push(sum);
        });
    }

    fn finish(&mut self) {
        self.push(std::iter::repeat_n(0.0, self.stft.fft() / 2));
    }

    /// The frames between silence at both ends.
    fn sounding(&self, trim: f64) -> std::ops::Range<usize> {
        let strongest = self.strength.iter().copied().fold(0.0, f64::max);
        let least = strongest * libm::pow(10.0, -trim / 10.0);
        let first = self.strength.iter().position(|strength| *strength >= least).unwrap_or(0);
        let last = self.strength.iter().rposition(|strength| *strength >= least).unwrap_or(0);
        first..last + 1
    }
}

/// A sound, or a part of one, as `options.sound_form` defines: the grey picture, of `options.image` in size, of which in colour all
/// channels are alike; or frames of numbers.
pub(super) fn decode(source: FileBytes, excerpt: Option<Excerpt>, options: &PictureOptions) -> Result<Seen> {
    let form = options.sound_form.as_ref().context("is a sound, where pictures are wanted")?;
    let mut recording = OpenedSound::open(source)?;
    match form {
        SoundForm::Picture(spectrogram) => picture(&mut recording, excerpt, spectrogram, options),
        SoundForm::Frames(frames) => log_mel(&mut recording, excerpt, frames, options),
    }
}

/// What a user should know of a sound of which so many samples were read at another rate.
fn remarks_of(recording: &OpenedSound<'_>, taken: u64, rate: u32, window_ms: f64) -> Remarks {
    Remarks {
        short: taken * 1000 < (window_ms * f64::from(recording.look.rate)) as u64,
        resampled: recording.look.rate != rate,
        mixed: recording.look.channels > 1,
        ..recording.remarks
    }
}

fn log_mel(recording: &mut OpenedSound<'_>, excerpt: Option<Excerpt>, form: &LogMel, options: &PictureOptions) -> Result<Seen> {
    let mut converter = RateConverter::new(recording.look.rate, form.rate);
    let most = (form.most_samples() as u64).min(options.most_bytes / 8);
    let (mut samples, rate) = (Vec::new(), f64::from(form.rate));
    let fits = |samples: &[f64]| {
        ensure!(
            samples.len() as u64 <= most,
            "is longer than {:.1} s, which is the most: cut it into parts, or name parts by columns start and end of an index.csv",
            most as f64 / rate
        );
        Ok(())
    };
    let taken = recording.each(excerpt, |part| {
        converter.push(part, &mut samples);
        fits(&samples)
    })?;
    ensure!(taken > 0, "has no samples");
    converter.finish(&mut samples);
    fits(&samples)?;
    let mut remarks = remarks_of(recording, taken, form.rate, 1000.0 * f64::from(form.window) / rate);
    let loudest = samples.iter().map(|sample| sample * sample).fold(0.0, f64::max);
    remarks.silent = loudest <= SILENCE;
    Ok(Seen { bytes: form.frames(&samples).into_iter().flat_map(f32::to_le_bytes).collect(), remarks })
}

fn picture(recording: &mut OpenedSound<'_>, excerpt: Option<Excerpt>, spectrogram: &Spectrogram, options: &PictureOptions) -> Result<Seen> {
    let image = options.image;
    let mut frames = Frames::new(spectrogram, image.height)?;
    let mut converter = RateConverter::new(recording.look.rate, spectrogram.rate);
    let mut at_rate = Vec::new();
    let taken = recording.each(excerpt, |samples| {
        converter.push(samples, &mut at_rate);
        frames.push(at_rate.drain(..));
        let bytes = 4 * frames.decibels.len() as u64;
        ensure!(
            bytes <= options.most_bytes,
            "is longer than {:.0} minutes, of which pictures take {} MiB: cut it into parts, or name parts by columns start and end of an index.csv",
            frames.strength.len() as f64 * spectrogram.hop / 60_000.0,
            options.most_bytes >> 20
        );
        Ok(())
    })?;
    ensure!(taken > 0, "has no samples");
    converter.finish(&mut at_rate);
    frames.push(at_rate.drain(..));
    frames.finish();
    let mut remarks = remarks_of(recording, taken, spectrogram.rate, spectrogram.window);
    let loudest = frames.decibels.iter().copied().fold(f32::MIN, f32::max);
    remarks.silent = f64::from(loudest) <= 10.0 * libm::log10(SILENCE);
    let sounding = frames.sounding(spectrogram.trim);
    let columns = sounding.len();
    let mut pixels = vec![0; frames.bands * columns];
    for (column, frame) in frames.decibels.chunks_exact(frames.bands).skip(sounding.start).take(columns).enumerate() {
        for (band, decibels) in frame.iter().enumerate().filter(|_| !remarks.silent) {
            let share = 1.0 - f64::from(loudest - decibels) / spectrogram.range;
            pixels[(frames.bands - 1 - band) * columns + column] = (255.0 * share.clamp(0.0, 1.0)).round() as u8;
        }
    }
    if spectrogram.column.is_none() {
        return Ok(Seen { bytes: stretched(pixels, image.height, columns as u32, image)?, remarks });
    }
    let (milliseconds, channels) = (columns as f64 * spectrogram.hop, image.channels as usize);
    let wide = Image { width: spectrogram.columns(milliseconds), ..image };
    ensure!(
        wide.width <= image.width,
        "is {:.1} s long without quiet ends, of which there would be {} moments; {} are the most here: cut it into parts, or name parts by \
         columns start and end of an index.csv",
        milliseconds / 1000.0,
        wide.width,
        image.width
    );
    let lines = stretched(pixels, image.height, columns as u32, wide)?;
    let mut bytes = vec![0; image.len() as usize];
    let [from, to] = [wide.width, image.width].map(|width| width as usize * channels);
    let start = (to - from) / channels / 2 * channels;
    lines.chunks_exact(from).zip(bytes.chunks_exact_mut(to)).for_each(|(line, into)| into[start..start + from].copy_from_slice(line));
    Ok(Seen { bytes, remarks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_do_not_depend_on_portions() {
        let samples: Vec<f64> = (0..5000).map(|i| libm::sin(f64::from(i) * f64::from(i) * 1e-4)).collect();
        let of = |portion: usize| {
            let mut frames = Frames::new(&Spectrogram::of_rate(8000), 40).expect("bins for each band");
            samples.chunks(portion).for_each(|samples| frames.push(samples.iter().copied()));
            frames.finish();
            frames.decibels
        };
        assert_eq!(of(5000).len(), 40 * (1 + 5000 / 80), "a frame at the start, and every 80 samples");
        assert_eq!(of(1), of(5000));
        assert_eq!(of(333), of(5000));
    }
}
