//! Image folders, on disk or in an archive: PNG and JPEG files, by class, by an `index.csv`, with masks, or just so.

use anyhow::{Context, Result, ensure};

use super::layout::Layout;
use super::sheet::{Sheet, some_of};
use super::source::{self, Entry, Tree};
use super::split::Part;
use super::store::{Codec, Decoded, Store, decode_all};
use super::truth::{self, Sample, Truth};
use super::{Dataset, ReadOptions, Split, decode, index, mask};
use crate::kernels::augment::Image;

/// The size of pictures that have no size in common, unless the user names one.
const USUAL_SIDE: u32 = 32;
/// Pictures with sides longer than this are not trained on as they are, unless the user says so.
const LONGEST_SIDE: u32 = 256;

const PICTURE: Codec = Codec { kind: "pictures", look: decode::look, decode: |bytes, image| decode::decode(bytes, image, false) };
const MASK: Codec = Codec { kind: "masks", look: mask::look, decode: mask::decode };

/// Reads everything below the root of `tree`.
pub(super) fn read(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let name = tree.root.display().to_string();
    let layout = Layout::of(tree)?;
    let mut notes = layout.notes.clone();
    let samples = samples(&name, &layout, options, &mut notes)?;
    let mut truth = truth::of(&name, &layout, &samples, options, &mut notes)?;
    let store = |codec: &Codec| {
        let asked = format!("size {:?}, grey {:?}", options.size, options.grey);
        options.cache.as_ref().map(|folder| Store::new(folder, &tree.root, codec.kind, &asked))
    };
    let entries: Vec<&Entry> = samples.iter().map(|sample| sample.placed.entry).collect();
    let pictures = decode_all(&entries, &PICTURE, store(&PICTURE).as_ref(), |looks| choose(looks, options, &mut notes));
    let mut masks = None;
    let mut bad: Vec<(&str, String)> = failures(&entries, &pictures);
    if let Truth::Masks(entries) = &truth {
        let frame = Image { channels: 1, ..pictures.image };
        let decoded = decode_all(entries, &MASK, store(&MASK).as_ref(), |_| frame);
        bad.extend(failures(entries, &decoded));
        fit_each_other(&samples, &pictures, entries, &decoded)?;
        masks = Some(decoded);
    }
    leave_out(&name, &bad, samples.len(), &mut notes)?;
    notes.extend(pictures.note.clone());

    let whole = |i: &usize| pictures.files[*i].is_ok() && masks.as_ref().is_none_or(|masks| masks.files[*i].is_ok());
    let kept: Vec<usize> = (0..samples.len()).filter(whole).collect();
    let (mut classes, mut values, mut palette) = (Vec::new(), Vec::new(), Vec::new());
    if let (Some(masks), Truth::Masks(entries)) = (&mut masks, &truth) {
        values = if options.known_values.is_empty() {
            number_masks(masks, entries, &mut notes)?
        } else {
            mask::number_as(masks.files.iter_mut().flatten().map(|(_, bytes)| bytes), &options.known_values, &mut notes)
                .context(name.clone())?;
            options.known_values.clone()
        };
        classes = (0..values.len()).map(|class| class.to_string()).collect();
        let palettes = entries.iter().zip(&masks.files).filter(|(_, file)| file.is_ok()).filter_map(|(entry, _)| entry.read().ok());
        palette = palettes.take(1).find_map(|bytes| mask::palette(&bytes)).unwrap_or_default();
    }
    if let Truth::Classes(labels, names) = &mut truth {
        let trained = |class: u32| kept.iter().any(|&i| samples[i].part == Part::Train && labels[i] == Some(class));
        let lost = (0..names.len()).find(|&class| !trained(class as u32));
        ensure!(
            lost.is_none() || options.known_classes.is_some(),
            "no training picture of class `{}` in {name} can be read",
            names[lost.unwrap_or(0)]
        );
        classes = std::mem::take(names);
    }
    let split = |part: Part| {
        let of_part: Vec<usize> = kept.iter().copied().filter(|&i| samples[i].part == part).collect();
        let bytes = |decoded: &Decoded| {
            let parts: Vec<&[u8]> = of_part.iter().filter_map(|&i| Some(decoded.files[i].as_ref().ok()?.1.as_slice())).collect();
            parts.concat()
        };
        Split {
            labels: match &truth {
                Truth::Classes(labels, _) => of_part.iter().map(|&i| labels[i]).collect(),
                _ => None,
            },
            targets: match &truth {
                Truth::Numbers(targets) => Some(of_part.iter().map(|&i| targets[i]).collect()),
                _ => None,
            },
            masks: masks.as_ref().map(bytes),
            names: of_part.iter().map(|&i| samples[i].placed.entry.name.clone()).collect(),
            ..Split::unlabelled(bytes(&pictures), pictures.image)
        }
    };
    let test = Some(split(Part::Test)).filter(|test| !test.is_empty());
    let mut data = Dataset::new(source::name_of(&tree.root), split(Part::Train), test).context(name)?;
    (data.classes, data.class_names, data.notes) = (classes.len() as u32, classes, notes);
    (data.mask_values, data.mask_palette) = (values, palette);
    Ok(data)
}

/// The pictures that are used, each with its part.
fn samples<'a>(name: &str, layout: &Layout<'a>, options: &ReadOptions, notes: &mut Vec<String>) -> Result<Vec<Sample<'a>>> {
    let rows = match layout.index {
        Some(entry) => {
            let sheet = Sheet::parse(&entry.read().with_context(|| entry.name.clone())?, &entry.name)?;
            index::rows(&sheet, &layout.pictures, options.target.as_deref()).context(name.to_string())?
        }
        None => {
            let target = options.target.as_deref().unwrap_or_default();
            ensure!(options.target.is_none(), "{name} has no index.csv that could have a column `{target}` (--target)");
            vec![None; layout.pictures.len()]
        }
    };
    let mut listed: Vec<_> = layout.pictures.iter().zip(rows).collect();
    if layout.index.is_some() {
        let unlisted: Vec<&str> = listed.iter().filter(|(_, row)| row.is_none()).map(|(p, _)| p.entry.name.as_str()).collect();
        if !unlisted.is_empty() {
            notes.push(format!("{} pictures that index.csv does not name are left out: {}", unlisted.len(), some_of(&unlisted)));
        }
        listed.retain(|(_, row)| row.is_some());
        ensure!(!listed.is_empty(), "{name}: index.csv names none of the pictures");
    }
    let given: Option<Vec<Part>> = listed.iter().map(|(p, row)| row.as_ref().and_then(|row| row.part).or(p.part)).collect();
    // Where nothing will ever be tested, everything may be trained on.
    let bare = layout.index.is_none() && layout.masks.is_empty() && listed.iter().any(|(picture, _)| picture.class().is_none());
    let parts = match given {
        Some(mut parts) if parts.contains(&Part::Train) => {
            notes.extend(Part::settle(&mut parts));
            if !parts.contains(&Part::Test) {
                notes.push(Part::rule("picture, by name,", listed.len()));
                parts = (0..listed.len()).map(Part::by_index).collect();
            }
            parts
        }
        Some(_) => anyhow::bail!("{name} has test pictures, but none to train on"),
        None if bare && !options.want_labels => vec![Part::Train; listed.len()],
        None => {
            notes.push(Part::rule("picture, by name,", listed.len()));
            (0..listed.len()).map(Part::by_index).collect()
        }
    };
    let sample = |((placed, row), part): ((&super::layout::Placed<'a>, Option<index::Row>), Part)| Sample {
        placed: *placed,
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
    Ok(samples)
}

/// The size and the channels that all pictures get.
fn choose(looks: &[decode::Look], options: &ReadOptions, notes: &mut Vec<String>) -> Image {
    let sizes: std::collections::BTreeSet<(u32, u32)> = looks.iter().map(|look| (look.height, look.width)).collect();
    let common = sizes.first().filter(|_| sizes.len() == 1).copied();
    let usable = common.filter(|&(height, width)| height.max(width) <= LONGEST_SIDE);
    let (height, width) = options.size.map(|[height, width]| (height, width)).or(usable).unwrap_or((USUAL_SIDE, USUAL_SIDE));
    let grey_ones = looks.iter().filter(|look| look.grey).count();
    let grey = options.grey.unwrap_or(2 * grey_ones >= looks.len());
    let given = match common {
        Some((height, width)) => format!("{height}x{width}"),
        None => format!("of {} sizes", sizes.len()),
    };
    if common != Some((height, width)) {
        let hint = if options.size.is_none() { "; --size HEIGHTxWIDTH names another size" } else { "" };
        notes.push(format!("pictures are {given}; resized to {height}x{width}, with borders where proportions differ{hint}"));
    }
    if options.grey.is_none() && grey_ones > 0 && grey_ones < looks.len() {
        let most = if grey { "grey, as most are" } else { "in colour, as most are" };
        notes.push(format!("{grey_ones} of {} pictures are grey: all are read {most} (--grey decides otherwise)", looks.len()));
    }
    Image { height, width, channels: if grey { 1 } else { 3 } }
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
        if let (Ok((picture, _)), Ok((mask, _))) = (&pictures.files[i], &masks.files[i]) {
            ensure!(
                (picture.height, picture.width) == (mask.height, mask.width),
                "{} is {}x{}, its picture {} is {}x{}",
                entries[i].name,
                mask.height,
                mask.width,
                sample.placed.entry.name,
                picture.height,
                picture.width
            );
        }
    }
    Ok(())
}

/// Values of the classes in masks, which must be numbered from 0 without a gap; 0 and 255 are two classes too. Beside others, 255
/// is none: such pixels do not count.
fn number_masks(masks: &mut Decoded, entries: &[&Entry], notes: &mut Vec<String>) -> Result<Vec<u8>> {
    let mut first: [Option<usize>; 256] = [None; 256];
    for (i, (_, bytes)) in masks.files.iter().enumerate().filter_map(|(i, file)| Some((i, file.as_ref().ok()?))) {
        let mut has = [false; 256];
        bytes.iter().for_each(|&value| has[value as usize] = true);
        (0..256).filter(|&value| has[value]).for_each(|value| first[value] = first[value].or(Some(i)));
    }
    let mut seen: Vec<usize> = (0..256).filter(|&value| first[value].is_some()).collect();
    if seen == [0, 255] {
        notes.push("masks have the values 0 and 255: 255 is class 1".into());
        masks.files.iter_mut().flatten().for_each(|(_, bytes)| bytes.iter_mut().for_each(|value| *value = (*value).min(1)));
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
