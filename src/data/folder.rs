//! Folders of samples, on disk or in an archive: a file for each, by class, by an `index.csv`, with masks, or just so.

use anyhow::{Context, Result, ensure};

use super::decode::{Look, PictureOptions, Remarks, Seen};
use super::decode_cache::{Codec, Decoded, FilePart, Read, Store, decode_all};
use super::excerpt::Excerpt;
use super::label_sets::LabelSets;
use super::layout::{FolderLayout, Placed};
use super::names::some_of;
use super::picture_truth::{self, PictureTruth, Sample};
use super::reader::Reader;
use super::sheet::Sheet;
use super::split::Part;
use super::tree::{self, Entry, Tree};
use super::{Dataset, MOST_SIDE, ReadOptions, Resize, SharedRows, Split, Transcripts, Truth, TruthKind, decode, index, mask};
use crate::core::sample::{Image, Subject};

/// The size of pictures that have no size in common, unless the user names one.
const USUAL_SIDE: u32 = 32;
/// Pictures with sides longer than this are not trained on as they are, unless the user says so.
const LONGEST_SIDE: u32 = 256;

/// What files of folders are, each of which is a sample or several.
pub(super) trait Medium: Codec {
    const SUBJECT: Subject;

    /// What all become, by looks at each.
    fn choose(looks: &[(Self::Look, Option<Excerpt>)], options: &ReadOptions, notes: &mut Vec<String>) -> Result<PictureOptions>;

    /// Fails where options make no sense of it; `name` is that of the data.
    fn check(_name: &str, _options: &ReadOptions) -> Result<()> {
        Ok(())
    }

    /// Says what is remarkable beyond [`Remarks::KINDS`].
    fn remark(_remarks: &[Remarks], _options: &ReadOptions, _notes: &mut Vec<String>) {}

    /// Of what can be seen: size and kind.
    fn seen(look: Self::Look) -> Option<Look>;
}

struct Mask;

impl Codec for Mask {
    type Look = Look;
    const KIND: &'static str = "masks";

    fn look(entry: &Entry, most: u64) -> Result<Look> {
        mask::look(&entry.read()?, most)
    }

    fn decode(entry: &Entry, _: Option<Excerpt>, options: &PictureOptions) -> Result<Seen> {
        Ok(Seen { bytes: mask::decode(&entry.read()?, options.image, options.most_bytes)?, remarks: Remarks::default() })
    }
}

pub(super) static READER: Pictures = Pictures;

pub(super) struct Pictures;

impl Reader for Pictures {
    fn name(&self) -> &'static str {
        "a folder of pictures"
    }

    fn help(&self) -> &'static str {
        "PNG, JPEG, WebP, GIF, BMP or TIFF: a folder for each class, an index.csv, or folders images and masks."
    }

    /// Where there are more sounds than pictures, these are about them.
    fn is_in(&self, tree: &Tree) -> bool {
        let pictures = tree.count(Subject::Pictures);
        pictures > 0 && pictures >= tree.count(Subject::Sounds)
    }

    fn read(&self, tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
        read::<Pictures>(tree, options)
    }
}

impl Codec for Pictures {
    type Look = Look;
    const KIND: &'static str = "pictures";

    fn look(entry: &Entry, most: u64) -> Result<Look> {
        decode::look(&entry.read()?, most)
    }

    fn decode(entry: &Entry, _: Option<Excerpt>, options: &PictureOptions) -> Result<Seen> {
        decode::decode(&entry.read()?, options)
    }
}

/// Reads everything below the root of `tree` that is of a medium.
pub(super) fn read<M: Medium>(tree: &Tree, options: &ReadOptions) -> Result<Dataset> {
    let (name, many) = (tree.root.display().to_string(), M::SUBJECT.many());
    M::check(&name, options)?;
    let layout = FolderLayout::of(tree, M::SUBJECT)?;
    let options = &with_transcripts(&layout, options).context(name.clone())?;
    let mut notes = layout.notes.clone();
    let (samples, sets) = samples(&name, &layout, options, &mut notes)?;
    let mut truth = picture_truth::of(&name, &layout, &samples, sets, options, &mut notes)?;
    ensure!(
        !matches!(truth, PictureTruth::Masks(_)) || options.resize == Resize::Letterbox,
        "masks are of whole pictures, of which --resize {} leaves the edges out: say --resize letterbox",
        options.resize
    );
    let store = |kind: &str| {
        let resize = if options.resize == Resize::Letterbox { String::new() } else { format!(", resize {}", options.resize) };
        let asked = format!("size {:?}, grey {:?}, bits {:?}{resize}", options.size, options.grey, options.bits);
        let asked = options.rate.map_or(asked.clone(), |rate| format!("{asked}, rate {rate}"));
        options.cache.as_ref().map(|folder| Store::new(folder, &tree.root, kind, &asked))
    };
    let pieces: Vec<FilePart<'_>> = samples.iter().map(Sample::piece).collect();
    let pictures = decode_all::<M>(&pieces, store(M::KIND).as_ref(), options, |looks| M::choose(looks, options, &mut notes))?;
    let image = pictures.options.image;
    let mut masks = None;
    let of_masks: Vec<FilePart<'_>> = match &truth {
        PictureTruth::Masks(entries) => entries.iter().map(|entry| FilePart::whole(entry)).collect(),
        _ => Vec::new(),
    };
    let mut bad: Vec<(&str, String)> = failures(&pieces, &pictures);
    if let PictureTruth::Masks(entries) = &truth {
        let frame = PictureOptions::plain(Image { channels: 1, ..image });
        let decoded = decode_all::<Mask>(&of_masks, store(Mask::KIND).as_ref(), options, |_| Ok(frame))?;
        bad.extend(failures(&of_masks, &decoded));
        let seen = |file: &Result<Read<M::Look>, String>| file.as_ref().ok().and_then(|read| M::seen(read.look));
        let turned = pictures.files.iter().filter_map(seen).filter(|look| look.turned).count();
        if turned > 0 {
            notes.push(format!(
                "{turned} pictures are turned or mirrored by their EXIF orientation: their masks are taken to be for them upright"
            ));
        }
        let looks: Vec<Option<Look>> = pictures.files.iter().map(seen).collect();
        fit_each_other(&samples, &looks, entries, &decoded)?;
        masks = Some(decoded);
    }
    leave_out(&name, many, &bad, samples.len(), &mut notes)?;
    notes.extend(pictures.note.clone());
    remark::<M>(&pieces, &pictures, options, &mut notes);

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
            "no training {} of class `{}` in {name} can be read",
            M::SUBJECT.one(),
            names[lost.unwrap_or(0)]
        );
        classes = std::mem::take(names);
    }
    match &truth {
        PictureTruth::Sets(LabelSets { names, .. }) | PictureTruth::Transcripts(_, names) => classes.clone_from(names),
        _ => {}
    }
    let longest = pictures.files.iter().flatten().map(|read| read.seen.bytes.len()).max().unwrap_or(0);
    let split = |part: Part| -> Result<Split> {
        let of_part: Vec<usize> = kept.iter().copied().filter(|&i| samples[i].part == part).collect();
        fn bytes<L>(decoded: &Decoded<L>, of_part: &[usize]) -> Vec<u8> {
            let parts: Vec<&[u8]> = of_part.iter().filter_map(|&i| Some(decoded.files[i].as_ref().ok()?.seen.bytes.as_slice())).collect();
            parts.concat()
        }
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
            masks: masks.as_ref().map(|masks| SharedRows::new(bytes(masks, &of_part), image.height * image.width)),
            transcripts: match &truth {
                PictureTruth::Transcripts(texts, alphabet) => {
                    Some(Transcripts::new(&of_part.iter().map(|&i| texts[i].as_str()).collect::<Vec<_>>(), alphabet)?)
                }
                _ => None,
            },
            ..Truth::default()
        };
        let names = of_part.iter().map(|&i| pieces[i].name.as_str().into()).collect();
        let seen = of_part.iter().filter_map(|&i| Some(&pictures.files[i].as_ref().ok()?.seen));
        Ok(Split { names, ..Split::new(decode::samples(seen, &pictures.options, longest)?, truth) })
    };
    let test = Some(split(Part::Test)?).filter(|test| !test.is_empty());
    let mut data = Dataset::new(tree::name_of(&tree.root), split(Part::Train)?, test).context(name)?;
    (data.classes, data.class_names, data.notes) = (classes.len() as u32, classes, notes);
    (data.mask_values, data.mask_palette, data.sound_form) = (values, palette, pictures.options.sound_form);
    Ok(data)
}

/// The options, with the column of transcripts where these are wanted and nobody named it.
fn with_transcripts(layout: &FolderLayout<'_>, options: &ReadOptions) -> Result<ReadOptions> {
    let mut options = options.clone();
    if let (Some(TruthKind::Transcripts), None, Some(entry)) = (options.truth, &options.target, layout.index) {
        let sheet = Sheet::parse(&entry.read().with_context(|| entry.name.clone())?, &entry.name)?;
        options.target = Some(index::transcript_column(&sheet)?.to_string());
    }
    Ok(options)
}

/// The samples that are used, each with its part, and whether what is to be predicted of them are sets of labels.
fn samples<'a>(name: &str, layout: &FolderLayout<'a>, options: &ReadOptions, notes: &mut Vec<String>) -> Result<(Vec<Sample<'a>>, bool)> {
    let many = layout.subject.many();
    let index::IndexRows { rows, sets } = match layout.index {
        Some(entry) => {
            let sheet = Sheet::parse(&entry.read().with_context(|| entry.name.clone())?, &entry.name)?;
            index::rows(&sheet, &layout.pictures, layout.subject, options, name, notes).context(name.to_string())?
        }
        None => {
            let target = options.target.as_deref().unwrap_or_default();
            ensure!(options.target.is_none(), "{name} has no index.csv that could have a column `{target}` (--target)");
            index::IndexRows { rows: vec![Vec::new(); layout.pictures.len()], sets: false }
        }
    };
    let each = |(picture, rows): (&Placed<'a>, Vec<index::IndexRow>)| -> Vec<(Placed<'a>, Option<index::IndexRow>)> {
        let none = rows.is_empty().then_some((*picture, None));
        rows.into_iter().map(|row| (*picture, Some(row))).chain(none).collect()
    };
    let mut listed: Vec<(Placed<'a>, Option<index::IndexRow>)> = layout.pictures.iter().zip(rows).flat_map(each).collect();
    if layout.index.is_some() {
        let unlisted: Vec<&str> = listed.iter().filter(|(_, row)| row.is_none()).map(|(p, _)| p.entry.name.as_str()).collect();
        if !unlisted.is_empty() {
            notes.push(format!("{} {many} that index.csv does not name are left out: {}", unlisted.len(), some_of(&unlisted)));
        }
        listed.retain(|(_, row)| row.is_some());
        ensure!(!listed.is_empty(), "{name}: index.csv names none of the {many}");
    }
    // Where nothing will ever be tested, everything may be trained on.
    let plain = layout.index.is_none() && layout.masks.is_empty();
    let stray = |picture: &Placed<'_>| picture.class().is_none() && picture.part.is_none_or(|part| part == Part::Train);
    let strays: Vec<&str> = listed.iter().filter(|(picture, _)| stray(picture)).map(|(picture, _)| picture.entry.name.as_str()).collect();
    let mostly_classed = 2 * strays.len() <= listed.len();
    if plain && !strays.is_empty() && mostly_classed && !options.want_labels {
        // A picture too many must not take the labels from all others.
        notes.push(format!("{} {many} lie outside of the class folders and are left out: {}", strays.len(), some_of(&strays)));
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
        notes.push(divided.note(layout.subject.one()));
        divided.parts
    };
    let parts = match given {
        Some(mut parts) if parts.contains(&Part::Train) => {
            notes.extend(Part::settle(&mut parts));
            if parts.contains(&Part::Test) { parts } else { divide(notes) }
        }
        Some(_) => anyhow::bail!("{name} has test {many}, but none to train on"),
        None if bare && !options.want_labels => vec![Part::Train; listed.len()],
        None => divide(notes),
    };
    let sample = |((placed, row), part): ((Placed<'a>, Option<index::IndexRow>), Part)| Sample {
        placed,
        part,
        excerpt: row.as_ref().and_then(|row| row.excerpt),
        target: row.and_then(|row| Some((row.target?, row.line))),
    };
    let mut samples: Vec<Sample<'a>> = listed.into_iter().zip(parts).map(sample).filter(|s| s.part != Part::Val).collect();
    if let Some(column) = &options.target {
        let all = samples.len();
        samples.retain(|sample| sample.target.is_some());
        ensure!(!samples.is_empty(), "{name}: column `{column}` of index.csv is empty");
        if samples.len() < all {
            notes.push(format!("{} {many} without a value in column `{column}` are left out", all - samples.len()));
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

/// Says what is remarkable about what could be read.
fn remark<M: Medium>(pieces: &[FilePart<'_>], decoded: &Decoded<M::Look>, options: &ReadOptions, notes: &mut Vec<String>) {
    let read =
        || pieces.iter().zip(&decoded.files).filter_map(|(piece, file)| Some((piece.name.as_str(), file.as_ref().ok()?.seen.remarks)));
    for (of_kind, what) in Remarks::KINDS {
        let names: Vec<&str> = read().filter(|(_, remarks)| of_kind(remarks)).map(|(name, _)| name).collect();
        if !names.is_empty() {
            notes.push(format!("{} {} of which each {what}: {}", names.len(), M::SUBJECT.many(), some_of(&names)));
        }
    }
    M::remark(&read().map(|(_, remarks)| remarks).collect::<Vec<_>>(), options, notes);
}

/// Says so of pictures that are nearly black, and of those that lose bits.
fn remark_on_depth(read: &[Remarks], options: &ReadOptions, notes: &mut Vec<String>) {
    for depth in [8, 16] {
        let of_depth: Vec<Remarks> = read.iter().copied().filter(|remarks| remarks.depth == depth).collect();
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
fn choose(looks: &[Look], options: &ReadOptions, notes: &mut Vec<String>) -> Image {
    let sizes: std::collections::BTreeSet<(u32, u32)> = looks.iter().map(|look| (look.height, look.width)).collect();
    let common = sizes.first().filter(|_| sizes.len() == 1).copied();
    let usable = common.filter(|&(height, width)| height.max(width) <= LONGEST_SIDE);
    // Of lines, the longest fits.
    let long = looks.iter().map(|look| (f64::from(look.width) / f64::from(look.height) * f64::from(USUAL_SIDE)).ceil() as u32).max();
    let width = if options.truth == Some(TruthKind::Transcripts) { long.unwrap_or(USUAL_SIDE).min(MOST_SIDE) } else { USUAL_SIDE };
    let (height, width) = options.size.map(|[height, width]| (height, width)).or(usable).unwrap_or((USUAL_SIDE, width));
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

impl Medium for Pictures {
    const SUBJECT: Subject = Subject::Pictures;

    fn choose(looks: &[(Look, Option<Excerpt>)], options: &ReadOptions, notes: &mut Vec<String>) -> Result<PictureOptions> {
        let looks: Vec<Look> = looks.iter().map(|(look, _)| *look).collect();
        Ok(PictureOptions::plain(choose(&looks, options, notes)))
    }

    fn remark(remarks: &[Remarks], options: &ReadOptions, notes: &mut Vec<String>) {
        remark_on_depth(remarks, options, notes);
    }

    fn seen(look: Look) -> Option<Look> {
        Some(look)
    }
}

/// Names and reasons of what could not be read.
fn failures<'a, L>(pieces: &'a [FilePart<'_>], decoded: &Decoded<L>) -> Vec<(&'a str, String)> {
    let failed = |(piece, file): (&'a FilePart<'_>, &Result<_, String>)| Some((piece.name.as_str(), file.as_ref().err()?.clone()));
    pieces.iter().zip(&decoded.files).filter_map(failed).collect()
}

/// Says which files could not be read; fails if they are too many.
fn leave_out(name: &str, many: &str, bad: &[(&str, String)], count: usize, notes: &mut Vec<String>) -> Result<()> {
    if bad.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = bad.iter().map(|(file, why)| format!("{file} {why}")).collect();
    ensure!(2 * bad.len() <= count && bad.len() < count, "{} of {count} {many} in {name} cannot be read: {}", bad.len(), some_of(&said));
    notes.push(format!("{} of {count} {many} cannot be read and are left out: {}", bad.len(), some_of(&said)));
    Ok(())
}

/// Fails unless each mask is as large as its picture.
fn fit_each_other(samples: &[Sample<'_>], pictures: &[Option<Look>], entries: &[&Entry], masks: &Decoded<Look>) -> Result<()> {
    for (i, sample) in samples.iter().enumerate() {
        if let (Some(picture), Ok(Read { look: mask, .. })) = (&pictures[i], &masks.files[i]) {
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
fn common_palette(entries: &[&Entry], masks: &Decoded<Look>, values: &[u8], known: &[u8]) -> Result<Vec<u8>> {
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
fn number_masks(masks: &mut Decoded<Look>, entries: &[&Entry], notes: &mut Vec<String>) -> Result<Vec<u8>> {
    let mut first: [Option<usize>; 256] = [None; 256];
    for (i, read) in masks.files.iter().enumerate().filter_map(|(i, file)| Some((i, file.as_ref().ok()?))) {
        let mut has = [false; 256];
        read.seen.bytes.iter().for_each(|&value| has[value as usize] = true);
        (0..256).filter(|&value| has[value]).for_each(|value| first[value] = first[value].or(Some(i)));
    }
    let mut seen: Vec<usize> = (0..256).filter(|&value| first[value].is_some()).collect();
    let holds = |read: &&Read<Look>, value: u8| read.seen.bytes.contains(&value);
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
