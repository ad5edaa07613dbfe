//! How an image folder is arranged: what is a picture, what a mask, and what the folders above it mean.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use anyhow::{Result, ensure};

use super::kinds::Kind;
use super::names::some_of;
use super::split::Part;
use super::tree::{Entry, Tree};
use crate::core::sample::Subject;

/// Names of folders side by side, the usual ones first.
const IMAGES: [&str; 7] = ["images", "image", "imgs", "img", "pictures", "photos", "inputs"];
const MASKS: [&str; 9] = ["masks", "mask", "labels", "annotations", "segmentations", "segmentation", "groundtruth", "ground_truth", "gt"];
pub(super) const INDEX: &str = "index.csv";
/// Folders that are looked through for a meaning, one in the other.
const MOST_DEPTH: usize = 8;

/// A picture or a mask.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub entry: &'a Entry,
    /// By the folder it is in.
    pub part: Option<Part>,
    /// Its path within that folder.
    pub rest: &'a str,
}

impl<'a> Placed<'a> {
    /// What a picture and its mask have in common.
    pub fn stem(&self) -> &'a str {
        self.rest.rsplit_once('.').map_or(self.rest, |(stem, _)| stem)
    }

    /// The folder that it lies in, as far as that may name a class.
    pub fn class(&self) -> Option<&'a str> {
        self.rest.split_once('/').map(|(class, _)| class)
    }
}

pub(super) struct FolderLayout<'a> {
    /// What the samples are.
    pub subject: Subject,
    /// In order of names.
    pub pictures: Vec<Placed<'a>>,
    pub masks: Vec<Placed<'a>>,
    pub index: Option<&'a Entry>,
    /// Folders that may name a class.
    pub classes: BTreeSet<&'a str>,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// What the folders right below a folder are.
#[derive(Clone, Debug, PartialEq)]
enum FolderRole<'a> {
    /// The one folder that all the rest is in, as archives have it; what lies beside it is not meant.
    Wrapper(&'a str),
    /// What their names say; those without a part have no meaning.
    Parts(BTreeMap<&'a str, Option<Part>>),
    /// Several that all hold the same folders, which are the classes.
    Groups,
    /// Pictures and masks side by side; either may be missing.
    Sides { images: Option<&'a str>, masks: Option<&'a str> },
    /// Classes, or nothing.
    Classes,
}

/// A folder and what is right below it.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeSet<&'a str>,
    pictures: usize,
    index: Option<&'a Entry>,
}

struct Rules<'a> {
    /// What counts as a picture here.
    subject: Subject,
    /// By path; the root's is empty.
    folders: HashMap<&'a str, Folder<'a>>,
    roles: RefCell<HashMap<String, Rc<FolderRole<'a>>>>,
}

/// What the folders above a file mean.
struct InPath<'a> {
    part: Option<Part>,
    mask: bool,
    /// It lies beside the folders that have a meaning.
    outside: bool,
    rest: &'a str,
}

/// What is said of a folder without samples.
pub(super) fn nothing(subject: Subject) -> &'static str {
    match subject {
        Subject::Pictures => "no picture in a format that is read (PNG, JPEG, WebP, GIF, BMP, TIFF)",
        Subject::Sounds => "no sound in a format that is read (WAV, AIFF, FLAC, MP3, Ogg Vorbis)",
    }
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

/// Whether names are one word with numbers, as `clip1` and `clip2` are.
fn counted(names: &[&str]) -> bool {
    let word = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit() || !c.is_alphanumeric()).to_lowercase();
    let first = names.first().map_or(String::new(), |name| word(name));
    names.len() > 1 && !first.is_empty() && names.iter().all(|name| word(name) == first && !name.to_lowercase().eq(&first))
}

/// The first of `wanted` that is among `names`, in any case.
fn among<'a>(names: &BTreeSet<&'a str>, wanted: &[&str]) -> Option<&'a str> {
    wanted.iter().find_map(|wanted| names.iter().copied().find(|name| name.eq_ignore_ascii_case(wanted)))
}

impl<'a> Rules<'a> {
    fn new(tree: &'a Tree, subject: Subject) -> Self {
        let split = |path: &'a str| path.rsplit_once('/').unwrap_or(("", path));
        let mut folders: HashMap<&str, Folder<'_>> = HashMap::from([("", Folder::default())]);
        for path in &tree.folders {
            folders.entry(path).or_default();
            let (above, name) = split(path);
            folders.entry(above).or_default().folders.insert(name);
        }
        for entry in &tree.files {
            let (above, name) = split(&entry.name);
            let folder = folders.entry(above).or_default();
            folder.pictures += usize::from(entry.kind == Kind::Sample(subject));
            folder.index = folder.index.or((name == INDEX).then_some(entry));
        }
        Rules { subject, folders, roles: RefCell::default() }
    }

    fn folder(&self, path: &str) -> &Folder<'a> {
        &self.folders[path]
    }

    fn holds_pictures(&self, path: &str) -> bool {
        let folder = self.folder(path);
        folder.pictures > 0 || folder.folders.iter().any(|name| self.holds_pictures(&below(path, name)))
    }

    fn role(&self, path: &str) -> Rc<FolderRole<'a>> {
        if let Some(role) = self.roles.borrow().get(path) {
            return role.clone();
        }
        let role = Rc::new(self.find_role(path));
        self.roles.borrow_mut().insert(path.to_string(), role.clone());
        role
    }

    fn find_role(&self, path: &str) -> FolderRole<'a> {
        let Folder { folders, pictures, index } = self.folder(path);
        let names: Vec<&str> = folders.iter().copied().collect();
        let side = |wanted: &[&str]| among(folders, wanted).filter(|name| self.holds_pictures(&below(path, name)));
        // Only the plain names mean something where they stand alone. Sounds have no masks.
        let (images, masks) = match (side(&IMAGES), side(&MASKS)) {
            _ if self.subject == Subject::Sounds => (None, None),
            (Some(images), Some(masks)) => (Some(images), Some(masks)),
            (images, masks) => {
                let alone =
                    |name: Option<&'a str>, plain: &str, enough: bool| name.filter(|name| name.eq_ignore_ascii_case(plain) && enough);
                (alone(images, IMAGES[0], names.len() == 1 || index.is_some()), alone(masks, MASKS[0], names.len() == 1))
            }
        };
        if images.is_some() || masks.is_some() {
            return FolderRole::Sides { images, masks };
        }
        let parts = Part::of_siblings(&names);
        if !parts.is_empty() {
            return FolderRole::Parts(parts);
        }
        if index.is_none() {
            let full: Vec<&str> = names.iter().copied().filter(|name| self.holds_pictures(&below(path, name))).collect();
            let structured: Vec<&str> = full.iter().copied().filter(|name| self.is_data_set(&below(path, name))).collect();
            match (full.as_slice(), structured.as_slice()) {
                ([one], _) if *pictures == 0 && self.leads_on(&below(path, one)) => return FolderRole::Wrapper(one),
                (_, [one]) if full.iter().all(|name| name == one || !self.leads_on(&below(path, name))) => return FolderRole::Wrapper(one),
                _ => {}
            }
        }
        if *pictures == 0 && self.are_groups(path, &names) { FolderRole::Groups } else { FolderRole::Classes }
    }

    /// Whether there is more in a folder than the pictures of one class.
    fn leads_on(&self, path: &str) -> bool {
        let Folder { folders, index, .. } = self.folder(path);
        index.is_some() || folders.len() > 1 || *self.role(path) != FolderRole::Classes
    }

    /// Whether what is in a folder can hardly be a class.
    fn is_data_set(&self, path: &str) -> bool {
        match &*self.role(path) {
            FolderRole::Parts(parts) => parts.len() > 1,
            FolderRole::Sides { images: Some(images), masks } => masks.is_some() || self.leads_on(&below(path, images)),
            FolderRole::Wrapper(inner) => self.is_data_set(&below(path, inner)),
            _ => false,
        }
    }

    /// Whether folders all hold folders of (nearly) the same names, which are classes then, each perhaps within parts.
    fn are_groups(&self, path: &str, names: &[&str]) -> bool {
        let folders = |path: &str| self.folder(path).folders.iter().map(|inner| below(path, inner)).collect::<Vec<_>>();
        let mut holders: Vec<String> = names.iter().map(|name| below(path, name)).collect();
        if holders.len() < 2 {
            return false;
        }
        if holders.iter().all(|holder| matches!(&*self.role(holder), FolderRole::Parts(_))) {
            holders = holders.iter().flat_map(|holder| folders(holder)).collect();
        }
        let inside: Vec<&BTreeSet<&str>> = holders.iter().map(|holder| &self.folder(holder).folders).collect();
        let all: BTreeSet<&str> = inside.iter().flat_map(|inside| inside.iter().copied()).collect();
        let alike = all.len() > 1 && inside.iter().all(|inside| inside.len() > 1 && 2 * inside.len() >= all.len());
        let plain = holders
            .iter()
            .all(|holder| self.folder(holder).pictures == 0 && folders(holder).iter().all(|class| self.folder(class).pictures > 0));
        let parts = !Part::of_siblings(&all.iter().copied().collect::<Vec<_>>()).is_empty();
        // Clips that are numbered in each class.
        let numbered = counted(&all.iter().copied().collect::<Vec<_>>()) && !counted(names);
        alike && plain && !parts && !numbered
    }

    /// What the folders above a file or a folder mean.
    fn place(&self, path: &'a str) -> InPath<'a> {
        let mut place = InPath { part: None, mask: false, outside: false, rest: path };
        let mut sided = false;
        for _ in 0..MOST_DEPTH {
            let above = path[..path.len() - place.rest.len()].trim_end_matches('/');
            let (head, tail) = place.rest.split_once('/').unwrap_or(("", place.rest));
            match &*self.role(above) {
                FolderRole::Sides { images, masks } if !sided => {
                    sided = true;
                    place.mask = Some(head) == *masks;
                    place.outside = !place.mask && Some(head) != *images && images.is_some();
                    if !place.mask && images.is_none() {
                        return place;
                    }
                }
                FolderRole::Parts(parts) if place.part.is_none() => {
                    place.part = parts.get(head).copied().flatten();
                    place.outside = place.part.is_none();
                }
                FolderRole::Wrapper(inner) => place.outside = head != *inner,
                FolderRole::Groups if !head.is_empty() => {}
                // A part wrapped in a folder of its own name.
                FolderRole::Parts(parts) if parts.len() == 1 => {}
                FolderRole::Classes if place.part.is_none() && !head.is_empty() => {
                    // Each class may be divided for itself.
                    if let FolderRole::Parts(parts) = &*self.role(&below(above, head)) {
                        let inner = tail.split_once('/').and_then(|(inner, _)| *parts.get(inner)?);
                        (place.part, place.outside) = (inner, inner.is_none());
                    }
                    return place;
                }
                _ => return place,
            }
            if place.outside {
                return place;
            }
            place.rest = tail;
        }
        place
    }

    /// The index of the folder that everything is in.
    fn index(&self) -> Option<&'a Entry> {
        let mut path = String::new();
        loop {
            let folder = self.folder(&path);
            match (&folder.index, &*self.role(&path)) {
                (None, FolderRole::Wrapper(inner)) => path = below(&path, inner),
                (index, _) => return *index,
            }
        }
    }

    /// What a user must be told of what folders are taken for.
    fn said(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut roles: Vec<(String, Rc<FolderRole<'a>>)> =
            self.roles.borrow().iter().map(|(path, role)| (path.clone(), role.clone())).collect();
        roles.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, role) in roles {
            let names: Vec<&str> = self.folder(&path).folders.iter().copied().collect();
            let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
            match &*role {
                FolderRole::Groups => {
                    notes.push(format!("{}{place} hold folders of the same names: these are taken for the classes", some_of(&names)))
                }
                FolderRole::Classes => {
                    let full: Vec<&str> = names.iter().copied().filter(|name| self.holds_pictures(&below(&path, name))).collect();
                    let parts: Vec<&str> = full.iter().copied().filter(|name| Part::speaks_of_one(name)).collect();
                    if !parts.is_empty() && full.len() > 1 {
                        notes.push(format!(
                            "{}{place}: taken for classes, though named as parts of data are; folders `train` and `test` would be parts",
                            some_of(&parts)
                        ));
                    }
                    let deep = |name: &&str| {
                        let within = below(&path, name);
                        let inner = self.folder(&within).folders.iter().filter(|inner| self.holds_pictures(&below(&within, inner)));
                        inner.count() > 1 && !matches!(&*self.role(&within), FolderRole::Parts(_))
                    };
                    let deep: Vec<&str> = full.iter().copied().filter(deep).collect();
                    if !deep.is_empty() && full.len() > 1 {
                        notes.push(format!("{}{place}: taken for one class each, with all folders in them", some_of(&deep)));
                    }
                }
                FolderRole::Sides { masks: Some(masks), images: Some(images) } if (*masks, *images) != (MASKS[0], IMAGES[0]) => {
                    notes.push(format!("{masks}{place} is taken for the masks of {images}"));
                }
                FolderRole::Parts(parts) => {
                    let named = parts.iter().filter_map(|(name, part)| Some((name, (*part)?)));
                    let guessed: Vec<String> =
                        named.filter(|(name, part)| !part.is_called(name)).map(|(name, part)| format!("{name} ({part})")).collect();
                    if !guessed.is_empty() {
                        notes.push(format!("folders{place} are taken for parts of the data: {}", some_of(&guessed)));
                    }
                }
                _ => {}
            }
        }
        notes
    }
}

impl<'a> FolderLayout<'a> {
    /// Of the files in a tree that are samples of a subject.
    pub fn of(tree: &'a Tree, subject: Subject) -> Result<Self> {
        let (rules, many) = (Rules::new(tree, subject), subject.many());
        let (mut pictures, mut masks, mut classes) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut outside, mut foreign) = (Vec::new(), BTreeMap::new());
        let (mut others, index) = (Vec::new(), rules.index());
        for entry in &tree.files {
            match entry.kind {
                Kind::Sample(kind) if kind == subject => {}
                Kind::Foreign(kind, format, how) if kind == subject => {
                    foreign.entry((format, how)).or_insert_with(Vec::new).push(entry.name.as_str());
                    continue;
                }
                Kind::Sample(_) | Kind::Foreign(..) | Kind::Data | Kind::Other => {
                    others.extend(index.is_none_or(|index| index.name != entry.name).then_some(entry.name.as_str()));
                    continue;
                }
            }
            let place = rules.place(&entry.name);
            let placed = Placed { entry, part: place.part, rest: place.rest };
            match (place.outside, place.mask) {
                (true, _) => outside.push(entry.name.as_str()),
                (_, true) => masks.push(placed),
                (_, false) => pictures.push(placed),
            }
        }
        for folder in &tree.folders {
            let place = rules.place(folder);
            let plain = !place.mask && !place.outside && !place.rest.is_empty() && !place.rest.contains('/');
            let above = folder[..folder.len() - place.rest.len()].trim_end_matches('/');
            classes.extend((plain && *rules.role(above) == FolderRole::Classes).then_some(place.rest));
        }
        let mut notes = tree.notes.clone();
        notes.extend(rules.said());
        if !outside.is_empty() {
            let found = some_of(&outside);
            notes.push(format!("{} {many} beside the folders of the data are left out: {found}", outside.len()));
        }
        for ((format, how), names) in foreign {
            notes.push(format!("{} {many} in {format} are left out ({how}): {}", names.len(), some_of(&names)));
        }
        if !others.is_empty() {
            notes.push(format!("{} files that are no {many} are left out: {}", others.len(), some_of(&others)));
        }
        ensure!(
            !pictures.is_empty(),
            "{} holds {}{}",
            tree.root.display(),
            nothing(subject),
            notes.iter().map(|note| format!("; {note}")).collect::<String>()
        );
        Ok(FolderLayout { subject, pictures, masks, index, classes, notes })
    }
}
