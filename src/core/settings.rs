//! Settings that are declared once, by [`settings!`](crate::settings): name, type, default, limits and help. Flags, files, checks and
//! lists of settings are all made of that.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sample::{SampleType, Subject};

/// One of the few values of a setting, by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub name: &'static str,
    pub help: &'static str,
    /// Of the settings beside it, those that mean something where this is chosen. What no choice lists is for all of them.
    pub settings: &'static [&'static str],
}

/// How often, and how, a flag takes a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Words {
    One,
    /// None is `true`.
    Switch,
    /// Several, separated by commas or each with the flag before it.
    List,
}

/// How a setting is given.
#[derive(Clone, Copy)]
pub enum SettingForm {
    /// On the command line or in a file. `choices` are all the words there are, if only few have a meaning.
    Word { read: fn(&str) -> Result<Value, String>, choices: fn() -> Vec<Choice>, words: Words },
    /// By settings of its own, a table in a file.
    Table(&'static [Setting]),
    /// In a file alone.
    File,
}

impl SettingForm {
    /// Any word that `read` takes.
    pub const fn word(read: fn(&str) -> Result<Value, String>) -> Self {
        SettingForm::Word { read, choices: Vec::new, words: Words::One }
    }

    /// One of a few words.
    pub const fn choice<T: Settable>(choices: fn() -> Vec<Choice>) -> Self {
        SettingForm::Word { read: chosen::<T>, choices, words: Words::One }
    }

    pub fn choices(&self) -> Vec<Choice> {
        match self {
            SettingForm::Word { choices, .. } => choices(),
            SettingForm::Table(_) | SettingForm::File => Vec::new(),
        }
    }
}

/// What a setting can hold.
pub trait Settable: Serialize {
    const FORM: SettingForm;

    /// What limits are about.
    fn numbers(&self) -> Vec<f64> {
        Vec::new()
    }

    fn is_absent(&self) -> bool {
        false
    }

    /// Says which limit this is beyond, as a value of `setting`.
    fn beyond(&self, setting: &Setting) -> Option<String> {
        self.numbers().into_iter().find_map(|number| setting.refuses(number))
    }
}

/// A table of settings that stands for itself.
pub trait Settings: Settable + Default + DeserializeOwned {
    /// Defaults, each with what they are for; the first ones are for all else.
    fn defaults() -> Vec<(String, Self)> {
        vec![(String::new(), Self::default())]
    }

    /// Defaults that go with what is chosen here.
    fn suited(&self) -> Result<Self> {
        Ok(Self::default())
    }

    /// These, with defaults for samples of this type, images of such a subject, in the place of others; `None` where they have none.
    fn suited_to(&self, _kind: SampleType, _subject: Subject) -> Option<Self> {
        None
    }
}

/// A setting as it is declared, in a `const`: by its name, type and help, and what the methods add.
#[derive(Clone, Copy)]
pub struct Setting {
    /// In files.
    pub name: &'static str,
    pub form: SettingForm,
    help: &'static str,
    flag: &'static str,
    value: Option<&'static str>,
    /// What holds where it is absent.
    pub absent: Option<&'static str>,
    least: Option<f64>,
    most: Option<f64>,
    below: Option<f64>,
    positive: bool,
    /// The flag that cannot be given beside this one.
    pub instead_of: Option<&'static str>,
    idle: bool,
    or_none: bool,
}

impl Setting {
    pub const fn new<T: Settable>(name: &'static str, help: &'static str) -> Self {
        let (value, absent, least, most, below, instead_of) = (None, None, None, None, None, None);
        Setting {
            name,
            form: T::FORM,
            help,
            flag: name,
            value,
            absent,
            least,
            most,
            below,
            positive: false,
            instead_of,
            idle: false,
            or_none: false,
        }
    }

    pub const fn at_least(self, least: f64) -> Self {
        Setting { least: Some(least), ..self }
    }

    pub const fn at_most(self, most: f64) -> Self {
        Setting { most: Some(most), ..self }
    }

    pub const fn below(self, below: f64) -> Self {
        Setting { below: Some(below), ..self }
    }

    pub const fn positive(self) -> Self {
        Setting { positive: true, ..self }
    }

    /// What help calls its value.
    pub const fn value(self, value: &'static str) -> Self {
        Setting { value: Some(value), ..self }
    }

    pub const fn absent(self, absent: &'static str) -> Self {
        Setting { absent: Some(absent), ..self }
    }

    /// What the command line calls it, if not by its name.
    pub const fn flag(self, flag: &'static str) -> Self {
        Setting { flag, ..self }
    }

    /// What reads it, where its type leaves too much open.
    pub const fn read_by(self, read: fn(&str) -> Result<Value, String>) -> Self {
        Setting { form: SettingForm::word(read), ..self }
    }

    pub const fn instead_of(self, other: &'static str) -> Self {
        Setting { instead_of: Some(other), ..self }
    }

    /// A list may be empty; its word is `none`.
    pub const fn or_none(self) -> Self {
        Setting { or_none: true, ..self }
    }

    /// Files may hold any value of it, also where it means nothing.
    pub const fn idle(self) -> Self {
        Setting { idle: true, ..self }
    }

    /// A sentence or two, without the last full stop.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// What the command line knows it by, without dashes.
    pub fn flag_name(&self) -> String {
        self.flag.replace('_', "-")
    }

    pub fn value_name(&self) -> String {
        self.value.map_or_else(|| self.flag.to_uppercase(), String::from)
    }

    /// Why it cannot be this number, if it cannot.
    pub fn refuses(&self, number: f64) -> Option<String> {
        let within = self.least.is_none_or(|least| number >= least) && self.most.is_none_or(|most| number <= most);
        let within = within && self.below.is_none_or(|below| number < below) && (!self.positive || number > 0.0);
        let limits = [(self.least, "at least"), (self.most, "at most"), (self.below, "below")];
        let mut said: Vec<String> = limits.iter().filter_map(|(limit, text)| Some(format!("{text} {}", (*limit)?))).collect();
        if self.positive || said.is_empty() {
            said.insert(0, format!("a {} number", if self.positive { "positive" } else { "finite" }));
        }
        (!within || !number.is_finite()).then(|| format!("--{} must be {}", self.flag_name(), said.join(" and ")))
    }

    /// A value as it would be typed; nothing of one that is absent.
    pub fn shown(&self, value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::Array(values) if values.is_empty() => NONE.into(),
            Value::Array(values) => values.iter().map(|value| self.shown(value)).collect::<Vec<_>>().join(","),
            other => {
                let SettingForm::Word { read, choices, .. } = self.form else { return typed(other) };
                let same = choices().into_iter().find(|choice| read(choice.name).as_ref() == Ok(other));
                same.map_or_else(|| typed(other), |choice| choice.name.into())
            }
        }
    }
}

/// A plain value as it would be typed.
pub fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // As it was written, not as the nearest f32 is in f64.
        Value::Number(number) if number.is_f64() => number.as_f64().map_or(String::new(), |number| (number as f32).to_string()),
        other => other.to_string(),
    }
}

/// A setting with a flag, and its place.
pub struct Flag {
    /// The tables that it is in, from the outermost.
    pub tables: Vec<&'static str>,
    pub setting: &'static Setting,
    /// The setting beside it whose choice decides whether it means anything, and the names of the choices for which it does.
    pub whose: Option<(&'static Setting, Vec<&'static str>)>,
}

impl Flag {
    /// Its value in a tree of settings.
    pub fn of<'a>(&self, tree: &'a Value) -> &'a Value {
        &self.beside(tree)[self.setting.name]
    }

    fn beside<'a>(&self, tree: &'a Value) -> &'a Value {
        self.tables.iter().fold(tree, |tree, table| &tree[table])
    }

    /// For what it means something, if not for everything.
    pub fn whose(&self) -> Option<String> {
        self.whose.as_ref().map(|(by, names)| format!("--{} {}", by.flag_name(), alternatives(names)))
    }

    /// Its defaults as they would be typed, the first one and those that differ with what they are for, if there are any.
    pub fn default_text(&self, defaults: &[(String, Value)]) -> Option<String> {
        let ((_, first), others) = defaults.split_first()?;
        let first = self.of(first);
        let text = self.setting.shown(first);
        let text = if text.is_empty() { self.setting.absent.unwrap_or_default().to_string() } else { text };
        // What a choice is by default where it is chosen goes without saying.
        let own = format!("--{} ", self.setting.flag_name());
        let others = others.iter().filter(|(whose, tree)| self.of(tree) != first && !whose.starts_with(&own));
        let others = others.map(|(whose, tree)| format!("{whose}: {}", self.setting.shown(self.of(tree))));
        let all: Vec<String> = Some(text).filter(|text| !text.is_empty()).into_iter().chain(others).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Says so where it means nothing to what these settings choose.
    pub fn unfit(&self, settings: &Value) -> Option<String> {
        let (by, names) = self.whose.as_ref()?;
        let chosen = self.beside(settings)[by.name].as_str().filter(|chosen| !names.contains(chosen))?;
        let [flag, by] = [self.setting, by].map(Setting::flag_name);
        Some(format!("--{flag} means nothing to --{by} {chosen}: it is for --{by} {}", alternatives(names)))
    }
}

/// Names as a part of a sentence.
pub fn alternatives(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The settings of a table.
pub const fn declared<T: Settable>() -> &'static [Setting] {
    match T::FORM {
        SettingForm::Table(settings) => settings,
        SettingForm::Word { .. } | SettingForm::File => &[],
    }
}

/// All settings of a table and the tables in it that have flags.
pub fn flags<T: Settable>() -> Vec<Flag> {
    fn collect(settings: &'static [Setting], tables: &[&'static str], found: &mut Vec<Flag>) {
        for setting in settings {
            let choices = |by: &&'static Setting| {
                let choices = by.form.choices().into_iter().filter(|choice| choice.settings.contains(&setting.name));
                Some((*by, choices.map(|choice| choice.name).collect::<Vec<_>>())).filter(|(_, names)| !names.is_empty())
            };
            match setting.form {
                SettingForm::Word { .. } => {
                    let whose = settings.iter().find_map(|by| choices(&by));
                    found.push(Flag { tables: tables.to_vec(), setting, whose });
                }
                SettingForm::Table(inner) => collect(inner, &[tables, &[setting.name]].concat(), found),
                SettingForm::File => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(declared::<T>(), &[], &mut found);
    found
}

/// [`Settings::defaults`] as trees.
pub fn default_trees<T: Settings>() -> Vec<(String, Value)> {
    let tree = |(whose, settings): (String, T)| (whose, serde_json::to_value(settings).unwrap_or_default());
    T::defaults().into_iter().map(tree).collect()
}

/// What is wrong with settings by their declaration alone: a value beyond its limits, or one that was chosen for what means nothing.
pub fn problem<T: Settings>(settings: &T) -> Option<String> {
    let unfit = || {
        let [now, plain] = [serde_json::to_value(settings).ok()?, serde_json::to_value(T::default()).ok()?];
        let chosen = flags::<T>().into_iter().filter(|flag| !flag.setting.idle && flag.of(&now) != flag.of(&plain));
        chosen.into_iter().find_map(|flag| flag.unfit(&now))
    };
    beyond(settings).or_else(unfit)
}

/// Says which value of a table is beyond its limits.
pub fn beyond<T: Settable>(table: &T) -> Option<String> {
    table.beyond(&Setting::new::<T>("", ""))
}

/// Lays `over` on `base`: tables merge, null leaves alone, anything else replaces.
pub fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn value<T: Serialize>(read: Result<T, String>) -> Result<Value, String> {
    serde_json::to_value(read?).map_err(|e| e.to_string())
}

/// A word that names a choice.
fn chosen<T: Settable>(word: &str) -> Result<Value, String> {
    let names: Vec<&str> = T::FORM.choices().iter().map(|choice| choice.name).collect();
    if names.contains(&word) { Ok(word.into()) } else { Err(format!("say {}", alternatives(&names))) }
}

fn finite<T: std::str::FromStr + Copy + Into<f64>>(word: &str) -> Result<T, String> {
    word.trim().parse().ok().filter(|value: &T| (*value).into().is_finite()).ok_or_else(|| "not a finite number".into())
}

macro_rules! numbers {
    ($($type:ty: $read:expr),+) => {
        $(impl Settable for $type {
            const FORM: SettingForm = SettingForm::word(|word| value::<$type>($read(word)));

            /// The number that was written, not the nearest `f32` to it.
            fn numbers(&self) -> Vec<f64> {
                self.to_string().parse().into_iter().collect()
            }
        })+
    };
}

fn whole<T: std::str::FromStr<Err = std::num::ParseIntError>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|e: std::num::ParseIntError| e.to_string())
}

numbers!(u32: whole, u64: whole, usize: whole, f32: finite, f64: finite);

impl Settable for bool {
    const FORM: SettingForm = {
        let choices = || ["true", "false"].map(|name| Choice { name, help: "", settings: &[] }).to_vec();
        SettingForm::Word { read: |word| value(word.parse::<bool>().map_err(|e| e.to_string())), choices, words: Words::Switch }
    };
}

impl Settable for String {
    const FORM: SettingForm = SettingForm::word(|word| Ok(word.into()));
}

impl Settable for PathBuf {
    const FORM: SettingForm = SettingForm::word(|word| if word.is_empty() { Err("a path is wanted".into()) } else { Ok(word.into()) });
}

/// Height and width: both, or one for both.
impl Settable for [u32; 2] {
    const FORM: SettingForm = SettingForm::word(|word| {
        let (height, width) = word.split_once('x').unwrap_or((word, word));
        let side = |text: &str| text.parse().ok().filter(|side: &u32| *side > 0);
        value(
            side(height)
                .zip(side(width))
                .map(|(height, width)| [height, width])
                .ok_or("say a side or HEIGHTxWIDTH, for instance 64 or 48x64".into()),
        )
    });

    fn numbers(&self) -> Vec<f64> {
        self.map(f64::from).to_vec()
    }
}

/// Two numbers.
impl Settable for [f32; 2] {
    const FORM: SettingForm = SettingForm::word(|word| {
        let (first, second) = word.split_once(',').ok_or("two numbers are wanted, for instance 0.9,0.999")?;
        value(Ok([finite::<f32>(first)?, finite(second)?]))
    });

    fn numbers(&self) -> Vec<f64> {
        self.iter().flat_map(Settable::numbers).collect()
    }
}

/// An empty list.
const NONE: &str = "none";

impl Settable for Vec<u32> {
    const FORM: SettingForm = SettingForm::Word {
        read: |word| match word {
            NONE => value(Ok(Vec::<u32>::new())),
            numbers => value(numbers.split(',').map(whole::<u32>).collect::<Result<Vec<_>, _>>()),
        },
        choices: Vec::new,
        words: Words::List,
    };

    fn numbers(&self) -> Vec<f64> {
        self.iter().copied().map(f64::from).collect()
    }

    fn beyond(&self, setting: &Setting) -> Option<String> {
        let empty = (self.is_empty() && !setting.or_none).then(|| format!("--{} needs a number, or several", setting.flag_name()));
        empty.or_else(|| self.numbers().into_iter().find_map(|number| setting.refuses(number)))
    }
}

impl<T: Settable> Settable for Option<T> {
    const FORM: SettingForm = T::FORM;

    fn numbers(&self) -> Vec<f64> {
        self.iter().flat_map(T::numbers).collect()
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn beyond(&self, setting: &Setting) -> Option<String> {
        self.as_ref().and_then(|value| value.beyond(setting))
    }
}

/// Declares a table of settings: a `struct` with its defaults, and a [`Setting`] for each field, whose help is the field's comment and
/// which the methods after `=>` are called on.
#[macro_export]
macro_rules! settings {
    ($(#[$about:meta])* pub struct $table:ident {
        $($(#[doc = $help:literal])+ $(#[serde $serde:tt])? $name:ident: $type:ty = $default:expr $(=> $($more:ident($($value:expr),*)).+)?,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $table {
            $($(#[doc = $help])+ $(#[serde $serde])? #[serde(skip_serializing_if = "crate::core::settings::Settable::is_absent")] pub $name: $type,)+
        }

        impl Default for $table {
            fn default() -> Self {
                $table { $($name: $default),+ }
            }
        }

        impl $crate::core::settings::Settable for $table {
            const FORM: $crate::core::settings::SettingForm = $crate::core::settings::SettingForm::Table(&[
                $($crate::core::settings::Setting::new::<$type>(stringify!($name), concat!($($help),+))$($(.$more($($value),*))+)?),+
            ]);

            fn beyond(&self, _: &$crate::core::settings::Setting) -> Option<String> {
                let mut settings = $crate::core::settings::declared::<Self>().iter();
                $(if let Some(text) = settings.next().and_then(|setting| $crate::core::settings::Settable::beyond(&self.$name, setting)) {
                    return Some(text);
                })+
                None
            }
        }
    };
}
