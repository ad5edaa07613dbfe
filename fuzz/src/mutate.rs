//! Changes of inputs: of bytes, of lengths within them, of words, of the chunks of PNGs and the headers of archives, of names.

/// SplitMix64.
pub struct Rng(u64);

impl Rng {
    /// Of one input: it can be made again without those before it.
    pub fn new(seed: u64, index: u64) -> Self {
        Rng(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What is read together: files by name, and folders that hold none.
#[derive(Clone, Default)]
pub struct Input {
    pub files: Vec<(String, Vec<u8>)>,
    pub folders: Vec<String>,
}

impl Input {
    pub fn of(files: &[(&str, Vec<u8>)]) -> Self {
        Input { files: files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect(), folders: Vec::new() }
    }

    pub fn bytes(&self) -> usize {
        self.files.iter().map(|(name, bytes)| name.len() + bytes.len()).sum()
    }
}

/// Inputs grow no longer than this.
const MOST: usize = 1 << 16;

const LENGTHS: [u64; 14] = [0, 1, 2, 7, 8, 255, 256, 4096, 65_535, 65_536, i32::MAX as u64, 0xFFFF_FFFF, i64::MAX as u64, u64::MAX];

/// One to four changes.
pub fn bytes(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=rng.below(4) {
        let (at, to) = (rng.below(data.len()), rng.below(data.len() + 1));
        let (from, until) = (at.min(to), at.max(to));
        match rng.below(10) {
            0 if !data.is_empty() => data[at] ^= 1 << rng.below(8),
            1 if !data.is_empty() => data[at] = rng.next() as u8,
            2 | 3 => {
                let (value, width) = (*rng.of(&LENGTHS), 1 << rng.below(4));
                let value = if rng.below(2) == 0 { value } else { value.wrapping_add(rng.next() % 5).wrapping_sub(2) };
                let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
                let field = if rng.below(2) == 0 { &big[8 - width..] } else { &little[..width] };
                // Most lengths are in heads.
                let at = if rng.below(2) == 0 { at } else { at.min(rng.below(64)) };
                data.iter_mut().skip(at).zip(field).for_each(|(byte, new)| *byte = *new);
            }
            4 => data.truncate(at),
            5 => drop(data.drain(from..until)),
            6 => {
                let chunk = data[from..until].to_vec();
                data.splice(at..at, chunk);
            }
            7 if !other.is_empty() => {
                let (start, count) = (rng.below(other.len()), rng.below(64));
                let chunk = &other[start..(start + count).min(other.len())];
                let end = if rng.below(2) == 0 { at } else { (at + chunk.len()).min(data.len()) };
                data.splice(at..end, chunk.iter().copied());
            }
            8 if !other.is_empty() => {
                data.truncate(at);
                data.extend_from_slice(&other[rng.below(other.len())..]);
            }
            _ => data.extend((0..rng.below(16)).map(|_| rng.next() as u8)),
        }
        data.truncate(MOST);
    }
}

/// What people and programs write into cells and settings.
const WORDS: [&str; 44] = [
    "",
    "NA",
    "none",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-0",
    "0",
    "1",
    "-1",
    "3,1",
    "1,234",
    "3%",
    "\u{2212}4",
    "0x10",
    "4294967296",
    "18446744073709551616",
    "1e-320",
    "true",
    "train",
    "test",
    "val",
    "Train",
    "split",
    "file",
    "index",
    "label",
    "confidence",
    "../a.png",
    "./a.png",
    "a.png",
    "\"",
    "\"\"",
    "\r\n",
    "\n",
    ",",
    ";",
    "\t",
    "\u{FEFF}",
    "e\u{301}",
    "[",
    "{ }",
    "'",
];

/// Changes words between separators; quotes and line ends are words too.
pub fn words(rng: &mut Rng, data: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(data).into_owned();
    let mut tokens: Vec<&str> = text.split_inclusive([',', ';', '\t', '\n', '=', ' ', '"', ':', '[', ']']).collect();
    for _ in 0..=rng.below(4) {
        let (at, to) = (rng.below(tokens.len()), rng.below(tokens.len() + 1));
        let (from, until) = (at.min(to), at.max(to));
        match rng.below(6) {
            0 if !tokens.is_empty() => tokens[at] = WORDS[rng.below(WORDS.len())],
            1 => tokens.insert(at, WORDS[rng.below(WORDS.len())]),
            2 if !tokens.is_empty() => drop(tokens.remove(at)),
            3 if !tokens.is_empty() => {
                let to = to.min(tokens.len() - 1);
                tokens.swap(at, to);
            }
            4 => {
                let chunk = tokens[from..until].to_vec();
                tokens.splice(at..at, chunk);
            }
            5 => drop(tokens.drain(from..until.min(from + 4))),
            _ => {}
        }
    }
    *data = tokens.concat().into_bytes();
    data.truncate(MOST);
}

/// Changes chunks of a PNG and keeps the sums right, as a decoder looks at nothing behind a wrong one.
pub fn png(rng: &mut Rng, data: &mut Vec<u8>) {
    let mut chunks: Vec<([u8; 4], Vec<u8>)> = Vec::new();
    let mut at = 8;
    while let Some(head) = data.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = data.get(at + 8..at + 8 + length) else { break };
        chunks.push(([head[4], head[5], head[6], head[7]], body.to_vec()));
        at += 12 + length;
    }
    if chunks.is_empty() {
        return;
    }
    let other = rng.below(chunks.len());
    let at = rng.below(chunks.len());
    match rng.below(8) {
        0 => drop(chunks.remove(at)),
        1 => chunks.insert(at, chunks[other].clone()),
        2 => chunks.swap(at, other),
        3 => {
            let kinds = [b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"zTXt", b"IDAT", b"IHDR", b"IEND"];
            let body = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            chunks.insert(at, (**rng.of(&kinds), body));
        }
        4 => {
            // Size, depth, colours, interlacing.
            let (field, value) = (rng.below(13), *rng.of(&[0, 1, 2, 3, 4, 6, 8, 16, 255]));
            chunks[0].1.iter_mut().skip(field).take(1).for_each(|byte| *byte = value);
        }
        _ => {
            let old = chunks[other].1.clone();
            bytes(rng, &mut chunks[at].1, &old);
        }
    }
    data.truncate(8);
    for (kind, body) in &chunks {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(body);
        data.extend((body.len() as u32).to_be_bytes());
        data.extend(kind);
        data.extend(body);
        data.extend(sum.sum().to_be_bytes());
    }
}

/// Changes a tar and makes the sums of its headers right again.
pub fn tar(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    let blocks = data.len() / 512;
    let block = rng.below(blocks) * 512;
    match rng.below(5) {
        0 if blocks > 0 => drop(data.drain(block..block + 512)),
        1 if blocks > 0 => {
            let copy = data[block..block + 512].to_vec();
            data.splice(block..block, copy);
        }
        // A field of a header: name, size, kind, link, prefix.
        2 | 3 if blocks > 0 => {
            let (start, length) = *rng.of(&[(0, 100), (124, 12), (156, 1), (157, 100), (345, 155)]);
            let texts: [&[u8]; 9] =
                [b"", b"00000000000", b"77777777777", b"\x80\0\0\0\xFF\xFF\xFF\xFF", b"../x.png", b"/a/b.png", b"L", b"x", b"5"];
            let text = *rng.of(&texts);
            let field = &mut data[block + start..block + start + length];
            field.iter_mut().zip(text).for_each(|(byte, new)| *byte = *new);
        }
        _ => bytes(rng, data, other),
    }
    for header in data.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Names that folders and files have.
const NAMES: [&str; 24] = [
    "train",
    "test",
    "val",
    "valid",
    "images",
    "masks",
    "Train",
    "seg_train",
    "seg_test",
    "training_set",
    "cats",
    "dogs",
    "0",
    "1",
    "a b",
    "\u{E9}",
    "e\u{301}",
    ".hidden",
    "__MACOSX",
    "@eaDir",
    "index.csv",
    "batches.meta.txt",
    "config.toml",
    "data_batch_1.bin",
];

/// Renames, moves, copies and removes files and folders.
pub fn tree(rng: &mut Rng, input: &mut Input) {
    for _ in 0..=rng.below(4) {
        let at = rng.below(input.files.len());
        match rng.below(7) {
            0 if input.files.len() > 1 => drop(input.files.remove(at)),
            1 if !input.files.is_empty() && input.files.len() < 24 => {
                let mut copy = input.files[at].clone();
                copy.0 = path(rng, &copy.0);
                input.files.push(copy);
            }
            2 | 3 if !input.files.is_empty() => input.files[at].0 = path(rng, &input.files[at].0.clone()),
            // All below one more folder.
            4 => {
                let above = *rng.of(&NAMES);
                let deep = input.files.iter().any(|(name, _)| name.matches('/').count() > 4);
                input.files.iter_mut().filter(|_| !deep).for_each(|(name, _)| *name = format!("{above}/{name}"));
            }
            5 => {
                let folder = path(rng, "new");
                input.folders.push(folder);
            }
            _ => {
                let (old, new) = (*rng.of(&NAMES), *rng.of(&NAMES));
                let renamed = |name: &str| name.split('/').map(|part| if part == old { new } else { part }).collect::<Vec<_>>().join("/");
                input.files.iter_mut().for_each(|(name, _)| *name = renamed(name));
            }
        }
    }
}

fn path(rng: &mut Rng, old: &str) -> String {
    let mut parts: Vec<String> = old.split('/').map(String::from).collect();
    let (last, at) = (parts.len() - 1, rng.below(parts.len()));
    match rng.below(4) {
        0 => parts[at] = rng.of(&NAMES).to_string(),
        1 if parts.len() < 6 => parts.insert(at, rng.of(&NAMES).to_string()),
        2 if last > 0 => drop(parts.remove(at)),
        _ => {
            let stem = parts[last].split('.').next().unwrap_or_default().to_string();
            let ending = rng.of(&[".png", ".jpg", ".JPEG", "", ".csv", ".bin", ".gif", ".txt", ".tar", "_1.png"]);
            parts[last] = format!("{stem}{ending}");
        }
    }
    parts.join("/")
}
