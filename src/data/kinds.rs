//! What a file is, by its first bytes, as endings are often missing or wrong.

/// First bytes of a file that are enough to know it.
pub(super) const HEAD: usize = 64;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A picture in a format that is read.
    Picture,
    /// A picture in another one: its name, and what makes one that is read.
    Foreign(&'static str, &'static str),
    /// What a reader may look for by name: tables, records, lists of names.
    Data,
    Other,
}

/// Endings of the formats that [`decode`](super::decode) reads.
pub(super) const PICTURES: [&str; 11] = ["png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp"];
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

/// Whether these are the first bytes of a picture that is read.
fn is_picture(head: &[u8]) -> bool {
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
        return Kind::Picture;
    }
    if DATA.iter().any(|known| lower.ends_with(known)) {
        return Kind::Data;
    }
    let head = head();
    let by_ending = || FOREIGN.iter().find(|(known, _)| *known == ending).map(|(_, said)| *said);
    match foreign(&head).or_else(by_ending) {
        _ if is_picture(&head) => Kind::Picture,
        Some((format, how)) => Kind::Foreign(format, how),
        None => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let of = |name: &str, head: &[u8]| kind(name, || head.to_vec());
        assert_eq!(of("scan", b"\xff\xd8\xff\xe0"), Kind::Picture);
        assert_eq!(of("a.jfif", b""), Kind::Picture);
        assert_eq!(of("a.dat", b"RIFF\0\0\0\0WEBPVP8 "), Kind::Picture);
        assert_eq!(of("0.heic", b"\x89PNG\r\n\x1a\n"), Kind::Picture);
        assert!(matches!(of("0.cr2", b"?"), Kind::Foreign("a camera's raw format", _)));
        assert_eq!(of("a.wav", b"RIFF\0\0\0\0WAVEfmt "), Kind::Other);
        assert_eq!(of("BM.doc", b"BM is a name"), Kind::Other);
        assert!(matches!(of("IMG_1", b"\0\0\0\x18ftypheic"), Kind::Foreign("HEIC", _)));
        assert_eq!(of("clip.mp4", b"\0\0\0\x18ftypisom"), Kind::Other);
        assert_eq!((extension("a/.png"), extension("a.b/c"), extension("x.TIF")), (String::new(), String::new(), "tif".into()));
    }
}
