//! Sounds: what they become, what is read, what is said of odd ones, and a run on a folder of them.

use crate::common;

use std::f64::consts::PI;
use std::fs;
use std::path::Path;

use common::binary::{json, stderr, wgraft};
use common::files::{even, folder, gzipped, image_of, labelled, load, noted, pixels_of, put, target, test_of};
use safetensors::SafeTensors;
use serde_json::Value;
use wgraft::core::sample::{Image, Subject};
use wgraft::data::{Dataset, PictureOptions, ReadOptions, SoundForm, Spectrogram, load_picture};
use wgraft::host::mel::{MelBank, MelScale};
use wgraft::host::rate::RateConverter;
use wgraft::host::stft::Stft;

const RATE: u32 = 8000;

/// How samples are written in a WAV: the number of the format, bits, and a sample from -1 to 1 as bytes.
type Encoding = (u16, u16, fn(f64) -> Vec<u8>);

const PCM16: Encoding = (1, 16, |x| ((x * 32767.0).round() as i16).to_le_bytes().to_vec());
const FLOAT: Encoding = (3, 32, |x| (x as f32).to_le_bytes().to_vec());
const ENCODINGS: [(&str, Encoding); 8] = [
    ("8 bits", (1, 8, |x| vec![(x * 127.0 + 128.0).round() as u8])),
    ("16 bits", PCM16),
    ("24 bits", (1, 24, |x| ((x * 8_388_607.0).round() as i32).to_le_bytes()[..3].to_vec())),
    ("32 bits", (1, 32, |x| ((x * 2_147_483_647.0).round() as i32).to_le_bytes().to_vec())),
    ("float", FLOAT),
    ("double", (3, 64, |x| x.to_le_bytes().to_vec())),
    ("A-law", (6, 8, |x| vec![a_law((x * 32767.0) as i32)])),
    ("mu-law", (7, 8, |x| vec![mu_law((x * 32767.0) as i32)])),
];

/// ITU-T G.711.
fn a_law(sample: i32) -> u8 {
    let (sign, level) = if sample >= 0 { (0x80, sample >> 3) } else { (0, (-sample - 1) >> 3) };
    let exponent = (32 - (level >> 4).leading_zeros()).saturating_sub(1).min(7) + u32::from(level >= 32);
    let (exponent, mantissa) = if level < 32 { (0, level >> 1) } else { (exponent - 1, level >> (exponent - 1) & 15) };
    ((sign | (exponent as i32) << 4 | mantissa & 15) ^ 0x55) as u8
}

/// ITU-T G.711.
fn mu_law(sample: i32) -> u8 {
    let (sign, level) = if sample >= 0 { (0, sample) } else { (0x80, -sample) };
    let level = level.min(32_635) + 132;
    let exponent = 31 - (level as u32).leading_zeros() as i32 - 7;
    !(sign | exponent << 4 | level >> (exponent + 3) & 15) as u8
}

/// A WAV of samples from -1 to 1, channel by channel within each moment.
fn wav((tag, bits, bytes): Encoding, rate: u32, channels: u16, samples: &[f64]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| bytes(*sample)).collect();
    let align = channels * bits / 8;
    let head = [&tag.to_le_bytes()[..], &channels.to_le_bytes(), &rate.to_le_bytes(), &(rate * u32::from(align)).to_le_bytes()].concat();
    // What is no plain PCM says how much follows: nothing.
    let more = if tag == 1 { &[][..] } else { &[0, 0] };
    let format = [&head[..], &align.to_le_bytes(), &bits.to_le_bytes(), more].concat();
    let chunk = |id: &[u8], data: &[u8]| [id, &(data.len() as u32).to_le_bytes(), data].concat();
    let chunks = [&b"WAVE"[..], &chunk(b"fmt ", &format), &chunk(b"data", &data)].concat();
    chunk(b"RIFF", &chunks)
}

/// A tone that jumps from one pitch to another in the middle, of so many seconds.
fn jump(rate: u32, [first, second]: [f64; 2], seconds: f64) -> Vec<f64> {
    let count = (f64::from(rate) * seconds) as usize;
    let tone = |i: usize| 0.5 * (2.0 * PI * if 2 * i < count { first } else { second } * i as f64 / f64::from(rate)).sin();
    (0..count).map(tone).collect()
}

/// The tone of the files in `tests/sound`, which libsndfile wrote.
fn usual(rate: u32) -> Vec<f64> {
    jump(rate, [500.0, 1500.0], 0.4)
}

fn options() -> PictureOptions {
    let image = Image { height: 40, width: 32, channels: 1 };
    PictureOptions { sound_form: Some(SoundForm::Picture(Spectrogram::of_rate(RATE))), ..PictureOptions::plain(image) }
}

/// The picture of a file, and what is said of it; or why there is none.
fn read(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> Result<(Vec<u8>, Vec<&'static str>), String> {
    put(dir, name, bytes);
    let found = load_picture(&dir.join(name), &options());
    found.map(|(pixels, remarks)| (pixels, remarks.said(None))).map_err(|error| format!("{error:#}"))
}

/// Mean distance of bytes.
fn apart(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// The line that is brightest in a column.
fn brightest(pixels: &[u8], column: usize) -> usize {
    (0..40).max_by_key(|line| pixels[line * 32 + column]).expect("there are lines")
}

/// The line of the band whose middle is nearest to a frequency.
fn line_of(hertz: f64) -> usize {
    let corners = MelScale::Htk.corners(40, [60.0, 4000.0]);
    let far = |band: usize| (corners[band + 1] - hertz).abs();
    39 - (0..40).min_by(|a, b| far(*a).total_cmp(&far(*b))).expect("there are bands")
}

/// A golden case: parameters, input and result.
fn golden(name: &str) -> (Value, Vec<f64>, Vec<f64>) {
    let bytes =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/sound/{name}.safetensors"))).expect("it is there");
    let (_, head) = SafeTensors::read_metadata(&bytes).expect("a header");
    let params = serde_json::from_str(&head.metadata().as_ref().expect("metadata")["params"]).expect("JSON");
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors");
    let (wave, y) = (tensors.tensor("in.wave").expect("there"), tensors.tensor("out.y").expect("there"));
    let wave = wave.data().as_chunks::<4>().0.iter().map(|&value| f64::from(f32::from_le_bytes(value))).collect();
    (params, wave, y.data().as_chunks::<8>().0.iter().map(|&value| f64::from_le_bytes(value)).collect())
}

/// A wave with as much beside each end as its mirror has there.
fn reflected(wave: &[f64], count: usize) -> Vec<f64> {
    let before = (1..=count).rev().map(|i| wave[i]);
    let after = (1..=count).map(|i| wave[wave.len() - 1 - i]);
    before.chain(wave.iter().copied()).chain(after).collect()
}

/// The largest difference from a golden case of log-mel, with its own scale or another.
fn log_mel_error(name: &str, scale: Option<MelScale>) -> f64 {
    let (params, wave, expected) = golden(name);
    let number = |key: &str| params[key].as_f64().expect("a number");
    let (fft, rate) = (number("n_fft") as usize, number("sample_rate") as u32);
    let own = if params["scale"] == "htk" { MelScale::Htk } else { MelScale::Slaney };
    let corners = scale.unwrap_or(own).corners(number("n_mels") as u32, [number("f_min"), number("f_max")]);
    let bank = MelBank::new(&corners, rate, fft);
    let mut stft = Stft::new(number("win_length") as usize, number("hop") as usize, fft);
    let mut found = Vec::new();
    stft.push(reflected(&wave, fft / 2), |power| {
        let area = |band: usize| if params["norm"] == "slaney" { 2.0 / (corners[band + 2] - corners[band]) } else { 1.0 };
        found.extend(bank.of(power).enumerate().map(|(band, power)| (power * area(band)).max(number("floor")).ln()));
    });
    assert_eq!(found.len(), expected.len(), "{name}");
    found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn spectra_are_those_of_pytorch() {
    for case in 0..4 {
        let name = format!("log_mel_{case}");
        let error = log_mel_error(&name, None);
        assert!(error < 1e-4, "{name}: {error}");
        let others = [MelScale::Htk, MelScale::Slaney].map(|scale| log_mel_error(&name, Some(scale)));
        assert!(others.into_iter().any(|error| error > 0.1), "{name}: another scale is noticed");
    }
    let (params, wave, expected) = golden("stft_power_1");
    let number = |key: &str| params[key].as_u64().expect("a number") as usize;
    let mut stft = Stft::new(number("win_length"), number("hop"), number("n_fft"));
    let mut found = Vec::new();
    stft.push(reflected(&wave, number("n_fft") / 2), |power| found.extend_from_slice(power));
    let largest = expected.iter().copied().fold(0.0, f64::max);
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9 * largest));
}

#[test]
fn resampling_keeps_what_can_be_kept_and_drops_the_rest() {
    for case in 0..3 {
        let (params, wave, expected) = golden(&format!("resample_{case}"));
        let number = |key: &str| params[key].as_f64().expect("a number");
        let (from, to, edge) = (number("from") as u32, number("to") as u32, number("edge") as usize);
        let (mut converter, mut found) = (RateConverter::new(from, to), Vec::new());
        wave.chunks(500).for_each(|wave| converter.push(wave, &mut found));
        converter.finish(&mut found);
        assert_eq!(found.len(), expected.len(), "case {case}");
        let inner = edge..expected.len() - edge;
        let error = |found: &dyn Fn(usize) -> f64| inner.clone().map(|i| (found(i) - expected[i]).abs()).fold(0.0, f64::max);
        let worst = error(&|i| found[i]);
        assert!(worst < number("tolerance"), "case {case}: {worst}");
        let nearest = |i: usize| wave[(i as f64 * f64::from(from) / f64::from(to)) as usize];
        assert!(error(&nearest) > 10.0 * number("tolerance"), "case {case}: taking the nearest sample is noticed");
    }
}

#[test]
fn every_way_of_writing_a_sound_gives_its_picture() {
    let dir = folder();
    let (expected, said) = read(dir.path(), "usual.wav", wav(PCM16, RATE, 1, &usual(RATE))).expect("it is read");
    assert_eq!(said, [""; 0]);
    assert_eq!((brightest(&expected, 4), brightest(&expected, 27)), (line_of(500.0), line_of(1500.0)), "low pitches are below high ones");
    assert!(line_of(500.0) > line_of(1500.0) && expected.contains(&255), "what is loudest is white");
    for (name, encoding) in ENCODINGS {
        let (pixels, said) = read(dir.path(), "other.wav", wav(encoding, RATE, 1, &usual(RATE))).expect(name);
        // Coarse steps are noise, 40 dB below what is heard.
        let most = if encoding.1 == 8 { 12.0 } else { 0.2 };
        assert!(apart(&pixels, &expected) < most && said.is_empty(), "{name}: {}, {said:?}", apart(&pixels, &expected));
        assert_eq!((brightest(&pixels, 4), brightest(&pixels, 27)), (line_of(500.0), line_of(1500.0)), "{name}");
    }
    for name in ["jump.flac", "jump.aiff", "jump.ogg", "jump.mp3"] {
        let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sound").join(name)).expect("it is there");
        // By what it is, whatever it is called.
        for called in [name, "wrong.wav"] {
            let (pixels, said) = read(dir.path(), called, &bytes).expect(name);
            let most = if name.ends_with("3") || name.ends_with("ogg") { 25.0 } else { 0.2 };
            assert!(apart(&pixels, &expected) < most && said.is_empty(), "{name}: {}, {said:?}", apart(&pixels, &expected));
            assert_eq!((brightest(&pixels, 4), brightest(&pixels, 27)), (line_of(500.0), line_of(1500.0)), "{name}");
        }
    }
    for rate in [8001, 11_025, 16_000, 22_050, 44_100, 192_000] {
        let (pixels, said) = read(dir.path(), "rate.wav", wav(PCM16, rate, 1, &usual(rate))).expect("it is read");
        assert!(apart(&pixels, &expected) < 8.0, "{rate}: {}", apart(&pixels, &expected));
        assert_eq!(said, ["has another rate and is resampled"], "{rate}");
    }
    let eight: Vec<f64> = usual(RATE).iter().flat_map(|&sample| [sample; 8]).collect();
    let (pixels, said) = read(dir.path(), "eight.wav", wav(PCM16, RATE, 8, &eight)).expect("it is read");
    assert_eq!((pixels, said), (expected.clone(), vec!["has several channels, which are mixed into one"]));
    // How loud it is does not matter.
    let soft: Vec<f64> = usual(RATE).iter().map(|sample| sample / 50.0).collect();
    let (pixels, _) = read(dir.path(), "soft.wav", wav(FLOAT, RATE, 1, &soft)).expect("it is read");
    assert!(apart(&pixels, &expected) < 0.2, "{}", apart(&pixels, &expected));
    // Nor do pauses at the ends.
    let pause = vec![0.0; 4000];
    let (pixels, _) = read(dir.path(), "late.wav", wav(FLOAT, RATE, 1, &[&pause[..], &usual(RATE), &pause].concat())).expect("it is read");
    assert_eq!((brightest(&pixels, 4), brightest(&pixels, 27)), (line_of(500.0), line_of(1500.0)));
}

#[test]
fn odd_sounds_are_used_as_far_as_they_go() {
    let dir = folder();
    let whole = wav(PCM16, RATE, 1, &usual(RATE));
    let (expected, _) = read(dir.path(), "whole.wav", &whole).expect("it is read");
    const EARLY: &str = "ends early or is damaged and is used as far as it goes";
    let (half, said) = read(dir.path(), "cut.wav", &whole[..whole.len() / 2]).expect("it is read");
    assert_eq!((brightest(&half, 4), brightest(&half, 27), said), (line_of(500.0), line_of(500.0), vec![EARLY]));
    // All samples of what is cut off are used, up to the last one.
    let (last, said) = read(dir.path(), "cut.wav", &whole[..whole.len() - 1]).expect("it is read");
    let (shorter, _) = read(dir.path(), "shorter.wav", wav(PCM16, RATE, 1, &usual(RATE)[..3199])).expect("it is read");
    assert_eq!((last, said), (shorter, vec![EARLY]));
    let with_length = |riff: u32, data: u32| {
        let mut bytes = whole.clone();
        bytes[4..8].copy_from_slice(&riff.to_le_bytes());
        bytes[40..44].copy_from_slice(&data.to_le_bytes());
        bytes
    };
    for (length, said) in [(u32::MAX, &[][..]), (u32::MAX - 36, &[]), (0, &[EARLY]), (100_000, &[EARLY])] {
        let found = read(dir.path(), "stream.wav", with_length(length, length)).expect("it is read");
        assert_eq!(found, (expected.clone(), said.to_vec()), "a header that claims {length} bytes");
    }
    let silent = read(dir.path(), "silent.wav", wav(PCM16, RATE, 1, &[0.0; 4000])).expect("it is read");
    assert_eq!(silent, (vec![0; 40 * 32], vec!["is silent"]));
    let (_, said) = read(dir.path(), "one.wav", wav(PCM16, RATE, 1, &[0.5])).expect("it is read");
    assert_eq!(said, ["is shorter than one window of a spectrogram"]);
    let mut with_nan = usual(RATE);
    (with_nan[100], with_nan[101], with_nan[102]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    let (pixels, said) = read(dir.path(), "nan.wav", wav(FLOAT, RATE, 1, &with_nan)).expect("it is read");
    assert_eq!(said, ["has samples that are no numbers, which became silence"]);
    assert_eq!((brightest(&pixels, 4), brightest(&pixels, 27)), (line_of(500.0), line_of(1500.0)));
    let why = |name: &str, bytes: &[u8]| read(dir.path(), name, bytes).expect_err("it is no sound");
    let opus = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sound/jump.opus")).expect("it is there");
    for (name, bytes, part) in [
        ("a.ogg", &opus[..], "is in Opus, which is not read: `ffmpeg"),
        ("a.wav", b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "is in MPEG-4, a video or AAC, which is not read: `ffmpeg"),
        ("b.wav", b"\x1A\x45\xDF\xA3matroska", "is in Matroska"),
        ("c.wav", b"", "is empty"),
        ("d.wav", b"this is a text, not a sound", "is not a WAV"),
        ("e.wav", &even(3), "is a picture, not a sound"),
        ("f.wav", b"<html>not found</html>", "is a web page"),
        ("g.wav", &whole[..30], "is not a WAV"),
        ("h.wav", &whole[..44], "has no samples"),
        ("i.wav", &wav(PCM16, 500, 1, &usual(RATE)), "has 500 samples per second"),
    ] {
        let text = why(name, bytes);
        assert!(text.contains(name) && text.contains(part), "{name}: {text}");
    }
    let picture = PictureOptions { sound_form: None, ..options() };
    let text = format!("{:#}", load_picture(&dir.path().join("whole.wav"), &picture).expect_err("it is no picture"));
    assert!(text.contains("is a sound or a video, not a picture"), "{text}");
}

/// Sounds of three classes that anybody can tell apart: low, high, rising.
fn tones(root: &Path, count: u32) {
    for i in 0..count {
        let more = f64::from(i) * 12.0;
        for (name, [first, second]) in [("low", [300.0, 310.0]), ("high", [2000.0, 2010.0]), ("rising", [300.0, 2000.0])] {
            let seconds = 0.2 + f64::from(i % 5) * 0.05;
            put(root, &format!("{name}/{i:02}.wav"), wav(PCM16, RATE, 1, &jump(RATE, [first + more, second + more], seconds)));
        }
    }
}

#[test]
fn folders_of_sounds_are_read_as_those_of_pictures() {
    let dir = folder();
    let root = dir.path().join("tones");
    tones(&root, 10);
    fs::copy(root.join("low/00.wav"), root.join("low/copy.wav")).expect("it is copied");
    put(&root, "low/cover.png", even(1));
    put(&root, "low/readme.txt", "no sound");
    put(&root, "low/film.mp4", b"\0\0\0\x18ftypisom");
    put(&root, "low/broken.wav", "no sound");
    put(&root, "low/fast.wav", wav(PCM16, 44_100, 2, &jump(44_100, [300.0, 300.0], 0.4)));
    let options = ReadOptions { cache: Some(dir.path().join("cache")), ..labelled() };
    let data = load(&root, &options);
    assert_eq!((data.class_names.clone(), data.subject()), (vec!["high".into(), "low".into(), "rising".into()], Subject::Sounds));
    assert_eq!(image_of(&data.train), Image { height: 40, width: 32, channels: 1 });
    assert_eq!(data.sound_form, Some(SoundForm::Picture(Spectrogram::of_rate(8000))));
    for part in [
        "samples per second: 31 of 8000, 1 of 44100 sounds; all are read at 8000 (--rate names another)",
        "40 mel bands (HTK's) from 60 to 4000 Hz by 32 moments",
        "1 sounds of which each has another rate and is resampled: low/fast.wav",
        "1 sounds of which each has several channels, which are mixed into one: low/fast.wav",
        "1 of 33 sounds cannot be read and are left out: low/broken.wav is not a WAV",
        "1 sounds in MPEG-4, a video or AAC are left out (`ffmpeg",
        "2 files that are no sounds are left out: low/cover.png, low/readme.txt",
        "of 33 sounds are test sounds, drawn from each class",
    ] {
        noted(&data, part);
    }
    let again = load(&root, &options);
    assert_eq!((again.train, again.test), (data.train.clone(), data.test.clone()), "what was kept is what was read");
    // The same sound under two names, one of them for testing.
    let halves = dir.path().join("halves");
    for (part, name) in [("train", "a"), ("test", "b"), ("train", "c")] {
        put(&halves, &format!("{part}/x/{name}.wav"), wav(PCM16, RATE, 1, &jump(RATE, [if name == "c" { 900.0 } else { 300.0 }; 2], 0.3)));
        put(&halves, &format!("{part}/y/{name}.wav"), wav(PCM16, RATE, 1, &jump(RATE, [1200.0 + f64::from(name.as_bytes()[0]); 2], 0.3)));
    }
    noted(
        &load(&halves, &labelled()),
        "1 of 2 test sounds are equal to training sounds, so that results look too good: test/x/b.wav = train/x/a.wav",
    );
    // Another size and rate, and in colour.
    let wide = ReadOptions { size: Some([64, 48]), rate: Some(16_000), grey: Some(false), ..labelled() };
    let data = load(&root, &wide);
    assert_eq!(
        (image_of(&data.train), data.sound_form),
        (Image { height: 64, width: 48, channels: 3 }, Some(SoundForm::Picture(Spectrogram::of_rate(16_000))))
    );
    assert!(pixels_of(&data.train).chunks(3).all(|pixel| pixel == [pixel[0]; 3]));
    for (options, part) in [
        (ReadOptions { bits: Some(8), ..labelled() }, "--bits is for pictures"),
        (ReadOptions { size: Some([4000, 8]), ..labelled() }, "would have 4000 bands"),
        (ReadOptions { subject: Some(Subject::Pictures), ..labelled() }, "holds a folder of sounds, the run takes pictures"),
        (ReadOptions { truth: Some(wgraft::data::TruthKind::Masks), ..labelled() }, "has sounds, which have no masks"),
    ] {
        let error = Dataset::load(&root, &options).expect_err("it makes no sense");
        assert!(format!("{error:#}").contains(part), "{error:#}");
    }
    let videos = dir.path().join("videos");
    put(&videos, "a/1.mp4", b"\0\0\0\x18ftypisom");
    let error = format!("{:#}", Dataset::load(&videos, &labelled()).expect_err("there are no sounds"));
    assert!(error.contains("holds no sound in a format that is read") && error.contains("`ffmpeg"), "{error}");
}

#[test]
fn an_index_names_parts_of_recordings() {
    let dir = folder();
    let recording: Vec<f64> = [300.0, 2000.0, 300.0, 2000.0].iter().flat_map(|&hertz| jump(RATE, [hertz; 2], 3.0)).collect();
    let rows = "long.wav,0,3,low,train\nlong.wav,3.0,6,high,train\nlong.wav,6,9,low,train\nlong.wav,9,,high,train\nshort.wav,,,low,test\n";
    put(dir.path(), "set/index.csv", format!("file,start,end,label,split\n{rows}"));
    put(dir.path(), "set/long.wav", wav(PCM16, RATE, 1, &recording));
    put(dir.path(), "set/short.wav", wav(PCM16, RATE, 1, &jump(RATE, [320.0; 2], 0.3)));
    let root = dir.path().join("set");
    let data = load(&root, &target("label"));
    assert_eq!(data.train.truth.labels.as_deref(), Some(&[1, 0, 1, 0][..]));
    let names: Vec<&str> = data.train.names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["long.wav, 0 to 3 s", "long.wav, 3 to 6 s", "long.wav, 6 to 9 s", "long.wav, from 9 s"]);
    noted(&data, "column `start` of index.csv says at which second of its sound a sample begins");
    for (i, hertz) in [300.0, 2000.0, 300.0, 2000.0].into_iter().enumerate() {
        assert_eq!(brightest(&pixels_of(&data.train)[i * 1280..][..1280], 16), line_of(hertz), "part {i}");
    }
    assert_eq!(brightest(&pixels_of(test_of(&data)), 16), line_of(320.0));
    for (row, part) in
        [("long.wav,4,3,low,train\n", "line 7: a part begins at 4 s and ends at 3 s"), ("long.wav,99,,low,train\n", "ends after 12.00 s")]
    {
        put(dir.path(), "set/index.csv", format!("file,start,end,label,split\n{rows}{row}"));
        let said = match Dataset::load(&root, &target("label")) {
            Ok(data) => data.notes.join("\n"),
            Err(error) => format!("{error:#}"),
        };
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_run_on_sounds_goes_all_the_way() {
    let dir = folder();
    let root = dir.path();
    tones(&root.join("tones"), 12);
    let cpu = ["--device", "cpu"];
    let ran = |args: &[&str]| json(root, &[args, &cpu].concat());
    let pretrain = ["pretrain", "--data", "tones", "--model", "cnn", "--width", "8", "--batch", "16", "--steps", "30", "--out", "pre"];
    let output = wgraft(root, &[&pretrain[..], &cpu].concat());
    let said = stderr(&output);
    assert!(
        output.status.success() && said.contains("augmentation: sounds, as they are sounds") && said.contains("40 mel bands"),
        "{said}"
    );
    let labels = ran(&["label", "pre", "--labels-per-class", "2", "--overwrite"]);
    assert!(labels.to_string().len() > 10, "{labels}");
    let tuned = ran(&["finetune", "--from", "pre", "--data", "tones", "--labels-per-class", "5", "--steps", "60", "--out", "tuned"]);
    assert!(tuned["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.9), "{tuned}");
    let judged = ran(&["eval", "tuned"]);
    assert!(judged["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.9), "{judged}");
    // Of another rate, with two channels, it is the same sound.
    let high: Vec<f64> = jump(44_100, [2050.0, 2060.0], 0.3).iter().flat_map(|&sample| [sample; 2]).collect();
    put(root, "new/high.wav", wav(PCM16, 44_100, 2, &high));
    put(root, "new/rising.flac.wav", wav(FLOAT, RATE, 1, &jump(RATE, [320.0, 2020.0], 0.3)));
    let output = wgraft(root, &[&["predict", "tuned", "new"][..], &cpu].concat());
    let (found, said) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    assert!(found.contains("high.wav  high") && found.contains("wav  rising"), "{found}{said}");
    assert!(said.contains("has another rate and is resampled") && said.contains("2 sounds"), "{said}");
    let searched = ran(&["search", "pre", "new/high.wav", "--out", "found.png"]);
    assert!(searched["found"][0]["file"].as_str().is_some_and(|file| file.contains("high")), "{searched}");
    ran(&["embed", "pre", "tones", "--out", "all.npy"]);
    ran(&["embed", "pre", "new/high.wav", "--out", "one.npy"]);
    ran(&[&pretrain[..pretrain.len() - 2], &["--augment-preview", "views.png"]].concat());
    assert!(root.join("views.png").exists());
    put(root, "pictures/a/1.png", even(1));
    put(root, "pictures/a/2.png", even(2));
    put(root, "pictures/b/1.png", even(9));
    put(root, "pictures/b/2.png", even(8));
    for (args, part) in [
        (&["predict", "tuned", "new/high.wav", "--invert"][..], "--invert is for pictures"),
        (&["eval", "tuned", "--data", "pictures"], "holds a folder of pictures, the run takes sounds"),
        (&["eval", "tuned", "--data", "tones", "--rate", "16000"], "the run takes sounds of 8000 samples per second"),
        (&["pretrain", "--data", "tones", "--resize", "crop", "--out", "x"], "--resize is for pictures"),
        (&["pretrain", "--data", "pictures", "--rate", "8000", "--out", "x"], "--rate is for sounds"),
        (&["predict", "tuned", "pictures/a/1.png"], "is a picture, not a sound"),
    ] {
        let output = wgraft(root, &[args, &cpu].concat());
        assert!(!output.status.success() && stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
    }
    // Parts of a recording are labelled, but no files to be sorted.
    let high: Vec<f64> = (0..10).flat_map(|i| jump(RATE, [[300.0, 2000.0][i % 2]; 2], 0.5)).collect();
    put(root, "day/day.wav", wav(PCM16, RATE, 1, &high));
    let row = |i: usize| format!("day.wav,{},{},{}\n", i as f64 / 2.0, (i + 1) as f64 / 2.0, ["low", "high"][i % 2]);
    put(root, "day/index.csv", format!("file,start,end,label\n{}", (0..10).map(row).collect::<String>()));
    let label = ["label", "pre", "--data", "day", "--target", "label", "--labels-per-class", "1", "--out", "day-labels"];
    ran(&label);
    let labels = fs::read_to_string(root.join("day-labels/labels.csv")).expect("it is written");
    assert!(labels.contains("\"day.wav, 0 to 0.5 s\",low"), "{labels}");
    let output = wgraft(root, &[&label[..], &["--overwrite", "--sort", "sorted"], &cpu].concat());
    assert!(stderr(&output).contains("is a part of one"), "{}", stderr(&output));
    // As an archive, they are the same.
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("tones", root.join("tones")).expect("it takes all");
    put(root, "tones.tar.gz", gzipped(&archive.into_inner().expect("it is written")));
    let [folder, packed] = ["tones", "tones.tar.gz"].map(|name| load(&root.join(name), &labelled()));
    assert_eq!((folder.train.samples, folder.train.truth), (packed.train.samples, packed.train.truth));
}
