//! Language networks whose weights others have published: what must lie beside them, and the verbs on texts by them. Real ones are
//! compared with PyTorch where `WGRAFT_WEIGHTS` and `WGRAFT_GOLDEN` name folders that have them.

use crate::common;

use std::path::Path;

use common::binary::{json, refused, stderr, stdout_of, wgraft};
use common::files::{folder, put};
use common::weights::{self, safetensors};
use safetensors::tensor::SafeTensors;
use wgraft::data::{Samples, Split, Tokenizer, Truth};
use wgraft::exec::Device;
use wgraft::train::Checkpoint;

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] rain snow wind guitar song singer is the in and today play ##ing ##s .";
const WIDTH: usize = 8;

fn network(root: &Path, name: &str) {
    weights::language_network(root, name, WORDS, WIDTH);
}

/// Sentences on two topics, so many of each.
fn table(count: usize) -> String {
    let topics = [["rain", "snow", "wind"], ["guitar", "song", "singer"]];
    let row = |i: usize| {
        format!(
            "the {} and {} is in the {} today\t{}\n",
            topics[i % 2][i / 2 % 3],
            topics[i % 2][i / 6 % 3],
            topics[i % 2][i / 4 % 3],
            ["weather", "music"][i % 2]
        )
    };
    std::iter::once("text\tlabel\n".into()).chain((0..2 * count).map(row)).collect()
}

#[test]
fn a_language_network_stands_where_a_run_may() {
    let dir = folder();
    let root = dir.path();
    network(root, "net");
    put(root, "topics.tsv", table(30));
    let of = |args: &[&str]| json(root, &[args, &["--device", "cpu"]].concat());
    let listed = json(root, &["weights", "net/model.safetensors"]);
    assert!(listed["model"] == "bert" && listed["features"] == WIDTH && listed["published"] == true, "{listed}");
    let said = stderr(&wgraft(root, &["eval", "net", "--data", "topics.tsv", "--device", "cpu"]));
    assert!(
        said.contains("weights of bert of 2 layers, 8 wide, 2 heads, for texts") && said.contains("vocab.txt beside it, up to 12 of each"),
        "{said}"
    );
    assert!(said.contains("linear probe with all 48 labels") && said.contains("by others: whether they saw these texts"), "{said}");
    let again =
        stderr(&wgraft(root, &["label", "net", "--data", "topics.tsv", "--labels-per-class", "2", "--out", "labelled", "--device", "cpu"]));
    assert!(again.contains("48 of 48 texts were embedded before"), "{again}");
    let found = of(&["search", "net/model.safetensors", "snow and wind", "--in", "topics.tsv", "--count", "1"]);
    assert!(found["found"][0]["text"].is_string(), "{found}");
    assert_eq!(of(&["embed", "net", "topics.tsv", "--out", "all.npy"])["columns"], WIDTH);
    let found = of(&["finetune", "--from", "net", "--data", "topics.tsv", "--steps", "60", "--lr", "0.01", "--out", "tuned"]);
    assert!(found["test_accuracy"].as_f64() > Some(0.9), "{found}");
    let lines = stdout_of(
        root,
        &["predict", "tuned", "-", "--device", "cpu"],
        "the snow and rain is in the wind today\nthe singer and guitar is in the song today\n",
    );
    let names: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["weather", "music"], "{lines}");
    // What it has learnt stands without what lay beside the network.
    std::fs::remove_dir_all(root.join("net")).expect("it is there");
    assert_eq!(of(&["eval", "tuned"])["test_accuracy"], found["test_accuracy"]);
    let onward =
        of(&["finetune", "--init-from", "tuned/checkpoints/last.safetensors", "--data", "topics.tsv", "--steps", "2", "--out", "more"]);
    assert_eq!(onward["steps"], 2);
}

#[test]
fn what_must_lie_beside_a_language_network_is_asked_for() {
    let dir = folder();
    let root = dir.path();
    put(root, "topics.tsv", table(10));
    let refuse = |name: &str, change: &dyn Fn(&Path), parts: &[&str]| {
        network(root, name);
        change(&root.join(name));
        refused(root, &["eval", name, "--data", "topics.tsv", "--device", "cpu"], 1, parts);
    };
    let write = |path: &Path, file: &str, text: &str| std::fs::write(path.join(file), text).expect("room");
    refuse(
        "bare",
        &|path| std::fs::remove_file(path.join("vocab.txt")).expect("there"),
        &["its tokenizer.json or vocab.txt must lie beside it"],
    );
    refuse(
        "other",
        &|path| write(path, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]"),
        &["is of another network", "4 tokens", "embeddings of 20"],
    );
    refuse("uneven", &|path| write(path, "config.json", "{\"num_attention_heads\": 3}"), &["8 wide cannot have 3 heads"]);
    refuse("none", &|path| write(path, "config.json", "{\"num_attention_heads\": 0}"), &["make no sense"]);
    refuse("roberta", &|path| write(path, "config.json", "{\"model_type\": \"roberta\"}"), &["model_type is roberta"]);
    refuse("torn", &|path| write(path, "config.json", "{"), &["config.json is no JSON"]);
    refuse("unigram", &|path| write(path, "tokenizer.json", "{\"model\": {\"type\": \"Unigram\"}}"), &["Unigram"]);
    let pooled = |path: &Path, text: &str| {
        std::fs::create_dir(path.join("1_Pooling")).expect("room");
        write(path, "1_Pooling/config.json", text);
    };
    refuse("first", &|path| pooled(path, "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}"), &["are not the mean"]);
    let dense = "[{\"type\": \"sentence_transformers.models.Transformer\"}, {\"type\": \"sentence_transformers.models.Dense\"}]";
    refuse("dense", &|path| write(path, "modules.json", dense), &["there is a Dense"]);
    // Where nothing says how many heads there are, that is said.
    network(root, "plain");
    std::fs::remove_file(root.join("plain/config.json")).expect("there");
    put(root, "plain/config.json.txt", "");
    let said = stderr(&wgraft(root, &["weights", "plain/model.safetensors"]));
    assert!(said.contains("cannot have 12 heads"), "{said}");
    // A picture is no text.
    network(root, "net");
    put(root, "pictures/a/0.png", common::files::even(1));
    put(root, "pictures/b/0.png", common::files::even(2));
    refused(root, &["embed", "net", "pictures", "--out", "x.csv", "--device", "cpu"], 1, &["up to 12 tokens of 20"]);
}

#[test]
fn tables_are_padded_and_gelu_is_of_two_forms() {
    let dir = folder();
    let root = dir.path();
    put(root, "topics.tsv", table(10));
    let embedded = |name: &str| {
        json(root, &["embed", name, "topics.tsv", "--out", &format!("{name}.csv"), "--device", "cpu"]);
        std::fs::read_to_string(root.join(format!("{name}.csv"))).expect("it is written")
    };
    // Four rows more than there are tokens.
    weights::language_network(root, "padded", &format!("{WORDS} a b c d"), WIDTH);
    let all = embedded("padded");
    put(root, "padded/vocab.txt", WORDS.replace(' ', "\n"));
    let said = stderr(&wgraft(root, &["eval", "padded", "--data", "topics.tsv", "--device", "cpu"]));
    assert!(said.contains("4 of 24 embeddings are padding") && said.contains("linear probe"), "{said}");
    std::fs::remove_file(root.join("padded.csv")).expect("it is there");
    std::fs::remove_dir_all(root.join("cache")).expect("features were kept");
    assert_eq!(embedded("padded"), all, "padding is never looked up");
    let tuned = ["finetune", "--from", "padded", "--data", "topics.tsv", "--steps", "2", "--out", "tuned", "--device", "cpu"];
    let found = json(root, &tuned);
    assert_eq!(json(root, &["eval", "tuned", "--device", "cpu"])["test_accuracy"], found["test_accuracy"]);
    network(root, "net");
    let exact = embedded("net");
    network(root, "bent");
    put(root, "bent/config.json", "{\"num_attention_heads\": 2, \"hidden_act\": \"gelu_new\"}");
    assert_ne!(embedded("bent"), exact, "the approximation is another function");
    put(root, "bent/config.json", "{\"num_attention_heads\": 2, \"hidden_act\": \"relu\"}");
    refused(root, &["eval", "bent", "--data", "topics.tsv", "--device", "cpu"], 1, &["hidden_act is relu; only gelu, gelu_new"]);
}

#[test]
fn static_embeddings_are_averaged() {
    let dir = folder();
    let root = dir.path();
    let words = WORDS.split(' ').count();
    let table_of: Vec<f32> = (0..words * 4).map(|i| weights::value(1, i)).collect();
    for (name, tensor) in [("lama", "embedding.weight"), ("potion", "embeddings")] {
        put(root, &format!("{name}/model.safetensors"), safetensors(&[(tensor.into(), vec![words, 4], table_of.clone())]));
        put(root, &format!("{name}/vocab.txt"), WORDS.replace(' ', "\n"));
    }
    put(root, "texts.txt", "rain\nrain snow \u{1F680}\nplaying\n");
    let features = |name: &str| {
        json(root, &["embed", name, "texts.txt", "--out", &format!("{name}.csv"), "--device", "cpu"]);
        let csv = std::fs::read_to_string(root.join(format!("{name}.csv"))).expect("it is there");
        let numbers = |line: &str| line.rsplit(',').take(4).map(|cell| cell.parse::<f32>().expect("a number")).collect::<Vec<_>>();
        csv.lines().skip(1).map(|line| numbers(line).into_iter().rev().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let row = |token: usize| &table_of[4 * token..][..4];
    let unit = |row: &[f32]| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter().map(|x| x / length * (row.len() as f32).sqrt()).collect::<Vec<_>>()
    };
    let mean = |a: usize, b: usize| unit(&row(a).iter().zip(row(b)).map(|(a, b)| 0.5 * (a + b)).collect::<Vec<_>>());
    let found = features("lama");
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(&found[0], &unit(row(5))) && close(&found[1], &mean(5, 6)) && close(&found[2], &mean(16, 17)), "{found:?}");
    assert_eq!(features("potion"), found);
}

/// PyTorch's features of real sentences from real weights.
#[test]
fn sentences_are_those_of_pytorch() {
    let (Some(weights), Some(golden)) = (std::env::var_os("WGRAFT_WEIGHTS"), std::env::var_os("WGRAFT_GOLDEN")) else {
        eprintln!("SKIPPED: WGRAFT_WEIGHTS and WGRAFT_GOLDEN name no folders with real weights and PyTorch's features");
        return;
    };
    for (file, case) in
        [("minilm_l6_v2/minilm_l6_v2.safetensors", "minilm_sentences"), ("wordllama/l2_supercat_256.safetensors", "wordllama_sentences")]
    {
        let bytes = std::fs::read(Path::new(&golden).join(format!("{case}.safetensors"))).expect("PyTorch's features");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let params = &header.metadata().as_ref().expect("metadata")["params"];
        let params: serde_json::Value = serde_json::from_str(params).expect("JSON");
        let sentences: Vec<String> = serde_json::from_value(params["sentences"].clone()).expect("texts");
        let golden = SafeTensors::deserialize(&bytes).expect("tensors");
        let numbers = |name: &str| {
            golden
                .tensor(name)
                .expect("there")
                .data()
                .chunks_exact(4)
                .map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes")))
                .collect::<Vec<u32>>()
        };
        let expected: Vec<f64> = golden
            .tensor("out.sentence")
            .expect("there")
            .data()
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes")))
            .collect();
        let (checkpoint, _) = Checkpoint::open(&Path::new(&weights).join(file)).expect("a network that is known");
        let tokenizer: &Tokenizer = checkpoint.record.tokenizer.as_ref().expect("a tokenizer");
        let (lengths, ids) = (numbers("in.lengths"), numbers("in.tokens"));
        let room = ids.len() / lengths.len();
        for (i, (sentence, &length)) in sentences.iter().zip(&lengths).enumerate() {
            let found: Vec<u32> = tokenizer.tokens(sentence).0.iter().map(|token| token & !wgraft::core::sample::BEGINS_WORD).collect();
            assert_eq!(found, ids[i * room..][..length as usize], "{case}: {sentence}");
        }
        let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let (samples, _) = Samples::of_texts(&texts, tokenizer).expect("texts");
        let samples = Split::new(samples, Truth::default());
        for device in [Some(Device::Cpu), common::gpu().map(Device::Gpu)].into_iter().flatten() {
            let found = checkpoint.features(&device, &samples).expect("features");
            let rows = found.values.chunks(found.columns).zip(expected.chunks(found.columns));
            let mut all = Vec::new();
            for ((row, expected), sentence) in rows.zip(&sentences) {
                let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
                let worst = common::worst(row.iter().zip(expected).map(|(x, e)| (f64::from(*x) / length - e).abs()));
                assert!(worst < 1e-5, "{case} on {}: {worst} from PyTorch: {sentence}", device.name());
                all.push(worst);
            }
            println!("{case} on {}: {:.1e} from PyTorch", device.name(), common::worst(all));
        }
    }
}
