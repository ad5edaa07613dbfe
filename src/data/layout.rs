//! How an image folder is arranged: what is a picture, what a mask, and what the folders above it mean.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use anyhow::{Result, ensure};

use super::kinds::Kind;
use super::sheet::some_of;
use super::source::{Entry, Tree};
use super::split::Part;

/// Names of folders side by side, the usual ones first.
const IMAGES: [&str; 7] = ["images", "image", "imgs", "img", "pictures", "photos", "inputs"];
const MASKS: [&str; 9] = ["masks", "mask", "labels", "annotations", "segmentations", "segmentation", "groundtruth", "ground_truth", "gt"];
const INDEX: &str = "index.csv";
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

pub(super) struct Layout<'a> {
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
enum Role<'a> {
    /// The one folder that all the rest is in, as archives have it.
    Wrapper,
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
    /// By path; the root's is empty.
    folders: HashMap<&'a str, Folder<'a>>,
    roles: RefCell<HashMap<String, Rc<Role<'a>>>>,
}

/// What the folders above a file mean.
struct Place<'a> {
    part: Option<Part>,
    mask: bool,
    /// It lies beside the folders that have a meaning.
    outside: bool,
    rest: &'a str,
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

/// The first of `wanted` that is among `names`, in any case.
fn among<'a>(names: &BTreeSet<&'a str>, wanted: &[&str]) -> Option<&'a str> {
    wanted.iter().find_map(|wanted| names.iter().copied().find(|name| name.eq_ignore_ascii_case(wanted)))
}

impl<'a> Rules<'a> {
    fn new(tree: &'a Tree) -> Self {
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
            folder.pictures += usize::from(entry.kind == Kind::Picture);
            folder.index = folder.index.or((name == INDEX).then_some(entry));
        }
        Rules { folders, roles: RefCell::default() }
    }

    fn folder(&self, path: &str) -> &Folder<'a> {
        &self.folders[path]
    }

    fn holds_pictures(&self, path: &str) -> bool {
        let folder = self.folder(path);
        folder.pictures > 0 || folder.folders.iter().any(|name| self.holds_pictures(&below(path, name)))
    }

    fn role(&self, path: &str) -> Rc<Role<'a>> {
        if let Some(role) = self.roles.borrow().get(path) {
            return role.clone();
        }
        let role = Rc::new(self.find_role(path));
        self.roles.borrow_mut().insert(path.to_string(), role.clone());
        role
    }

    fn find_role(&self, path: &str) -> Role<'a> {
        let Folder { folders, pictures, index } = self.folder(path);
        let names: Vec<&str> = folders.iter().copied().collect();
        let side = |wanted: &[&str]| among(folders, wanted).filter(|name| self.holds_pictures(&below(path, name)));
        // Only the plain names mean something where they stand alone.
        let (images, masks) = match (side(&IMAGES), side(&MASKS)) {
            (Some(images), Some(masks)) => (Some(images), Some(masks)),
            (images, masks) => {
                let alone =
                    |name: Option<&'a str>, plain: &str, enough: bool| name.filter(|name| name.eq_ignore_ascii_case(plain) && enough);
                (alone(images, IMAGES[0], names.len() == 1 || index.is_some()), alone(masks, MASKS[0], names.len() == 1))
            }
        };
        if images.is_some() || masks.is_some() {
            return Role::Sides { images, masks };
        }
        let parts = Part::of_siblings(&names);
        if !parts.is_empty() {
            return Role::Parts(parts);
        }
        if *pictures == 0 && index.is_none() && names.len() == 1 && self.leads_on(&below(path, names[0])) {
            return Role::Wrapper;
        }
        let inside = |name: &str| &self.folder(&below(path, name)).folders;
        let alike = names.len() > 1
            && *pictures == 0
            && inside(names[0]).len() > 1
            && names.iter().all(|name| inside(name) == inside(names[0]) && self.folder(&below(path, name)).pictures == 0);
        let parted = || !Part::of_siblings(&inside(names[0]).iter().copied().collect::<Vec<_>>()).is_empty();
        let classes =
            || inside(names[0]).iter().all(|class| names.iter().all(|name| self.folder(&below(&below(path, name), class)).pictures > 0));
        if alike && !parted() && classes() { Role::Groups } else { Role::Classes }
    }

    /// Whether there is more in a folder than the pictures of one class.
    fn leads_on(&self, path: &str) -> bool {
        let Folder { folders, index, .. } = self.folder(path);
        index.is_some() || folders.len() > 1 || *self.role(path) != Role::Classes
    }

    /// What the folders above a file or a folder mean.
    fn place(&self, path: &'a str) -> Place<'a> {
        let mut place = Place { part: None, mask: false, outside: false, rest: path };
        let mut sided = false;
        for _ in 0..MOST_DEPTH {
            let above = path[..path.len() - place.rest.len()].trim_end_matches('/');
            let (head, tail) = place.rest.split_once('/').unwrap_or(("", place.rest));
            match &*self.role(above) {
                Role::Sides { images, masks } if !sided => {
                    sided = true;
                    place.mask = Some(head) == *masks;
                    place.outside = !place.mask && Some(head) != *images && images.is_some();
                    if !place.mask && images.is_none() {
                        return place;
                    }
                }
                Role::Parts(parts) if place.part.is_none() => {
                    place.part = parts.get(head).copied().flatten();
                    place.outside = place.part.is_none();
                }
                Role::Wrapper | Role::Groups if !head.is_empty() => {}
                // A part wrapped in a folder of its own name.
                Role::Parts(parts) if parts.len() == 1 => {}
                Role::Classes if place.part.is_none() && !head.is_empty() => {
                    // Each class may be divided for itself.
                    if let Role::Parts(parts) = &*self.role(&below(above, head)) {
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
                (None, Role::Wrapper) => path = below(&path, folder.folders.first()?),
                (index, _) => return *index,
            }
        }
    }

    /// What a user must be told of what folders are taken for.
    fn said(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut roles: Vec<(String, Rc<Role<'a>>)> = self.roles.borrow().iter().map(|(path, role)| (path.clone(), role.clone())).collect();
        roles.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, role) in roles {
            let names: Vec<&str> = self.folder(&path).folders.iter().copied().collect();
            let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
            match &*role {
                Role::Groups => notes.push(format!(
                    "{}{place} all hold the folders {}: these are taken for the classes",
                    some_of(&names),
                    some_of(&self.folder(&below(&path, names[0])).folders.iter().collect::<Vec<_>>())
                )),
                Role::Sides { masks: Some(masks), images: Some(images) } if (*masks, *images) != (MASKS[0], IMAGES[0]) => {
                    notes.push(format!("{masks}{place} is taken for the masks of {images}"));
                }
                Role::Parts(parts) => {
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

impl<'a> Layout<'a> {
    pub fn of(tree: &'a Tree) -> Result<Self> {
        let rules = Rules::new(tree);
        let (mut pictures, mut masks, mut classes) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut outside, mut foreign) = (Vec::new(), BTreeMap::new());
        let (mut others, index) = (Vec::new(), rules.index());
        for entry in &tree.files {
            match entry.kind {
                Kind::Picture => {}
                Kind::Foreign(format, how) => {
                    foreign.entry((format, how)).or_insert_with(Vec::new).push(entry.name.as_str());
                    continue;
                }
                Kind::Data | Kind::Other => {
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
            classes.extend((plain && *rules.role(above) == Role::Classes).then_some(place.rest));
        }
        let mut notes = tree.notes.clone();
        notes.extend(rules.said());
        if !outside.is_empty() {
            let found = some_of(&outside);
            notes.push(format!("{} pictures beside the folders of the training and test set are left out: {found}", outside.len()));
        }
        for ((format, how), names) in foreign {
            notes.push(format!("{} pictures in {format} are left out ({how}): {}", names.len(), some_of(&names)));
        }
        if !others.is_empty() {
            notes.push(format!("{} files that are no pictures are left out: {}", others.len(), some_of(&others)));
        }
        ensure!(
            !pictures.is_empty(),
            "{} holds no PNG or JPEG, nor a picture in another format that is read{}",
            tree.root.display(),
            notes.iter().map(|note| format!("; {note}")).collect::<String>()
        );
        Ok(Layout { pictures, masks, index, classes, notes })
    }
}
