//! The readers: sound inputs of each, how these are changed, and how what comes of it is read.

use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use wgraft::core::sample::{Image, SampleType};
use wgraft::data::{
    Dataset, DividedText, Interpolation, LanguageTokenizer, LoadedTexts, PictureOptions, ReadOptions, Resize, SoundForm, Spectrogram,
    Split, Table, TruthKind, load_picture, look_at,
};
use wgraft::models::ModelSettings;
use wgraft::train::{Checkpoint, FinetuneSettings, PretrainSettings, Record, Task, Weights, overlay};

use crate::mutate::{self, Input, Rng};

/// Of a picture when decoded.
const MOST_PICTURE_BYTES: u64 = 16 << 20;

pub struct Target {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Input>,
    /// The last argument is another seed, to take parts from.
    pub mutate: fn(&mut Rng, &mut Input, &Input),
    /// Reads what lies at a path; whether it was accepted.
    pub read: fn(&Path, &Input) -> bool,
}

pub static ALL: [Target; 27] = [
    Target { name: "idx", seeds: idx, mutate: files, read: images },
    Target { name: "cifar", seeds: cifar, mutate: files, read: images },
    Target { name: "pixels", seeds: pixels, mutate: text, read: read_pixels },
    Target { name: "table", seeds: table, mutate: text, read: read_table },
    Target { name: "texts", seeds: texts, mutate: text, read: read_texts },
    Target { name: "tags", seeds: tags, mutate: text, read: read_tags },
    Target { name: "tokenizer", seeds: tokenizers, mutate: text, read: read_tokenizer },
    Target { name: "index", seeds: index, mutate: text, read: read_index },
    Target { name: "png", seeds: || pictures(ImageFormat::Png), mutate: pngs, read: picture },
    Target { name: "jpeg", seeds: || pictures(ImageFormat::Jpeg), mutate: files, read: picture },
    Target { name: "webp", seeds: || pictures(ImageFormat::WebP), mutate: files, read: picture },
    Target { name: "gif", seeds: || pictures(ImageFormat::Gif), mutate: files, read: picture },
    Target { name: "bmp", seeds: || pictures(ImageFormat::Bmp), mutate: files, read: picture },
    Target { name: "tiff", seeds: || pictures(ImageFormat::Tiff), mutate: files, read: picture },
    Target { name: "wav", seeds: wavs, mutate: files, read: sound },
    Target { name: "sounds", seeds: sounds, mutate: files, read: sound },
    Target { name: "masks", seeds: masks, mutate: pngs, read: read_masks },
    Target { name: "tar", seeds: || archives("data.tar", tarred), mutate: tars, read: read_archive },
    Target { name: "tar.gz", seeds: || archives("data.tar.gz", |files| gzipped(&tarred(files))), mutate: files, read: read_archive },
    Target { name: "zip", seeds: || archives("data.zip", zipped), mutate: files, read: read_archive },
    Target { name: "labels", seeds: labels, mutate: text, read: read_labels },
    Target { name: "config", seeds: config, mutate: text, read: read_config },
    Target { name: "weights", seeds: weights, mutate: tensors, read: read_weights },
    Target { name: "pth", seeds: pth, mutate: files, read: read_weights },
    Target { name: "onnx", seeds: onnx, mutate: files, read: read_weights },
    Target { name: "checkpoint", seeds: checkpoints, mutate: tensors, read: |root, input| Checkpoint::load(&first(root, input)).is_ok() },
    Target { name: "layout", seeds: layouts, mutate: |rng, input, _| mutate::tree(rng, input), read: read_layout },
];

// Changes.

/// One of the files, the first one as often as all others.
fn one(rng: &mut Rng, input: &Input) -> usize {
    if rng.below(2) == 0 { 0 } else { rng.below(input.files.len()) }
}

/// One of the files, as bytes.
fn files(rng: &mut Rng, input: &mut Input, other: &Input) {
    let (at, from) = (one(rng, input), one(rng, other));
    mutate::bytes(rng, &mut input.files[at].1, &other.files[from].1);
}

/// The last file, as words mostly.
fn text(rng: &mut Rng, input: &mut Input, other: &Input) {
    let (data, from) = (&mut input.files.last_mut().expect("a file").1, &other.files.last().expect("a file").1);
    if rng.below(4) == 0 { mutate::bytes(rng, data, from) } else { mutate::words(rng, data) }
}

fn pngs(rng: &mut Rng, input: &mut Input, other: &Input) {
    if rng.below(3) == 0 {
        return files(rng, input, other);
    }
    let at = one(rng, input);
    mutate::png(rng, &mut input.files[at].1);
}

fn tars(rng: &mut Rng, input: &mut Input, other: &Input) {
    mutate::tar(rng, &mut input.files[0].1, &other.files[0].1);
}

/// The text at the head of a safetensors file, with its length right, or any bytes.
fn tensors(rng: &mut Rng, input: &mut Input, other: &Input) {
    let data = &mut input.files[0].1;
    let end = 8 + u64::from_le_bytes(data[..8].try_into().expect("8 bytes")) as usize;
    if rng.below(3) == 0 {
        return mutate::bytes(rng, data, &other.files[0].1);
    }
    let mut head = data[8..end].to_vec();
    if rng.below(3) == 0 {
        mutate::bytes(rng, &mut head, &other.files[0].1)
    } else {
        mutate::words(rng, &mut head)
    }
    let tail = data.split_off(end);
    *data = [&(head.len() as u64).to_le_bytes()[..], &head, &tail].concat();
}

// Readers.

fn first(root: &Path, input: &Input) -> std::path::PathBuf {
    root.join(&input.files[0].0)
}

fn options() -> ReadOptions {
    ReadOptions { want_labels: true, most_picture_bytes: Some(MOST_PICTURE_BYTES), ..ReadOptions::default() }
}

fn images(root: &Path, _: &Input) -> bool {
    Dataset::load(root, &options()).is_ok()
}

fn picture(root: &Path, input: &Input) -> bool {
    let path = first(root, input);
    let as_colour = Image { height: 16, width: 16, channels: 3 };
    let bordered = PictureOptions { most_bytes: MOST_PICTURE_BYTES, ..PictureOptions::plain(as_colour) };
    let cropped = PictureOptions { resize: Resize::crop(0.875, Interpolation::Bicubic), ..bordered };
    look_at(&path).is_ok() & load_picture(&path, &bordered).is_ok() & load_picture(&path, &cropped).is_ok()
}

fn sound(root: &Path, input: &Input) -> bool {
    let image = Image { height: 40, width: 32, channels: 1 };
    let sound_form = Some(SoundForm::Picture(Spectrogram::of_rate(8000)));
    let options = PictureOptions { sound_form, most_bytes: MOST_PICTURE_BYTES, ..PictureOptions::plain(image) };
    load_picture(&first(root, input), &options).is_ok()
}

fn read_masks(root: &Path, _: &Input) -> bool {
    Dataset::load(root, &ReadOptions { truth: Some(TruthKind::Masks), ..options() }).is_ok()
}

fn read_index(root: &Path, _: &Input) -> bool {
    Dataset::load(root, &ReadOptions { target: Some("label".into()), ..options() }).is_ok()
}

/// With labels of each kind, or without.
fn read_layout(root: &Path, input: &Input) -> bool {
    let unlabelled = || Dataset::load(root, &ReadOptions { want_labels: false, ..options() }).is_ok();
    images(root, input) || read_masks(root, input) || unlabelled()
}

fn read_pixels(root: &Path, input: &Input) -> bool {
    images(&first(root, input), input)
}

fn read_archive(root: &Path, input: &Input) -> bool {
    let path = first(root, input);
    images(&path, input) || read_index(&path, input)
}

fn read_table(root: &Path, input: &Input) -> bool {
    let path = first(root, input);
    let options = ReadOptions { target: Some("y".into()), ..options() };
    let read = Table::load(&path, &options);
    read.is_ok_and(|table| table.encoding.read(&path, &mut Vec::new()).is_ok() && Dataset::load(&path, &options).is_ok())
}

/// With labels, without, and to predict.
fn read_texts(root: &Path, input: &Input) -> bool {
    let path = first(root, input);
    let unlabelled = || Dataset::load(&path, &ReadOptions { want_labels: false, ..options() }).is_ok();
    let several = || Dataset::load(&path, &ReadOptions { truth: Some(TruthKind::LabelSets), ..options() }).is_ok();
    let labelled = Dataset::load(&path, &options()).is_ok_and(|data| data.given_labels(&path, 0.0).is_ok() || data.classes > 0);
    LoadedTexts::of_file(&path, None, None, None).is_ok_and(|found| !found.texts.is_empty()) && (several() | (labelled || unlabelled()))
}

fn read_tags(root: &Path, input: &Input) -> bool {
    let path = first(root, input);
    let words = DividedText::of_file(&path).is_ok_and(|found| found.is_some_and(|texts| !texts.is_empty()));
    Dataset::load(&path, &ReadOptions { truth: Some(TruthKind::Tags), ..options() }).is_ok() & words
}

/// And makes tokens of texts, whole and of words; all are of its vocabulary.
fn read_tokenizer(root: &Path, input: &Input) -> bool {
    let Ok(tokenizer) = LanguageTokenizer::read(&first(root, input), None) else { return false };
    let vocabulary = tokenizer.vocabulary() as u32;
    for text in ["Playing caf\u{e9}s, [MASK] \u{5929} <x>", "", "ab  a\u{e9}\u{301}\u{0}", "playplayplay ingabababab"] {
        let all = tokenizer.encode(text, 64).ids.into_iter().chain(tokenizer.encode_words(&[text, "", "ab"], 64).0.ids);
        all.for_each(|id| assert!(id < vocabulary, "token {id} of {vocabulary}"));
    }
    serde_json::to_vec(&tokenizer)
        .is_ok_and(|saved| serde_json::from_slice::<LanguageTokenizer>(&saved).is_ok_and(|again| again == tokenizer))
}

fn read_labels(root: &Path, input: &Input) -> bool {
    let image = Image { height: 1, width: 1, channels: 1 };
    let train = Split { names: (0..6).map(|i| format!("{i}.png").into()).collect(), ..Split::unlabelled(vec![0; 6], image) };
    let data = Dataset {
        name: "data".into(),
        root: std::path::PathBuf::new(),
        train,
        test: None,
        out_of_scope: [None, None],
        classes: 2,
        class_names: vec!["a".into(), "b".into()],
        notes: Vec::new(),
        encoding: None,
        tokenizer: None,
        sound_form: None,
        mask_values: Vec::new(),
        mask_palette: Vec::new(),
    };
    let several = data.given_sets(&first(root, input), 0.5, Some(true)).ok().flatten();
    several.is_some_and(|given| !data.clone().labelled_by_sets(&given).train.is_empty())
        | data.given_labels(&first(root, input), 0.5).is_ok_and(|given| !data.labelled_by(&given).train.is_empty())
}

fn read_weights(root: &Path, input: &Input) -> bool {
    let image = Image { height: 1, width: 1, channels: 1 };
    let samples = Split::unlabelled(vec![0], image);
    Weights::of(Some(&first(root, input)), &mut ModelSettings::mlp(vec![4]), &samples).is_ok()
}

/// As `--config` is read: over the defaults.
fn read_config(root: &Path, input: &Input) -> bool {
    let Ok(text) = std::fs::read_to_string(first(root, input)) else { return false };
    let Ok(mut file) = toml::from_str::<Value>(&text) else { return false };
    if let Some(table) = file.as_object_mut() {
        table.remove("command");
    }
    fn over<T: Default + serde::Serialize + serde::de::DeserializeOwned>(file: &Value) -> Option<T> {
        let mut settings = serde_json::to_value(T::default()).expect("settings are values");
        overlay(&mut settings, file.clone());
        serde_json::from_value(settings).ok()
    }
    let pretrain = over::<PretrainSettings>(&file).is_some_and(|settings| settings.problem().is_none());
    over::<FinetuneSettings>(&file).is_some_and(|settings| settings.problem().is_none()) || pretrain
}

// Seeds.

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it is packed")
}

fn idx() -> Vec<Input> {
    let images = |n: u8| [&[0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 4, 0, 0, 0, 3][..], &vec![7; 12 * n as usize]].concat();
    let labels = |n: u8| [&[0, 0, 8, 1, 0, 0, 0, n][..], &(0..n).map(|i| i % 3).collect::<Vec<_>>()].concat();
    let [image, label] = ["images-idx3-ubyte", "labels-idx1-ubyte"];
    let named = |prefix: &str, n| [(format!("{prefix}{image}"), images(n)), (format!("{prefix}{label}"), labels(n))];
    let input = |files: Vec<(String, Vec<u8>)>| Input { files, folders: Vec::new() };
    let packed = named("train-", 6).map(|(name, bytes)| (format!("{name}.gz"), gzipped(&bytes)));
    vec![input([named("train-", 6), named("t10k-", 3)].concat()), input(named("", 10).into()), input(packed.into())]
}

fn cifar() -> Vec<Input> {
    let records = |n: u8, side: usize| (0..n).flat_map(|i| [vec![i % 3], vec![i; 3 * side * side]].concat()).collect::<Vec<u8>>();
    let names = b"cat\ndog\nelk\n".to_vec();
    vec![
        Input::of(&[("data_batch_1.bin", records(5, 32)), ("test_batch.bin", records(2, 32))]),
        Input::of(&[("data_batch_1.bin", records(5, 4)), ("test_batch.bin", records(2, 4)), ("batches.meta.txt", names)]),
    ]
}

fn table() -> Vec<Input> {
    let csv = |separator: &str| {
        let rows = (0..12).map(|i| [format!("{i}.5"), ["red", "blue"][i % 2].into(), (i * i).to_string()].join(separator));
        let head = ["x", "colour", "y"].join(separator);
        std::iter::once(head).chain(rows).map(|row| row + "\n").collect::<String>().into_bytes()
    };
    let split = b"x,y,split\n1,2,train\n2,3,train\n\"3\",4,test\nNA,5,val\n4,1,train\n".to_vec();
    [csv(","), csv(";"), csv("\t"), split].into_iter().map(|bytes| Input::of(&[("table.csv", bytes)])).collect()
}

fn texts() -> Vec<Input> {
    let rows = (0..12).map(|i| (["good words of this", "b\u{e4}d words, of \"that\""][i % 2], ["a", "b"][i % 2]));
    let table: String = std::iter::once(("text", "label")).chain(rows.clone()).map(|(text, label)| format!("{text}\t{label}\n")).collect();
    let objects: String = rows.clone().map(|(text, label)| format!("{}\n", json!({ "text": text, "label": label }))).collect();
    let lines: String = rows.map(|(text, _)| format!("{text}\r\n")).collect();
    let files = [("a.tsv", table), ("b.jsonl", objects), ("c.txt", lines)];
    files.into_iter().map(|(name, text)| Input::of(&[(name, text.into_bytes())])).collect()
}

/// Of BERT in both forms, and of byte pairs.
fn tokenizers() -> Vec<Input> {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", ".", "cafe", "a"];
    let flags = |id: usize, special: bool| json!({ "id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special });
    let sequence = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let ids = |token: &str, id: u32| json!({ "id": token, "ids": [id], "tokens": [token] });
    let bert = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": (0..5).map(|id| flags(id, true)).collect::<Vec<_>>(),
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("[CLS]"), sequence, special("[SEP]")], "pair": [],
            "special_tokens": { "[CLS]": ids("[CLS]", 2), "[SEP]": ids("[SEP]", 3) }
        },
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": words.iter().zip(0..).map(|(word, id)| (word.to_string(), json!(id))).collect::<serde_json::Map<_, _>>()
        }
    });
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = ["\u{2581}", "a", "b", "ab", "\u{2581}ab", "\u{2581}a"].map(String::from);
    let pairs = json!({
        "version": "1.0", "added_tokens": [],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "\u{2581}" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" }
        ] },
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true,
            "vocab": bytes.chain(pieces).zip(0..).map(|(piece, id)| (piece, json!(id))).collect::<serde_json::Map<_, _>>(),
            "merges": ["a b", "\u{2581} ab", "\u{2581} a"]
        }
    });
    let lines = words.join("\n").into_bytes();
    let file = |json: &Value| vec![("tokenizer.json", json.to_string().into_bytes())];
    [file(&bert), file(&pairs), vec![("vocab.txt", lines)]].iter().map(|files| Input::of(files)).collect()
}

fn tags() -> Vec<Input> {
    let columns = |separator: &str| -> String {
        let words =
            ["Anna B-PER", "M\u{fc}ller I-PER", "lives O", "in O", "", "Oslo B-LOC", "-DOCSTART- O", "", "", "Oslo B-LOC", ". O", ""];
        std::iter::repeat_n(words, 6).flatten().map(|line| line.replace(' ', separator) + "\n").collect()
    };
    let files = [("a.conll", columns(" ")), ("b.tsv", columns("\t")), ("c.iob", columns("\tX\t").replace('\n', "\r\n"))];
    files.into_iter().map(|(name, text)| Input::of(&[(name, text.into_bytes())])).collect()
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("it is encoded");
    bytes.into_inner()
}

/// A pattern of this size.
fn grey(height: u32, width: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| image::Luma([(37 * x + 91 * y) as u8]))
}

fn small() -> Vec<u8> {
    encoded(grey(4, 5), ImageFormat::Png)
}

fn index() -> Vec<Input> {
    let files = |csv: &str| {
        let pictures = ["a.png", "b.png", "sub/c.png", "sub/d.png", "e.png"].map(|name| (name, small()));
        Input::of(&[&pictures[..], &[("index.csv", csv.as_bytes().to_vec())]].concat())
    };
    vec![
        files("file,label,split\na.png,x,train\nb.png,y,train\nsub/c.png,x,test\nd.png,y,test\ne,x,val\n"),
        files("image;label\na;1\nb;2\nc;1\nd;2\ne.png;1\n"),
    ]
}

/// All kinds of pixels that the format has.
fn pictures(format: ImageFormat) -> Vec<Input> {
    let ending = format.extensions_str()[0];
    let rgb = RgbImage::from_fn(17, 9, |x, y| image::Rgb([(x * 15) as u8, (y * 28) as u8, 99]));
    let rgba = RgbaImage::from_fn(8, 8, |x, y| image::Rgba([(x * 15) as u8, (y * 28) as u8, 99, (x * y) as u8]));
    let faint = GrayAlphaImage::from_fn(8, 8, |x, y| image::LumaA([(x * 15) as u8, (y * 28) as u8]));
    let kinds: [DynamicImage; 6] = [
        grey(16, 16).into(),
        rgb.clone().into(),
        rgba.into(),
        faint.into(),
        DynamicImage::from(grey(7, 11)).into_luma16().into(),
        DynamicImage::from(rgb).into_rgb16().into(),
    ];
    let encode = |picture: &DynamicImage| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).ok().map(|()| bytes.into_inner())
    };
    let input = |bytes: Vec<u8>| Input::of(&[(&format!("picture.{ending}"), bytes)]);
    kinds.iter().filter_map(encode).map(input).collect()
}

fn masks() -> Vec<Input> {
    let png = |colour: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, data: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 5, 4);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header().and_then(|mut writer| writer.write_image_data(data)).expect("it is encoded");
        bytes
    };
    use png::{BitDepth, ColorType};
    let values: Vec<u8> = (0..20).map(|i| i % 2).collect();
    let kinds = [
        png(ColorType::Grayscale, BitDepth::Eight, None, &values),
        png(ColorType::Grayscale, BitDepth::One, None, &[0xA8; 4]),
        png(ColorType::Grayscale, BitDepth::Sixteen, None, &values.iter().flat_map(|&v| [0, v]).collect::<Vec<_>>()),
        png(ColorType::Indexed, BitDepth::Two, Some(vec![0, 0, 0, 255, 0, 0]), &[0x11; 8]),
        png(ColorType::Rgb, BitDepth::Eight, None, &values.iter().flat_map(|&v| [v; 3]).collect::<Vec<_>>()),
        png(ColorType::Rgba, BitDepth::Eight, None, &values.iter().flat_map(|&v| [v, v, v, 255]).collect::<Vec<_>>()),
    ];
    let input = |mask: &Vec<u8>| {
        let pictures = ["images/1.png", "images/2.png", "images/3.png"].map(|name| (name, small()));
        let masks = ["masks/1.png", "masks/2.png", "masks/3.png"].map(|name| (name, mask.clone()));
        Input::of(&[masks, pictures].concat())
    };
    kinds.iter().map(input).collect()
}

type Files<'a> = [(&'a str, Vec<u8>)];

fn tarred(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).expect("it is packed");
    }
    builder.into_inner().expect("it is packed")
}

/// Every other file deflated.
fn zipped(files: &Files) -> Vec<u8> {
    zip_by(files, [zip::CompressionMethod::Deflated, zip::CompressionMethod::Stored])
}

/// Files in turn by these methods.
fn zip_by(files: &Files, methods: [zip::CompressionMethod; 2]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in files.iter().enumerate() {
        let method = zip::write::SimpleFileOptions::default().compression_method(methods[index % 2]);
        writer.start_file(*name, method).expect("it is packed");
        writer.write_all(bytes).expect("it is packed");
    }
    writer.finish().expect("it is packed").into_inner()
}

fn archives(name: &str, pack: fn(&Files) -> Vec<u8>) -> Vec<Input> {
    let classes = ["top/a/1.png", "top/a/2.png", "top/b/1.png", "top/b/2.png"].map(|name| (name, small()));
    let index = [("1.png", small()), ("2.png", small()), ("3.png", small()), ("index.csv", b"file,label\n1,a\n2,b\n3,a\n".to_vec())];
    [pack(&classes), pack(&index)].into_iter().map(|bytes| Input::of(&[(name, bytes)])).collect()
}

/// Pictures as rows of a table, as Kaggle has them.
fn pixels() -> Vec<Input> {
    let csv = |label: &str, count: usize| {
        let head: String = (0..count).map(|i| format!(",pixel{i}")).collect();
        let row = |row: usize| (0..count).map(|i| format!(",{}", 17 * row * i % 256)).collect::<String>();
        let rows: String = (0..8).map(|i| format!("{}{}\n", i % 2, row(i))).collect();
        format!("{label}{head}\n{rows}").into_bytes()
    };
    [csv("label", 16), csv("label", 64)].into_iter().map(|bytes| Input::of(&[("train.csv", bytes)])).collect()
}

fn labels() -> Vec<Input> {
    let texts =
        ["file,label\n0.png,a\n1.png,b\n./2.png,a\n", "index,label,confidence\n0,a,0.9\n1,b,0.4\n2,,1\n", "index;class\n5;a\n4;b\n"];
    texts.iter().map(|text| Input::of(&[("labels.csv", text.as_bytes().to_vec())])).collect()
}

fn config() -> Vec<Input> {
    let text = |command: &str, settings: String| format!("command = \"{command}\"\n{settings}").into_bytes();
    let pretrain = toml::to_string(&PretrainSettings::default()).expect("settings are tables");
    let finetune = toml::to_string(&FinetuneSettings::default()).expect("settings are tables");
    [text("pretrain", pretrain), text("finetune", finetune)].into_iter().map(|bytes| Input::of(&[("config.toml", bytes)])).collect()
}

fn stored(record: Option<String>) -> Vec<Input> {
    let zeros = [0; 4 * 24];
    let view = |kind, shape: &[usize], bytes: usize| TensorView::new(kind, shape.to_vec(), &zeros[..bytes]).expect("it fits");
    let tensors = [
        ("conv1.weight", view(Dtype::F32, &[2, 1, 3, 2], 48)),
        ("fc.weight", view(Dtype::F32, &[3, 2], 24)),
        ("fc.bias", view(Dtype::F16, &[3], 6)),
        ("state.clock", view(Dtype::U32, &[1], 4)),
        ("empty", view(Dtype::F64, &[0, 5], 0)),
    ];
    let metadata = record.map(|record| std::iter::once(("wgraft".to_string(), record)).collect());
    vec![Input::of(&[("model.safetensors", safetensors::serialize(tensors, metadata).expect("it is written"))])]
}

fn weights() -> Vec<Input> {
    stored(None)
}

/// Of 16 bits, floating point, and mu-law, with a chunk before the samples.
fn wavs() -> Vec<Input> {
    let chunk = |id: &[u8], data: &[u8]| [id, &(data.len() as u32).to_le_bytes(), data].concat();
    let wav = |tag: u16, channels: u16, bits: u16| {
        let align = channels * bits / 8;
        let rates = [8000_u32.to_le_bytes(), (8000 * u32::from(align)).to_le_bytes()].concat();
        let format = [&tag.to_le_bytes()[..], &channels.to_le_bytes(), &rates, &align.to_le_bytes(), &bits.to_le_bytes(), &[0, 0]].concat();
        let data: Vec<u8> = (0..1200 * u32::from(align)).map(|i| (i * i / 7 % 64) as u8).collect();
        let chunks = [chunk(b"fmt ", &format), chunk(b"LIST", b"INFOISFT\x04\0\0\0me\0\0"), chunk(b"data", &data)].concat();
        Input::of(&[("a.wav", chunk(b"RIFF", &[b"WAVE", &chunks[..]].concat()))])
    };
    vec![wav(1, 1, 16), wav(3, 2, 32), wav(7, 1, 8), wav(1, 8, 24)]
}

/// The same tone in other formats, as libsndfile writes them.
fn sounds() -> Vec<Input> {
    vec![
        Input::of(&[("a.flac", include_bytes!("../../tests/sound/jump.flac").to_vec())]),
        Input::of(&[("a.ogg", include_bytes!("../../tests/sound/jump.ogg").to_vec())]),
        Input::of(&[("a.mp3", include_bytes!("../../tests/sound/jump.mp3").to_vec())]),
        Input::of(&[("a.aiff", include_bytes!("../../tests/sound/jump.aiff").to_vec())]),
    ]
}

/// Constants of a graph that has the names of a network that is known, with sizes one by one and packed, and numbers as bytes and as floats;
/// and one of integers.
fn onnx() -> Vec<Input> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8], bytes].concat();
    let tensor = |name: &str, sizes: &[u8], kind: u8, numbers: &[u8]| {
        field(5, &[sizes, &[2 << 3, kind], &field(8, name.as_bytes()), numbers].concat())
    };
    let layer = |number: usize| {
        let name = if number == 0 { "conv2d".to_string() } else { format!("conv2d_{number}") };
        let weight = tensor(&format!("model/{name}/Conv2D_weights_fused_bn"), &[8, 1, 8, 1, 8, 3, 8, 1], 1, &field(9, &[0; 12]));
        [weight, tensor(&format!("model/{name}/Conv2D_bias_fused_bn"), &field(1, &[1]), 1, &field(4, &[0; 4]))].concat()
    };
    let graph = [(0..20).flat_map(layer).collect(), tensor("shape", &[8, 1], 7, &field(9, &[0; 8]))].concat();
    vec![Input::of(&[("net.onnx", [&[8, 7][..], &field(2, b"pytorch"), &field(7, &graph)].concat())])]
}

/// Two tensors, one of them a view by columns, as PyTorch saves them: in a zip, and in the stream of older versions.
fn pth() -> Vec<Input> {
    const DICT: &[u8] = b"ccollections\nOrderedDict\n)R";
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tensor = |name: &str, key: &str, count: u8, shape: &[u8], strides: &[u8]| {
        let tuple = |numbers: &[u8]| [&b"("[..], &numbers.iter().flat_map(|&n| [b'K', n]).collect::<Vec<_>>(), b"t"].concat();
        let storage =
            [b"((", &text("storage")[..], b"ctorch\nFloatStorage\n", &text(key), &text("cpu"), &[b'K', count], b"tQK\x00"].concat();
        let view = [&storage[..], &tuple(shape), &tuple(strides), b"\x89", DICT].concat();
        [&text(name)[..], b"ctorch._utils\n_rebuild_tensor_v2\n", &view, b"tRs"].concat()
    };
    let tensors = [tensor("fc.weight", "0", 6, &[3, 2], &[1, 3]), tensor("fc.bias", "1", 3, &[3], &[1])].concat();
    let pickle = [&b"\x80\x02}q\x00"[..], &text("state_dict"), DICT, &tensors, b"sh\x00X\x01\x00\x00\x00aK\x05s0."].concat();
    let (first, second) = (vec![0; 24], vec![0; 12]);
    let members = [("a/data.pkl", pickle.clone()), ("a/data/0", first.clone()), ("a/data/1", second.clone())];
    let keys = [&b"\x80\x02]("[..], &text("0"), &text("1"), b"e."].concat();
    let head = [&b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."[..], b"\x80\x02M\xe9\x03.", b"\x80\x02}.", &pickle, &keys].concat();
    let storages = [(6_u64, first), (3, second)].map(|(count, values)| [&count.to_le_bytes()[..], &values].concat());
    let stream = [head, storages.concat()].concat();
    vec![Input::of(&[("model.pth", zip_by(&members, [zip::CompressionMethod::Stored; 2]))]), Input::of(&[("model.pth", stream)])]
}

fn checkpoints() -> Vec<Input> {
    let (model, image) = (PretrainSettings::default().model, Image { height: 4, width: 3, channels: 1 });
    let record = |task| Record::new(task, &model, SampleType::Image(image), 3, 7);
    let records = [None, Some(Task::CLASSIFY), Some(Task::SEGMENT)].map(record);
    records.iter().flat_map(|record| stored(serde_json::to_string(record).ok())).collect()
}

fn layouts() -> Vec<Input> {
    let of = |names: &[&str]| Input::of(&names.iter().map(|name| (*name, small())).collect::<Vec<_>>());
    vec![
        of(&["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"]),
        of(&["a/1.png", "a/2.png", "b/1.png", "b/2.png"]),
        of(&["images/1.png", "images/2.png", "masks/1.png", "masks/2.png"]),
        of(&["train/images/1.png", "train/masks/1.png", "test/images/1.png", "test/masks/1.png"]),
        of(&["1.png", "2.png", "3.png"]),
    ]
}
