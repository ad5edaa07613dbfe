//! Image folders, on disk or in an archive: pictures by class, by an `index.csv`, with masks, or just so.

use anyhow::{Context, Result, ensure};

use super::decode::{Remarks, Seen};
use super::decode_cache::{Codec, Decoded, Read, Store, decode_all};
use super::kinds::Kind;
use super::layout::{FolderLayout, Placed};
use super::names::some_of;
use super::picture_truth::{self, PictureTruth, Sample};
use super::reader::Reader;
use super::sheet::Sheet;
use super::split::Part;
use super::tree::{self, Entry, Tree};
use super::{Dataset, ReadOptions, Resize, Samples, SharedRows, Split, Truth, decode, index, mask};
use crate::core::sample::Image;

/// The size of pictures that have no size in common, unless the user names one.
const USUAL_SIDE: u32 = 32;
/// Pictures with sides longer than this are not trained on as they are, unless the user says so.
const LONGEST_SIDE: u32 = 256;

const PICTURE: Codec = Codec { kind: "pictures", look: decode::look, decode: decode::decode };
const MASK: Codec = Codec {
    kind: "masks",
    look: mask::look,
    decode: |bytes, options| Ok(Seen { bytes: mask::decode(bytes, options.image, options.most_bytes)?, remarks: Remarks::default() }),
};

pub(super) static READER: Pictures = Pictures;

pub(super) struct Pictures;

impl Reader for Pictures {
    fn name(&self) -> &'static str {
        "a folder of pictures"
    }

    fn help(&self) -> &'static str {
        "PNG, JPEG, WebP, GIF, BMP or TIFF: a folder for each class, an index.csv, or folders images and masks."
    }

    fn is_in(&self, tree: &Tree) -> bool {
        tree.files.iter().any(|file| file.kind == Kind::Picture)
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        read(tree, options)
    }
}

/// Reads everything below the root of `tree`.
fn read(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let name = tree.root.display().to_string();
    let layout = FolderLayout::of(tree)?;
    let mut notes = layout.notes.clone();
    let (samples, sets) = samples(&name, &layout, options, &mut notes)?;
    let mut truth = picture_truth::of(&name, &layout, &samples, sets, options, &mut notes)?;
    ensure!(
        !matches!(truth, PictureTruth::Masks(_)) || options.resize == Resize::Letterbox,
        "masks are of whole pictures, of which --resize {} leaves the edges out: say --resize letterbox",
        options.resize
    );
    let store = |codec: &Codec| {
        let resize = if options.resize == Resize::Letterbox { String::new() } else { format!(", resize {}", options.resize) };
        let asked = format!("size {:?}, grey {:?}, bits {:?}{resize}", options.size, options.grey, options.bits);
        options.cache.as_ref().map(|folder| Store::new(folder, &tree.root, codec.kind, &asked))
    };
    let entries: Vec<&Entry> = samples.iter().map(|sample| sample.placed.entry).collect();
    let pictures = decode_all(&entries, &PICTURE, store(&PICTURE).as_ref(), options, |looks| choose(looks, options, &mut notes));
    let mut masks = None;
    let mut bad: Vec<(&str, String)> = failures(&entries, &pictures);
    if let PictureTruth::Masks(entries) = &truth {
        let frame = Image { channels: 1, ..pictures.image };
        let decoded = decode_all(entries, &MASK, store(&MASK).as_ref(), options, |_| frame);
        bad.extend(failures(entries, &decoded));
        let turned = pictures.files.iter().filter(|file| file.as_ref().is_ok_and(|read| read.look.turned)).count();
        if turned > 0 {
            notes.push(format!(
                "{turned} pictures are turned or mirrored by their EXIF orientation: their masks are taken to be for them upright"
            ));
        }
        fit_each_other(&samples, &pictures, entries, &decoded)?;
        masks = Some(decoded);
    }
    leave_out(&name, &bad, samples.len(), &mut notes)?;
    notes.extend(pictures.note.clone());
    remark(&entries, &pictures, options, &mut notes);

    let whole = |i: &usize| pictures.files[*i].is_ok() && masks.as_ref().is_none_or(|masks| masks.files[*i].is_ok());
    let kept: Vec<usize> = (0..samples.len()).filter(whole).collect();
    let (mut classes, mut values, mut palette) = (Vec::new(), Vec::new(), Vec::new());
    if let (Some(masks), PictureTruth::Masks(entries)) = (&mut masks, &truth) {
        values = if options.known_values.is_empty() {
            number_masks(masks, entries, &mut notes)?
        } else {
            mask::number_as(masks.files.iter_mut().flatten().map(|read| &mut read.seen.bytes), &options.known_values, &mut notes)
                .context(name.clone())?;
            options.known_values.clone()
        };
        classes = (0..values.len()).map(|class| class.to_string()).collect();
        palette = common_palette(entries, masks, &values, &options.known_palette).context(name.clone())?;
    }
    if let PictureTruth::Classes(labels, names) = &mut truth {
        let trained = |class: u32| kept.iter().any(|&i| samples[i].part == Part::Train && labels[i] == Some(class));
        let lost = (0..names.len()).find(|&class| !trained(class as u32));
        ensure!(
            lost.is_none() || options.known_classes.is_some(),
            "no training picture of class `{}` in {name} can be read",
            names[lost.unwrap_or(0)]
        );
        classes = std::mem::take(names);
    }
    if let PictureTruth::Sets(sets) = &truth {
        classes.clone_from(&sets.names);
    }
    let split = |part: Part| {
        let of_part: Vec<usize> = kept.iter().copied().filter(|&i| samples[i].part == part).collect();
        let bytes = |decoded: &Decoded| {
            let parts: Vec<&[u8]> = of_part.iter().filter_map(|&i| Some(decoded.files[i].as_ref().ok()?.seen.bytes.as_slice())).collect();
            parts.concat()
        };
        let image = pictures.image;
        let truth = Truth {
            labels: match &truth {
                PictureTruth::Classes(labels, _) => of_part.iter().map(|&i| labels[i]).collect(),
                _ => None,
            },
            label_sets: match &truth {
                PictureTruth::Sets(sets) => Some(sets.select(&of_part)),
                _ => None,
            },
            targets: match &truth {
                PictureTruth::Numbers(targets) => Some(of_part.iter().map(|&i| targets[i]).collect()),
                _ => None,
            },
            masks: masks.as_ref().map(|masks| SharedRows::new(bytes(masks), image.height * image.width)),
            ..Truth::default()
        };
        let names = of_part.iter().map(|&i| samples[i].placed.entry.name.as_str().into()).collect();
        Split { names, ..Split::new(Samples::images(bytes(&pictures), image), truth) }
    };
    let test = Some(split(Part::Test)).filter(|test| !test.is_empty());
    let mut data = Dataset::new(tree::name_of(&tree.root), split(Part::Train), test).context(name)?;
    (data.classes, data.class_names, data.notes) = (classes.len() as u32, classes, notes);
    (data.mask_values, data.mask_palette) = (values, palette);
    Ok(data)
}

/// The pictures that are used, each with its part, and whether what is to be predicted of them are sets of labels.
fn samples<'a>(name: &str, layout: &FolderLayout<'a>, options: &ReadOptions, notes: &mut Vec<String>) -> Result<(Vec<Sample<'a>>, bool)> {
    let index::IndexRows { rows, sets } = match layout.index {
        Some(entry) => {
            let sheet = Sheet::parse(&entry.read().with_context(|| entry.name.clone())?, &entry.name)?;
            index::rows(&sheet, &layout.pictures, options, name, notes).context(name.to_string())?
        }
        None => {
            let target = options.target.as_deref().unwrap_or_default();
            ensure!(options.target.is_none(), "{name} has no index.csv that could have a column `{target}` (--target)");
            index::IndexRows { rows: vec![None; layout.pictures.len()], sets: false }
        }
    };
    let mut listed: Vec<(Placed<'a>, Option<index::IndexRow>)> = layout.pictures.iter().copied().zip(rows).collect();
    if layout.index.is_some() {
        let unlisted: Vec<&str> = listed.iter().filter(|(_, row)| row.is_none()).map(|(p, _)| p.entry.name.as_str()).collect();
        if !unlisted.is_empty() {
            notes.push(format!("{} pictures that index.csv does not name are left out: {}", unlisted.len(), some_of(&unlisted)));
        }
        listed.retain(|(_, row)| row.is_some());
        ensure!(!listed.is_empty(), "{name}: index.csv names none of the pictures");
    }
    // Where nothing will ever be tested, everything may be trained on.
    let plain = layout.index.is_none() && layout.masks.is_empty();
    let stray = |picture: &Placed<'_>| picture.class().is_none() && picture.part.is_none_or(|part| part == Part::Train);
    let strays: Vec<&str> = listed.iter().filter(|(picture, _)| stray(picture)).map(|(picture, _)| picture.entry.name.as_str()).collect();
    let mostly_classed = 2 * strays.len() <= listed.len();
    if plain && !strays.is_empty() && mostly_classed && !options.want_labels {
        // A picture too many must not take the labels from all others.
        notes.push(format!("{} pictures lie outside of the class folders and are left out: {}", strays.len(), some_of(&strays)));
        listed.retain(|(picture, _)| !stray(picture));
    }
    let bare = plain && !mostly_classed;
    let given: Option<Vec<Part>> = listed.iter().map(|(p, row)| row.as_ref().and_then(|row| row.part).or(p.part)).collect();
    let divide = |notes: &mut Vec<String>| {
        if options.undivided {
            return vec![Part::Train; listed.len()];
        }
        let paths: Vec<&str> = listed.iter().map(|(picture, _)| picture.rest).collect();
        let divided = Part::divide(&strata(&listed), &paths);
        notes.push(divided.note("picture"));
        divided.parts
    };
    let parts = match given {
        Some(mut parts) if parts.contains(&Part::Train) => {
            notes.extend(Part::settle(&mut parts));
            if parts.contains(&Part::Test) { parts } else { divide(notes) }
        }
        Some(_) => anyhow::bail!("{name} has test pictures, but none to train on"),
        None if bare && !options.want_labels => vec![Part::Train; listed.len()],
        None => divide(notes),
    };
    let sample = |((placed, row), part): ((Placed<'a>, Option<index::IndexRow>), Part)| Sample {
        placed,
        part,
        target: row.and_then(|row| Some((row.target?, row.line))),
    };
    let mut samples: Vec<Sample<'a>> = listed.into_iter().zip(parts).map(sample).filter(|s| s.part != Part::Val).collect();
    if let Some(column) = &options.target {
        let all = samples.len();
        samples.retain(|sample| sample.target.is_some());
        ensure!(!samples.is_empty(), "{name}: column `{column}` of index.csv is empty");
        if samples.len() < all {
            notes.push(format!("{} pictures without a value in column `{column}` are left out", all - samples.len()));
        }
    }
    Ok((samples, sets))
}

/// What pictures have in common that test pictures are drawn from: their class, by folder or by the index. Of numbers and masks
/// there is but one stratum.
fn strata<'a>(listed: &'a [(Placed<'_>, Option<index::IndexRow>)]) -> Vec<&'a str> {
    let of = |(picture, row): &'a (Placed<'_>, Option<index::IndexRow>)| {
        row.as_ref().and_then(|row| row.target.as_deref()).or(picture.class()).unwrap_or_default()
    };
    let strata: Vec<&str> = listed.iter().map(of).collect();
    let distinct = strata.iter().collect::<std::collections::BTreeSet<_>>().len();
    // Nearly as many values as pictures are numbers or names.
    let by_index = listed.iter().any(|(_, row)| row.is_some());
    if by_index && 2 * distinct > strata.len() { vec![""; listed.len()] } else { strata }
}

/// Says what is remarkable about pictures that could be read.
fn remark(entries: &[&Entry], pictures: &Decoded, options: &ReadOptions, notes: &mut Vec<String>) {
    let read =
        || entries.iter().zip(&pictures.files).filter_map(|(entry, file)| Some((entry.name.as_str(), file.as_ref().ok()?.seen.remarks)));
    for (of_kind, what) in Remarks::KINDS {
        let names: Vec<&str> = read().filter(|(_, remarks)| of_kind(remarks)).map(|(name, _)| name).collect();
        if !names.is_empty() {
            notes.push(format!("{} pictures of which each {what}: {}", names.len(), some_of(&names)));
        }
    }
    for depth in [8, 16] {
        let of_depth: Vec<Remarks> = read().map(|(_, remarks)| remarks).filter(|remarks| remarks.depth == depth).collect();
        let bits = of_depth.iter().map(|remarks| remarks.needed).max().unwrap_or(0);
        if options.bits.is_none() && (Remarks { depth, needed: bits, ..Remarks::default() }).nearly_black() {
            notes.push(format!(
                "{} pictures of {depth} bits have (nearly) no value above {} and are nearly black: --bits {bits} stretches {bits} bits over the \
                 whole range",
                of_depth.len(),
                (1_u32 << bits) - 1
            ));
        } else if depth == 16 && !of_depth.is_empty() {
            notes.push(format!("{} pictures of 16 bits are read with 8", of_depth.len()));
        }
    }
}

/// The size and the channels that all pictures get.
fn choose(looks: &[decode::Look], options: &ReadOptions, notes: &mut Vec<String>) -> Image {
    let sizes: std::collections::BTreeSet<(u32, u32)> = looks.iter().map(|look| (look.height, look.width)).collect();
    let common = sizes.first().filter(|_| sizes.len() == 1).copied();
    let usable = common.filter(|&(height, width)| height.max(width) <= LONGEST_SIDE);
    let (height, width) = options.size.map(|[height, width]| (height, width)).or(usable).unwrap_or((USUAL_SIDE, USUAL_SIDE));
    let grey_ones = looks.iter().filter(|look| look.grey).count();
    let grey = options.grey.unwrap_or(2 * grey_ones >= looks.len());
    let image = Image { height, width, channels: if grey { 1 } else { 3 } };
    let given = match common {
        Some((height, width)) => format!("{height}x{width}"),
        None => format!("of {} sizes", sizes.len()),
    };
    if common != Some((height, width)) {
        let how = match (options.resize, common) {
            (Resize::Crop(crop), Some((high, wide))) => Resize::Crop(crop.of(high, wide, image)).described(image),
            (Resize::Crop(_), None) => format!("{}; smaller ones are enlarged whole", options.resize.described(image)),
            (Resize::Letterbox, _) => options.resize.described(image),
        };
        let hint = if options.size.is_none() { "; --size HEIGHTxWIDTH names another size" } else { "" };
        notes.push(format!("pictures are {given}; resized to {height}x{width}, {how}{hint}"));
    }
    if options.grey.is_none() && grey_ones > 0 && grey_ones < looks.len() {
        let most = if grey { "grey, as most are" } else { "in colour, as most are" };
        notes.push(format!("{grey_ones} of {} pictures are grey: all are read {most} (--grey decides otherwise)", looks.len()));
    }
    image
}

/// Names and reasons of files that could not be read.
fn failures<'a>(entries: &[&'a Entry], decoded: &Decoded) -> Vec<(&'a str, String)> {
    let failed = |(entry, file): (&&'a Entry, &Result<_, String>)| Some((entry.name.as_str(), file.as_ref().err()?.clone()));
    entries.iter().zip(&decoded.files).filter_map(failed).collect()
}

/// Says which files could not be read; fails if they are too many.
fn leave_out(name: &str, bad: &[(&str, String)], count: usize, notes: &mut Vec<String>) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = bad.iter().map(|(file, why)| format!("{file} {why}")).collect();
    ensure!(2 * bad.len() <= count && bad.len() < count, "{} of {count} pictures in {name} cannot be read: {}", bad.len(), some_of(&said));
    notes.push(format!("{} of {count} pictures cannot be read and are left out: {}", bad.len(), some_of(&said)));
    Ok(())
}

/// Fails unless each mask is as large as its picture.
fn fit_each_other(samples: &[Sample<'_>], pictures: &Decoded, entries: &[&Entry], masks: &Decoded) -> Result<()> {
    for (i, sample) in samples.iter().enumerate() {
        if let (Ok(Read { look: picture, .. }), Ok(Read { look: mask, .. })) = (&pictures.files[i], &masks.files[i]) {
            ensure!(
                (picture.height, picture.width) == (mask.height, mask.width),
                "{} is {}x{}, its picture {} is {}x{}{}",
                entries[i].name,
                mask.height,
                mask.width,
                sample.placed.entry.name,
                picture.height,
                picture.width,
                if picture.turned { " (it is turned by its EXIF orientation: masks are for upright pictures)" } else { "" }
            );
        }
    }
    Ok(())
}

/// The palette of masks that have one. Fails where a class has other colours in some: then its value is not what tells it.
fn common_palette(entries: &[&Entry], masks: &Decoded, values: &[u8], known: &[u8]) -> Result<Vec<u8>> {
    let mut first = (known.to_vec(), "the run");
    for (entry, _) in entries.iter().zip(&masks.files).filter(|(_, file)| file.is_ok()) {
        let Some(palette) = entry.read().ok().and_then(|bytes| mask::palette(&bytes)) else { continue };
        if first.0.is_empty() {
            first = (palette, &entry.name);
            continue;
        }
        let colour = |palette: &[u8], value: u8| palette.get(3 * value as usize..3 * value as usize + 3).map(<[u8]>::to_vec);
        let other = values.iter().find(|&&value| {
            let (ours, theirs) = (colour(&first.0, value), colour(&palette, value));
            ours.is_some() && theirs.is_some() && ours != theirs
        });
        if let Some(value) = other {
            anyhow::bail!(
                "the palettes of masks differ: value {value} has another colour in {} than in {}; make the palettes one",
                entry.name,
                first.1
            );
        }
    }
    Ok(first.0)
}

/// Values of the classes in masks, which must be numbered from 0 without a gap; 0 and 255 are two classes too. Beside others, 255
/// is none: such pixels do not count.
fn number_masks(masks: &mut Decoded, entries: &[&Entry], notes: &mut Vec<String>) -> Result<Vec<u8>> {
    let mut first: [Option<usize>; 256] = [None; 256];
    for (i, read) in masks.files.iter().enumerate().filter_map(|(i, file)| Some((i, file.as_ref().ok()?))) {
        let mut has = [false; 256];
        read.seen.bytes.iter().for_each(|&value| has[value as usize] = true);
        (0..256).filter(|&value| has[value]).for_each(|value| first[value] = first[value].or(Some(i)));
    }
    let mut seen: Vec<usize> = (0..256).filter(|&value| first[value].is_some()).collect();
    let holds = |read: &&Read, value: u8| read.seen.bytes.contains(&value);
    if seen == [0, 1, 255] && !masks.files.iter().flatten().any(|read| holds(&read, 1) && holds(&read, 255)) {
        let [one, other] = [1, 255].map(|value: usize| first[value].map_or("", |i| entries[i].name.as_str()));
        anyhow::bail!("some masks have the values 0 and 1 ({one}), others 0 and 255 ({other}): write all in one way");
    }
    if seen == [0, 255] {
        notes.push("masks have the values 0 and 255: 255 is class 1".into());
        masks.files.iter_mut().flatten().for_each(|read| read.seen.bytes.iter_mut().for_each(|value| *value = (*value).min(1)));
        return Ok(vec![0, 255]);
    }
    if seen.len() > 2 && seen.last() == Some(&255) {
        notes.push("masks have the value 255 beside others: such pixels do not count".into());
        seen.pop();
    }
    let texts: Vec<String> = seen.iter().map(usize::to_string).collect();
    ensure!(seen.len() > 1, "all masks have the one value {}; there is nothing to tell apart", some_of(&texts));
    let gap = seen.iter().enumerate().find(|(expected, value)| expected != *value).map(|(_, value)| *value);
    let file = gap.and_then(|value| first[value]).map_or("", |i| entries[i].name.as_str());
    ensure!(
        gap.is_none(),
        "masks have the values {}; classes must be numbered 0, 1, 2 and so on without a gap ({file} has the value {})",
        texts.join(", "),
        gap.unwrap_or(0)
    );
    Ok(seen.iter().map(|&value| value as u8).collect())
}
