//! How an image folder is arranged: what is a picture, what a mask, and what the folders above it mean.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::sheet::some_of;
use super::source::{Entry, Tree};
use super::split::Part;

const IMAGES: &str = "images";
const MASKS: &str = "masks";
const INDEX: &str = "index.csv";

/// Endings of files that are read, and of those that a user may think are.
pub(super) const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];
const OTHER_PICTURES: [&str; 8] = ["gif", "bmp", "tif", "tiff", "webp", "heic", "avif", "jp2"];

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
    /// Folders that may name a class, with the part that they are in.
    pub classes: BTreeSet<&'a str>,
    /// What a user must be told.
    pub notes: Vec<String>,
}

/// Which folder names have a meaning, found by the names beside them.
struct Rules<'a> {
    tree: &'a Tree,
    /// The one folder that everything is in, as archives have it; with a `/`, or empty.
    top: String,
    index: Option<&'a Entry>,
}

/// What the folders above a file mean.
struct Place<'a> {
    part: Option<Part>,
    mask: bool,
    /// It lies beside the folders that have a meaning.
    outside: bool,
    rest: &'a str,
}

impl<'a> Rules<'a> {
    fn new(tree: &'a Tree) -> Self {
        let mut rules = Rules { tree, top: String::new(), index: None };
        loop {
            rules.index = tree.files.iter().find(|file| file.name == format!("{}{INDEX}", rules.top));
            let folders = rules.folders(&rules.top);
            let [only] = folders.as_slice() else { return rules };
            let below = format!("{}{only}/", rules.top);
            let inside = rules.folders(&below);
            let known = Part::named(only).is_some() || [IMAGES, MASKS].contains(only);
            let leads_on = inside.len() > 1 || inside.first().is_some_and(|name| [IMAGES, MASKS].contains(name));
            let has_index = tree.files.iter().any(|file| file.name == format!("{below}{INDEX}"));
            let alone = rules.index.is_none()
                && !tree.files.iter().any(|file| is_picture(file) && file.name.starts_with(&rules.top) && !file.name.starts_with(&below));
            if known || !alone || !(leads_on || has_index) {
                return rules;
            }
            rules.top = below;
        }
    }

    /// Names of the folders right below one.
    fn folders(&self, above: &str) -> Vec<&'a str> {
        let below = self.tree.folders.iter().filter_map(|folder| folder.strip_prefix(above));
        below.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    /// Whether the folder holds pictures and masks side by side.
    fn has_masks(&self, folder: &str) -> bool {
        let folders = self.folders(folder);
        folders.contains(&MASKS) && (folders.contains(&IMAGES) || folders.len() == 1)
    }

    fn has_images(&self, folder: &str) -> bool {
        let folders = self.folders(folder);
        folders.contains(&IMAGES) && (folders.contains(&MASKS) || folders.len() == 1 || self.index.is_some())
    }

    /// Whether the folder's folders are the training set and others.
    fn has_parts(&self, folder: &str) -> bool {
        let folders = self.folders(folder);
        let parts: Vec<Part> = folders.iter().filter_map(|name| Part::named(name)).collect();
        parts.contains(&Part::Train) && (parts.len() > 1 || folders.len() == 1)
    }

    /// `None` outside of the top folder.
    fn place(&self, path: &'a str) -> Option<Place<'a>> {
        let mut place = Place { part: None, mask: false, outside: false, rest: path.strip_prefix(self.top.as_str())? };
        let mut wrapped = false;
        for _ in 0..3 {
            let above = &path[..path.len() - place.rest.len()];
            let (head, tail) = place.rest.split_once('/').unwrap_or(("", place.rest));
            let (images, masks) = (!wrapped && self.has_images(above), !wrapped && self.has_masks(above));
            if (head == IMAGES && images) || (head == MASKS && masks) {
                (wrapped, place.mask, place.rest) = (true, head == MASKS, tail);
            } else if images {
                place.outside = true;
            } else if place.part.is_none() && self.has_parts(above) {
                place.part = Part::named(head);
                place.outside |= place.part.is_none();
                place.rest = if place.part.is_some() { tail } else { place.rest };
            } else {
                break;
            }
            if place.outside {
                break;
            }
        }
        Some(place)
    }
}

fn is_picture(file: &Entry) -> bool {
    PICTURES.contains(&file.extension().as_str())
}

impl<'a> Layout<'a> {
    pub fn of(tree: &'a Tree) -> Result<Self> {
        let rules = Rules::new(tree);
        let mut layout =
            Layout { pictures: Vec::new(), masks: Vec::new(), index: rules.index, classes: BTreeSet::new(), notes: Vec::new() };
        let (mut outside, mut others) = (Vec::new(), Vec::new());
        for entry in &tree.files {
            let Some(place) = rules.place(&entry.name) else { continue };
            if OTHER_PICTURES.contains(&entry.extension().as_str()) {
                others.push(&entry.name);
            }
            if !is_picture(entry) {
                continue;
            }
            let placed = Placed { entry, part: place.part, rest: place.rest };
            match (place.outside, place.mask) {
                (true, _) => outside.push(&entry.name),
                (_, true) => layout.masks.push(placed),
                (_, false) => layout.pictures.push(placed),
            }
        }
        if !outside.is_empty() {
            let found = some_of(&outside);
            layout.notes.push(format!("{} pictures beside the folders of the training and test set are left out: {found}", outside.len()));
        }
        if !others.is_empty() {
            layout.notes.push(format!("{} pictures that are neither PNG nor JPEG are left out: {}", others.len(), some_of(&others)));
        }
        ensure!(
            !layout.pictures.is_empty(),
            "{} holds no PNG or JPEG{}",
            tree.root.display(),
            layout.notes.iter().map(|note| format!("; {note}")).collect::<String>()
        );
        for folder in &tree.folders {
            let name = rules.place(folder).filter(|place| !place.mask && !place.outside && !place.rest.contains('/'));
            let meant = |name: &str| Part::named(name).is_some() && rules.has_parts(&folder[..folder.len() - name.len()]);
            let wraps = |name: &str| {
                let above = &folder[..folder.len() - name.len()];
                (name == IMAGES && rules.has_images(above)) || (name == MASKS && rules.has_masks(above))
            };
            layout.classes.extend(name.map(|place| place.rest).filter(|rest| !rest.is_empty() && !meant(rest) && !wraps(rest)));
        }
        Ok(layout)
    }
}
