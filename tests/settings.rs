//! All settings that are declared: what is said of them, their defaults, their limits, and that docs/reference.md tells of them all.

use crate::common;

use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};
use common::binary::refused;
use serde_json::{Value, json};
use wgraft::cli::{Cli, Command};
use wgraft::core::settings::{Flag, Setting, SettingForm, Settings, Words, declared, default_trees, flags};
use wgraft::models::ModelSettings;
use wgraft::train::{AUGMENTATIONS, FinetuneSettings, PretrainSettings, RunSettings};

const VERBS: [&str; 2] = ["pretrain", "finetune"];

fn flags_of(verb: &str) -> Vec<Flag> {
    if verb == "pretrain" { flags::<PretrainSettings>() } else { flags::<FinetuneSettings>() }
}

fn defaults_of(verb: &str) -> Vec<(String, Value)> {
    if verb == "pretrain" { default_trees::<PretrainSettings>() } else { default_trees::<FinetuneSettings>() }
}

fn read(setting: &Setting, word: &str) -> Result<Value, String> {
    let SettingForm::Word { read, .. } = setting.form else { panic!("{} has a flag", setting.name) };
    read(word)
}

/// A tree that holds this value alone.
fn alone(flag: &Flag, value: Value) -> Value {
    flag.tables.iter().rev().fold(json!({ flag.setting.name: value }), |tree, table| json!({ *table: tree }))
}

/// What a verb makes of flags.
fn given(verb: &str, args: &[String]) -> Value {
    let words = ["wgraft", verb].map(String::from).into_iter().chain(args.iter().cloned());
    match Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{verb} {args:?}: {e}")).command {
        Command::Pretrain(args) => args.settings.given,
        Command::Finetune(args) => args.settings.given,
        _ => panic!("{verb} trains"),
    }
}

#[test]
fn clap_finds_no_fault_with_the_flags() {
    Cli::command().debug_assert();
}

#[test]
fn every_setting_says_what_it_is() {
    for verb in VERBS {
        let flags = flags_of(verb);
        assert!(flags.len() > 30, "{verb}");
        for flag in &flags {
            let (name, help) = (flag.setting.flag_name(), flag.setting.help());
            assert!(help.len() > 5 && !help.ends_with('.') && !help.contains("  "), "--{name}: {help:?}");
            assert_eq!(flags.iter().filter(|other| other.setting.flag_name() == name).count(), 1, "--{name} of {verb} is there once");
            assert!(flag.setting.instead_of.is_none_or(|other| flags.iter().any(|flag| flag.setting.flag_name() == other)), "--{name}");
        }
    }
}

#[test]
fn what_choices_list_is_declared() {
    fn check(table: &'static [Setting]) -> usize {
        let listed = table
            .iter()
            .flat_map(|setting| setting.form.choices())
            .flat_map(|choice| choice.settings.iter().map(move |name| (choice, name)));
        let inspect = |(choice, name): &(_, &&str)| assert!(table.iter().any(|setting| setting.name == **name), "{choice:?} lists {name}");
        listed.inspect(inspect).count()
    }
    assert!(
        check(declared::<PretrainSettings>()) > 5 && check(declared::<FinetuneSettings>()) > 3 && check(declared::<ModelSettings>()) > 2
    );
    assert_eq!(check(declared::<RunSettings>()), 0);
}

#[test]
fn defaults_make_sense() {
    for (whose, settings) in PretrainSettings::defaults() {
        assert_eq!(settings.problem(), None, "pretrain {whose}");
        assert_eq!(settings.suited().expect("no file is read"), PretrainSettings::by(settings.method), "{whose}");
    }
    for (whose, settings) in FinetuneSettings::defaults() {
        assert_eq!(settings.problem(), None, "finetune {whose}");
    }
}

#[test]
fn every_flag_takes_its_own_default() {
    for verb in VERBS {
        let defaults = defaults_of(verb);
        let mut taken = 0;
        for flag in flags_of(verb) {
            for (whose, tree) in &defaults {
                let (value, name) = (flag.of(tree), flag.setting.flag_name());
                let text = flag.setting.shown(value);
                assert_eq!(text.is_empty(), value.is_null(), "--{name} of {whose}");
                if !value.is_null() {
                    assert_eq!(given(verb, &[format!("--{name}={text}")]), alone(&flag, value.clone()), "{whose}");
                    taken += 1;
                }
            }
        }
        assert!(taken > 100, "{verb}: {taken}");
    }
    let lists = given("pretrain", &["--projection", "9,8", "--projection=7", "--nesterov", "--grey", "false"].map(String::from));
    assert_eq!(lists, json!({ "projection": [9, 8, 7], "run": { "nesterov": true, "grey": false } }));
    for preset in AUGMENTATIONS {
        assert_eq!(given("finetune", &["--augment".into(), preset.name.into()]), json!({ "augment": preset.ranges }));
    }
}

#[test]
fn what_is_beyond_limits_is_refused_by_name_on_the_command_line_and_in_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut refusals = BTreeMap::new();
    for verb in VERBS {
        for flag in flags_of(verb) {
            let words = ["-1", "0", "1", "100000", "-1,0.5", "0.5,1"];
            let beyond = |word: &&str| {
                let value = read(flag.setting, word).ok()?;
                let numbers = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                let text = numbers.iter().filter_map(Value::as_f64).find_map(|number| flag.setting.refuses(number))?;
                Some((word.to_string(), value, text))
            };
            for (word, value, text) in words.iter().filter_map(beyond) {
                let name = flag.setting.flag_name();
                assert!(text.starts_with(&format!("--{name} must be ")), "{text}");
                // What only some networks have is wanted of one of them, before all else.
                let mut tree = alone(&flag, value);
                let mut args = vec!["show".to_string(), verb.into(), format!("--{name}={word}")];
                if let Some((by, names)) = &flag.whose {
                    args.push(format!("--{}={}", by.flag_name(), names[0]));
                    let place = flag.tables.iter().fold(&mut tree, |tree, table| &mut tree[*table]);
                    place[by.name] = json!(names[0]);
                }
                refused(dir.path(), &args.iter().map(String::as_str).collect::<Vec<_>>(), 2, &[&text]);
                std::fs::write(dir.path().join("beyond.toml"), toml::to_string(&tree).expect("a tree is TOML")).expect("it is written");
                refused(dir.path(), &["show", verb, "--config", "beyond.toml"], 2, &[&text]);
                refusals.insert(format!("{verb} --{name}"), text);
            }
        }
    }
    for limited in ["pretrain --temperature", "pretrain --projection", "finetune --labels", "finetune --betas", "pretrain --width"] {
        assert!(refusals.contains_key(limited), "{limited} is not among {refusals:?}");
    }
    assert_eq!(refusals["pretrain --momentum"], "--momentum must be at least 0 and below 1");
    assert_eq!(refusals["finetune --bits"], "--bits must be at least 1 and at most 16");
    std::fs::write(dir.path().join("nan.toml"), "[run]\nlr = nan\n").expect("it is written");
    refused(dir.path(), &["show", "pretrain", "--config", "nan.toml"], 2, &["nan.toml", "`run.lr` is not a finite number"]);
}

#[test]
fn what_means_nothing_to_a_choice_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let refuse = |args: &[&str], text: &str| refused(dir.path(), &[&["show"], args].concat(), 2, &[text]);
    refuse(
        &["pretrain", "--method", "vicreg", "--temperature", "0.2"],
        "--temperature means nothing to --method vicreg: it is for --method simclr, simcse or supcon",
    );
    refuse(&["pretrain", "--corrupt", "mask"], "--corrupt means nothing to --method simclr: it is for --method autoencoder");
    refuse(&["pretrain", "--method", "supervised", "--micro-batch", "16"], "--micro-batch means nothing to --method supervised");
    refuse(&["finetune", "--task", "regress", "--labels-per-class", "3"], "--labels-per-class means nothing to --task regress");
    refuse(&["finetune", "--loss", "huber"], "--loss means nothing to --task classify: it is for --task regress");
    refuse(&["finetune", "--model", "cnn", "--hidden", "3"], "--hidden, which is for --model mlp, does not fit that");
    // In a file, what was chosen for another method may stay, but what changes a run may not.
    std::fs::write(dir.path().join("file.toml"), "temperature = 0.5\ncorrupt = \"noise\"\n").expect("it is written");
    refuse(&["pretrain", "--config", "file.toml"], "--corrupt means nothing to --method simclr");
}

#[test]
fn nothing_is_prepared_with_settings_that_were_not_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    refused(dir.path(), &["show", "finetune", "--batch", "0"], 2, &["--batch must be at least 1"]);
    refused(dir.path(), &["show", "pretrain", "--micro-batch", "0"], 2, &["--micro-batch must be a multiple of 16"]);
    common::binary::json(dir.path(), &["pretrain", "--hidden", "4", "--steps", "1", "--device", "cpu", "--out", "pre"]);
    for (flag, value, text) in [
        ("--encoder-lr-scale", "-1", "--encoder-lr-scale must be at least 0"),
        ("--lr-grid", "0.1,0", "--lr must be a positive number"),
        ("--batch", "0", "--batch"),
    ] {
        refused(dir.path(), &["curve", "--from", "pre", "--device", "cpu", &format!("{flag}={value}")], 2, &[text]);
    }
    refused(dir.path(), &["eval", "pre", "--size", "5000", "--device", "cpu"], 2, &["--size must be at least 1 and at most 4096"]);
}

/// A row for each flag of both verbs.
fn table() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let of = VERBS.map(|verb| (flags_of(verb), defaults_of(verb)));
    let mut rows: Vec<String> = Vec::new();
    let mut row = |flag: &Flag| {
        let setting = flag.setting;
        let switch = matches!(setting.form, SettingForm::Word { words: Words::Switch, .. });
        let value = if switch { "[true|false]".into() } else { setting.value_name() };
        let name = format!("| `--{} {}` |", setting.flag_name(), cell(&value));
        if rows.iter().any(|row| row.starts_with(&name)) {
            return;
        }
        let choices: Vec<&str> = setting.form.choices().iter().filter(|choice| !choice.help.is_empty()).map(|choice| choice.name).collect();
        let choices = if choices.is_empty() { String::new() } else { format!(": {}", choices.join(", ")) };
        let whose = flag.whose().map_or(String::new(), |whose| format!(" (for `{whose}`)"));
        let defaults = of.each_ref().map(|(flags, trees)| {
            let known = flags.iter().find(|other| other.setting.flag_name() == setting.flag_name());
            known.map_or("".into(), |known| known.default_text(trees).unwrap_or_else(|| "none".into()))
        });
        // What `finetune` says of it, where that is something else.
        let other = of[1].0.iter().find(|other| other.setting.flag_name() == setting.flag_name());
        let other = other.filter(|other| other.setting.help() != setting.help());
        let other = other.map_or(String::new(), |other| format!("; of `finetune`: {}", cell(other.setting.help())));
        rows.push(format!("{name} {}{choices}{whose}{other} | {} |", cell(setting.help()), defaults.join(" | ")));
    };
    of.iter().flat_map(|(flags, _)| flags).for_each(&mut row);
    let head = "| flag | is | default of `pretrain` | of `finetune` |\n|---|---|---|---|\n";
    format!("{head}{}\n", rows.join("\n"))
}

/// `WGRAFT_WRITE_DOCS=1` writes the table instead.
#[test]
fn the_reference_has_a_row_for_every_flag() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let reference = std::fs::read_to_string(&path).expect("it is there");
    let (before, rest) = reference.split_once("<!-- flags -->\n").expect("the table begins");
    let (now, after) = rest.split_once("<!-- end of flags -->").expect("the table ends");
    if std::env::var_os("WGRAFT_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}<!-- flags -->\n{}<!-- end of flags -->{after}", table())).expect("it is written");
        return;
    }
    let differs = table().lines().zip(now.lines()).find(|(wanted, found)| wanted != found).map(|(wanted, _)| wanted.to_string());
    assert!(
        now == table(),
        "docs/reference.md lacks {differs:?}: WGRAFT_WRITE_DOCS=1 cargo test --release --test suite settings:: writes it anew"
    );
}
