//! What a file is, by its first bytes, as endings are often missing or wrong.

use crate::core::sample::Subject;

/// First bytes of a file that are enough to know it.
pub(super) const HEAD: usize = 64;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A picture or a sound in a format that is read.
    Sample(Subject),
    /// One in another format: its name, and what makes one that is read.
    Foreign(Subject, &'static str, &'static str),
    /// What a reader may look for by name: tables, records, lists of names.
    Data,
    Other,
}

/// Endings of the formats that [`decode`](super::decode) reads.
pub(super) const PICTURES: [&str; 11] = ["png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp"];
/// Endings of the formats that [`sound`](super::sound) reads.
const SOUNDS: [&str; 10] = ["wav", "wave", "aif", "aiff", "aifc", "flac", "mp3", "ogg", "oga", "mpga"];
const DATA: [&str; 23] = [
    ".csv",
    ".csv.gz",
    ".tsv",
    ".tsv.gz",
    ".txt",
    ".txt.gz",
    ".jsonl",
    ".jsonl.gz",
    ".ndjson",
    ".ndjson.gz",
    ".conll",
    ".conll.gz",
    ".bio",
    ".bio.gz",
    ".iob",
    ".iob.gz",
    ".iob2",
    ".iob2.gz",
    ".toml",
    ".bin",
    ".bin.gz",
    "-ubyte",
    "-ubyte.gz",
];

const HEIF: (&str, &str) = ("HEIC", "`heif-convert` or `sips -s format jpeg` makes JPEG of it");
const AVIF: (&str, &str) = ("AVIF", "`avifdec` makes PNG of it");
const RAW: (&str, &str) = ("a camera's raw format", "`darktable-cli` or `dcraw` makes TIFF of it");
const OPUS: (&str, &str) = ("Opus", FFMPEG);
const MPEG4: (&str, &str) = ("MPEG-4, a video or AAC", FFMPEG);
const MATROSKA: (&str, &str) = ("Matroska or WebM, a video", FFMPEG);
const AVI: (&str, &str) = ("AVI, a video", FFMPEG);
const MPEG: (&str, &str) = ("MPEG, a video", FFMPEG);
const WINDOWS: (&str, &str) = ("Windows Media", FFMPEG);
const AMR: (&str, &str) = ("AMR", FFMPEG);
const CORE_AUDIO: (&str, &str) = ("Apple's Core Audio", FFMPEG);
const RF64: (&str, &str) = ("RF64, the WAV of more than 4 GiB", FFMPEG);
const FFMPEG: &str = "`ffmpeg -i FILE FILE.wav` makes WAV of its sound";
/// Endings of sounds, and of videos, that are not read, and what to do with them.
const FOREIGN_SOUNDS: [(&str, (&str, &str)); 22] = [
    ("opus", OPUS),
    ("mp4", MPEG4),
    ("m4a", MPEG4),
    ("m4v", MPEG4),
    ("mov", MPEG4),
    ("3gp", MPEG4),
    ("aac", ("AAC", FFMPEG)),
    ("mkv", MATROSKA),
    ("mka", MATROSKA),
    ("webm", MATROSKA),
    ("avi", AVI),
    ("mpg", MPEG),
    ("mpeg", MPEG),
    ("wma", WINDOWS),
    ("wmv", WINDOWS),
    ("amr", AMR),
    ("caf", CORE_AUDIO),
    ("spx", ("Speex", FFMPEG)),
    ("wv", ("WavPack", FFMPEG)),
    ("ape", ("Monkey's Audio", FFMPEG)),
    ("au", ("Sun's format", FFMPEG)),
    ("sph", ("NIST's SPHERE", "`sox FILE FILE.wav` makes WAV of it")),
];
/// Endings of pictures that are not read, and what to do with them.
const FOREIGN: [(&str, (&str, &str)); 18] = [
    ("heic", HEIF),
    ("heif", HEIF),
    ("avif", AVIF),
    ("jp2", ("JPEG 2000", "`opj_decompress` makes PNG of it")),
    ("j2k", ("JPEG 2000", "`opj_decompress` makes PNG of it")),
    ("jxl", ("JPEG XL", "`djxl` makes PNG of it")),
    ("dcm", ("DICOM", "`dcm2img` makes PNG of it")),
    ("svg", ("SVG", "`rsvg-convert` makes PNG of it")),
    ("ppm", ("PNM", "`pnmtopng` makes PNG of it")),
    ("pgm", ("PNM", "`pnmtopng` makes PNG of it")),
    ("npy", ("NumPy's format", "Pillow's `Image.fromarray(array).save` makes PNG of it")),
    ("psd", ("Photoshop's format", "ImageMagick's `convert` makes PNG of it")),
    ("ico", ("an icon", "ImageMagick's `convert` makes PNG of it")),
    ("tga", ("Targa", "ImageMagick's `convert` makes PNG of it")),
    ("dng", RAW),
    ("cr2", RAW),
    ("nef", RAW),
    ("arw", RAW),
];

/// The ending of a name in lower case; none for what begins with its only dot.
pub(super) fn extension(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase())
}

/// Whether a file is called like what tells people of the data that it lies beside.
pub(super) fn is_documentation(name: &str) -> bool {
    const TOLD: [&str; 14] = [
        "readme",
        "read_me",
        "license",
        "licence",
        "copying",
        "copyright",
        "notice",
        "changelog",
        "authors",
        "attribution",
        "citation",
        "sources",
        "manifest",
        "requirements",
    ];
    let name = name.to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    TOLD.iter().any(|told| stem.strip_prefix(told).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
}

/// Whether a file is called like a picture or a sound that is read.
pub(super) fn is_called_sample(name: &str) -> bool {
    let ending = extension(name);
    PICTURES.contains(&ending.as_str()) || SOUNDS.contains(&ending.as_str())
}

/// Whether these are the first bytes of a sound that is read, of those that have a mark. MP3 may begin with any.
pub(super) fn is_sound(head: &[u8]) -> bool {
    let form = |mark: &[u8], kinds: &[&[u8]]| head.starts_with(mark) && head.get(8..12).is_some_and(|kind| kinds.contains(&kind));
    form(b"RIFF", &[b"WAVE"]) || form(b"FORM", &[b"AIFF", b"AIFC"]) || [&b"fLaC"[..], b"OggS", b"ID3"].iter().any(|m| head.starts_with(m))
}

/// The name of a sound's or a video's format that is not read, and what to do with it, by the first bytes.
pub(super) fn foreign_sound(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let holds = |mark: &[u8]| head.windows(mark.len()).any(|part| part == mark);
    match head {
        [b'O', b'g', b'g', b'S', ..] if holds(b"OpusHead") => Some(OPUS),
        [b'O', b'g', b'g', b'S', ..] if holds(b"Speex   ") => Some(("Speex", FFMPEG)),
        [b'O', b'g', b'g', b'S', ..] if holds(b"theora") => Some(("Theora, a video", FFMPEG)),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] if foreign(head).is_none() => Some(MPEG4),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(MATROSKA),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(AVI),
        [0, 0, 1, 0xBA, ..] => Some(MPEG),
        [0x30, 0x26, 0xB2, 0x75, ..] => Some(WINDOWS),
        [b'#', b'!', b'A', b'M', b'R', ..] => Some(AMR),
        [b'c', b'a', b'f', b'f', ..] => Some(CORE_AUDIO),
        [b'R', b'F', b'6', b'4', ..] => Some(RF64),
        _ => None,
    }
}

/// Whether these are the first bytes of a picture that is read.
pub(super) fn is_picture(head: &[u8]) -> bool {
    let tiff = [b"II*\0", b"MM\0*"].iter().any(|magic| head.starts_with(*magic));
    let plain = [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF87a", b"GIF89a"].iter().any(|magic| head.starts_with(magic));
    let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    // Two letters are no proof: the length of the second header must be one that there is.
    let bmp = head.starts_with(b"BM") && head.get(14..18).is_some_and(|size| matches!(size, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]));
    plain || tiff || webp || bmp
}

/// The name of a picture's format that is not read, and what to do with it, by the first bytes.
pub(super) fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let brand = head.get(4..8).filter(|mark| *mark == b"ftyp").and_then(|_| head.get(8..12));
    let by_ending = |wanted: &str| FOREIGN.iter().find(|(ending, _)| *ending == wanted).map(|(_, said)| *said);
    match brand {
        Some(b"avif" | b"avis") => return Some(AVIF),
        Some(b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc" | b"heim" | b"heis") => return Some(HEIF),
        _ => {}
    }
    match head {
        [0, 0, 0, 0x0C, b'j', b'P', ..] => by_ending("jp2"),
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', ..] => by_ending("jxl"),
        [b'8', b'B', b'P', b'S', ..] => by_ending("psd"),
        _ => None,
    }
}

/// What a file is, for a sentence that begins with its name, where it is none of those that readers take, and what to do.
pub fn misnamed(head: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let begins = |magic: &[&[u8]]| magic.iter().any(|magic| head.starts_with(magic));
    Some(match () {
        () if text.starts_with("version https://git-lfs") => {
            "is a pointer of Git LFS in the place of the file that it stands for: `git lfs pull` fetches that"
        }
        () if text.starts_with("<svg") || text.starts_with("<?xml") => "is an SVG or another XML text",
        () if text.starts_with('<') => {
            "is a web page, not the file that was to be downloaded: on Hugging Face, addresses of files have /resolve/ where pages have /blob/"
        }
        () if begins(&[b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd"]) => {
            "is packed by a method that is not read: unpack it first"
        }
        () => return None,
    })
}

/// What a file is for. `head` gives its first bytes; it is not asked where the name says enough.
pub(super) fn kind(name: &str, head: impl FnOnce() -> Vec<u8>) -> Kind {
    let (ending, lower) = (extension(name), name.to_ascii_lowercase());
    if PICTURES.contains(&ending.as_str()) {
        return Kind::Sample(Subject::Pictures);
    }
    if SOUNDS.contains(&ending.as_str()) {
        return Kind::Sample(Subject::Sounds);
    }
    if DATA.iter().any(|known| lower.ends_with(known)) {
        return Kind::Data;
    }
    let head = head();
    let by_ending =
        |known: &[(&str, (&'static str, &'static str))]| known.iter().find(|(known, _)| *known == ending).map(|(_, said)| *said);
    let by_head = || foreign(&head).map(|said| (Subject::Pictures, said)).or(foreign_sound(&head).map(|said| (Subject::Sounds, said)));
    let by_name =
        || by_ending(&FOREIGN).map(|said| (Subject::Pictures, said)).or(by_ending(&FOREIGN_SOUNDS).map(|said| (Subject::Sounds, said)));
    match by_head().or_else(by_name) {
        _ if is_picture(&head) => Kind::Sample(Subject::Pictures),
        found if is_sound(&head) && found.is_none_or(|(subject, _)| subject != Subject::Sounds) => Kind::Sample(Subject::Sounds),
        Some((subject, (format, how))) => Kind::Foreign(subject, format, how),
        None => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let of = |name: &str, head: &[u8]| kind(name, || head.to_vec());
        assert_eq!(of("scan", b"\xff\xd8\xff\xe0"), Kind::Sample(Subject::Pictures));
        assert_eq!(of("a.jfif", b""), Kind::Sample(Subject::Pictures));
        assert_eq!(of("a.dat", b"RIFF\0\0\0\0WEBPVP8 "), Kind::Sample(Subject::Pictures));
        assert_eq!(of("0.heic", b"\x89PNG\r\n\x1a\n"), Kind::Sample(Subject::Pictures));
        assert!(matches!(of("0.cr2", b"?"), Kind::Foreign(Subject::Pictures, "a camera's raw format", _)));
        for (name, head) in
            [("a.wav", &b""[..]), ("a", b"RIFF\0\0\0\0WAVEfmt "), ("b", b"fLaC"), ("c", b"OggS\0\x02"), ("d.dat", b"ID3\x03")]
        {
            assert_eq!(of(name, head), Kind::Sample(Subject::Sounds), "{name}");
        }
        let opus = [&b"OggS\0\x02"[..], &[0; 22], b"OpusHead"].concat();
        for (name, head) in [("a", &opus[..]), ("clip.mp4", b"\0\0\0\x18ftypisom"), ("x.webm", b""), ("y", b"RF64")] {
            assert!(matches!(of(name, head), Kind::Foreign(Subject::Sounds, _, how) if how.contains("ffmpeg")), "{name}");
        }
        assert_eq!(of("BM.doc", b"BM is a name"), Kind::Other);
        assert!(matches!(of("IMG_1", b"\0\0\0\x18ftypheic"), Kind::Foreign(Subject::Pictures, "HEIC", _)));
        assert_eq!((extension("a/.png"), extension("a.b/c"), extension("x.TIF")), (String::new(), String::new(), "tif".into()));
    }
}
