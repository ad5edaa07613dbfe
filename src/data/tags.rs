//! A class for each word of texts, by the tokens that words begin with.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::samples::SharedRows;
use super::tokenizer::NO_PLACE;
use crate::core::buffer::{pad_rows, shape};

/// The class of a token that no word begins with, as it lies in device memory: more than there are classes.
const UNTAGGED: u32 = u32::MAX >> 1;

/// Classes of the words of texts. Views share what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Tags {
    /// Of each word.
    classes: SharedRows<u32>,
    /// Of each word, where among its text's tokens its first one is, or [`NO_PLACE`].
    places: SharedRows<u32>,
}

impl Tags {
    /// For each text, the classes of its words and the [places](super::WordTokens::places) of these. Fails where these are not equally
    /// many.
    pub fn new(classes: &[Vec<u32>], places: &[Vec<u32>]) -> Result<Self> {
        let even = classes.len() == places.len() && classes.iter().zip(places).all(|(classes, places)| classes.len() == places.len());
        ensure!(even, "texts have other numbers of words than of tags");
        let longest = u32::try_from(classes.iter().map(Vec::len).max().unwrap_or(0))?;
        Ok(Tags { classes: SharedRows::ragged(classes, longest)?, places: SharedRows::ragged(places, longest)? })
    }

    /// Texts.
    pub fn len(&self) -> u32 {
        self.classes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of each word of a text, and the place of its first token.
    pub fn words(&self, text: u32) -> impl Iterator<Item = (u32, Option<usize>)> {
        let place = |&place: &u32| (place != NO_PLACE).then_some(place as usize);
        self.classes.row(text).iter().copied().zip(self.places.row(text).iter().map(place))
    }

    /// All classes, word by word.
    pub fn classes(&self) -> impl Iterator<Item = u32> {
        self.classes.iter().flatten().copied()
    }

    /// Of the texts with these indices, in this order.
    pub(super) fn select(&self, texts: &[u32]) -> Self {
        Tags { classes: self.classes.select(texts), places: self.places.select(texts) }
    }

    /// The same with other numbers for classes.
    pub(super) fn renumbered(&self, class: impl Fn(u32) -> u32) -> Self {
        let rows = self.classes.iter().map(|row| row.iter().map(|&old| class(old)).collect::<Vec<u32>>());
        let classes = SharedRows::ragged(rows, self.classes.width()).expect("rows are as long as they were");
        Tags { classes, places: self.places.clone() }
    }

    /// Of some texts, a class for each of `longest` tokens, padded; of those that no word begins with, more than there are classes.
    pub(crate) fn of_tokens(&self, texts: Range<u32>, longest: u32) -> Vec<u32> {
        let mut all = vec![UNTAGGED; texts.len() * longest as usize];
        for (text, row) in texts.clone().zip(all.chunks_mut(longest.max(1) as usize)) {
            for (class, place) in self.words(text) {
                if let Some(token) = place.and_then(|place| row.get_mut(place)) {
                    *token = class;
                }
            }
        }
        pad_rows(shape(texts.len() as u32, longest), &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_lie_where_words_begin() {
        let tags = Tags::new(&[vec![2, 0, 1], vec![], vec![1]], &[vec![1, 3, NO_PLACE], vec![], vec![0]]).expect("as many");
        assert_eq!(tags.of_tokens(0..1, 5), pad_rows(shape(1, 5), &[UNTAGGED, 2, UNTAGGED, 0, UNTAGGED]));
        let other = tags.select(&[2, 0, 1]).renumbered(|class| 10 * class);
        assert_eq!(other.words(1).collect::<Vec<_>>(), [(20, Some(1)), (0, Some(3)), (10, None)]);
        assert_eq!((other.len(), other.words(2).count(), other.classes().sum::<u32>()), (3, 0, 40));
        assert_eq!(other.of_tokens(0..1, 2), pad_rows(shape(1, 2), &[10, UNTAGGED]));
        assert!(Tags::new(&[vec![1]], &[vec![]]).is_err());
    }
}
